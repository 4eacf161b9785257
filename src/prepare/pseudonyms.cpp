#include "vmae/prepare/pseudonyms.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <regex>

#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/hash.h"
#include "vmae/core/text.h"
#include "vmae/sources/case_names.h"

namespace vmae::run {
namespace {

namespace fs = std::filesystem;

// A few letters or digits are part of other words and numbers: files of DICOM are called "1", "2", or "is".
bool may_identify(const std::string& text) {
  const bool is_number = text.find_first_not_of("0123456789") == std::string::npos;
  return text.size() >= (is_number ? 4U : 3U);
}

// Not within a word or a number.
void replace_all(std::string& text, const std::string& from, const std::string& to) {
  if (!may_identify(from)) return;
  const auto goes_on = [&](size_t at) {
    return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at]));
  };
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at)) {
    const bool is_part = (at > 0 && goes_on(at - 1)) || goes_on(at + from.size());
    if (!is_part) text.replace(at, from.size(), to);
    at += is_part ? from.size() : to.size();
  }
}

// Empty: there is no home.
fs::path own_salt_file() {
  const char *config = std::getenv("XDG_CONFIG_HOME"), *home = std::getenv("HOME");
  if (config != nullptr && *config != '\0') return fs::path(config) / "vmae" / "salt";
  return home != nullptr ? fs::path(home) / ".config/vmae/salt" : fs::path();
}

void make_salt(const fs::path& file) {
  fs::create_directories(file.parent_path());
  write_file_atomically(file, hex(sha256(random_bytes(32))) + "\n", kOwnerOnly);
}

// The default one, which is made where it is absent and may be.
fs::path require_own_salt_file(bool may_make) {
  const fs::path file = own_salt_file();
  if (file.empty())
    throw Error(ExitCode::usage, "HOME is not set: there is no folder to keep the salt in",
                "make a file, openssl rand -hex 32 > FILE, and give it: prepare.salt_file=FILE");
  if (!fs::exists(file) && !may_make) {
    throw Error(ExitCode::usage,
                concat("there is no salt in ", file.string(), ", which names of prepared datasets are hashed with"),
                "give the prepare.salt_file of the dataset: --salt-file FILE; or its names table: --names-table FILE");
  }
  if (!fs::exists(file)) make_salt(file);
  return file;
}

}  // namespace

std::string Pseudonyms::name(const std::string& path) const {
  return keeps_names_ ? path : hex(hmac_sha256(salt_, "name:" + path), 8);
}

std::string Pseudonyms::patient(const std::string& id) const { return hex(hmac_sha256(salt_, "patient:" + id), 8); }

std::string Pseudonyms::salt_check() const { return hex(hmac_sha256(salt_, "salt"), 8); }

void Pseudonyms::know(const std::vector<std::string>& identifying) {
  for (const std::string& text : identifying) {
    if (may_identify(text)) identifying_.push_back(to_lower(text));
  }
  // The longest first, so that no part of it stays.
  std::sort(identifying_.begin(), identifying_.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() > b.size() : a < b;
  });
}

std::string Pseudonyms::redact(std::string message, const io::SourceFile& file) const {
  const auto hide = [&](const fs::path& path, const char* with) {
    replace_all(message, path.string(), with);
    replace_all(message, path.filename().string(), with);
  };
  // the image may have the same name
  if (!file.mask.empty()) replace_all(message, "its mask " + file.mask.filename().string(), "its mask");
  hide(file.path, "the file");
  for (const fs::path& path : file.series) hide(path, "a file of the series");
  if (!file.mask.empty()) hide(file.mask, "the mask");
  return redact(std::move(message));
}

std::string Pseudonyms::redact(std::string text) const {
  text = io::without(std::move(text), identifying_);
  // Words that look like a path, or like the name of a file.
  static const std::regex kPath(
      R"([^\s"'(]*/[^\s"'):,;]*[A-Za-z_][^\s"'):,;]*|)"
      R"([^\s"'(]+\.(raw|zraw|gz|nii|nrrd|nhdr|mha|mhd|dcm|ima|img|hdr|bin|png|jpe?g|tiff?|bmp|csv)\b)",
      std::regex::icase);
  return std::regex_replace(text, kPath, "<file>");
}

std::string Pseudonyms::redact_name(const std::string& name) const { return io::without(name, identifying_); }

bool has_own_salt() {
  std::error_code ignored;
  return !own_salt_file().empty() && fs::exists(own_salt_file(), ignored);
}

std::string read_salt(const fs::path& salt_file, bool may_make) {
  const fs::path file = salt_file.empty() ? require_own_salt_file(may_make) : salt_file;
  if (!fs::exists(file))
    throw Error(
        ExitCode::usage, concat(may_make ? "prepare.salt_file = " : "--salt-file ", file.string(), " does not exist"),
        may_make ? "make one: openssl rand -hex 32 > FILE" : "give the file that the dataset was prepared with");
  const std::string salt(trim(read_file(file)));
  if (salt.size() < 16)
    throw Error(ExitCode::usage,
                concat("the salt in ", file.string(), " has ", salt.size(), " characters; at least 16 are needed"),
                "make one: openssl rand -hex 32 > FILE");
  return salt;
}

}  // namespace vmae::run
