// Both formats begin with lines of text. NRRD (http://teem.sourceforge.net/nrrd/format.html): "data file: NAME" up to an empty line, NAME relative to the
// header's folder. MetaImage: "ElementDataFile = NAME" is the last line, NAME relative to the header's folder, or to the working folder if it has folders in
// it. In both NAME may be LIST, followed by a name on every line, or hold %d for a numbered series.
#include "volume_data.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "vmae/core/error.h"
#include "vmae/core/text.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxHeaderBytes = 1 << 20;
constexpr uint64_t kMostOfZlib = 1040;             // deflate makes at most 1032 bytes of one
constexpr uint64_t kMaxUnknownBytes = 1ULL << 36;  // of one of a numbered series
constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

constexpr std::string_view kSpace = " \t\r\n";

std::string first_bytes(const fs::path& path) {
  std::string text(kMaxHeaderBytes, '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  return text;
}

std::string line_at(const std::string& text, size_t at) {
  const size_t end = std::min(text.find_first_of("\r\n", at), text.size());
  return std::string(trim(std::string_view(text).substr(at, end - at)));
}

// What follows the key and its mark, wherever it stands: the libraries differ from the formats' descriptions in what they take for a line. The header of a file
// that holds its voxels itself is followed by bytes that will not spell the key.
std::vector<std::string> values_of(const std::string& text, const std::vector<std::string>& keys, std::string_view marks) {
  const std::string lower = to_lower(text);
  std::vector<std::string> values;
  for (const std::string& key : keys) {
    for (size_t at = lower.find(key); at != std::string::npos; at = lower.find(key, at + 1)) {
      const size_t mark = text.find_first_not_of(kSpace, at + key.size());
      if (mark == std::string::npos || marks.find(text[mark]) == std::string_view::npos) continue;
      values.push_back(line_at(text, std::min(text.find_first_not_of(kSpace, mark + 1), text.size())));
      if (values.back().starts_with("LIST")) {
        for (size_t line = text.find('\n', mark); line != std::string::npos; line = text.find('\n', line + 1)) values.push_back(line_at(text, line + 1));
      }
    }
  }
  std::erase_if(values, [](const std::string& value) { return value.empty() || value.starts_with("LIST"); });
  return values;
}

// The libraries pass a name with % to printf as its format, which can then read and write anywhere: one number is all that may be in it.
bool is_numbered(const std::string& name, const fs::path& header) {
  const size_t percent = name.find('%');
  if (percent == std::string::npos) return false;
  const size_t letter = std::min(name.find_first_not_of("0123456789", percent + 1), name.size());
  if (letter - percent > 3 || letter == name.size() || name[letter] != 'd' || name.find('%', letter) != std::string::npos) {
    throw Error(ExitCode::data, header.string() + ": the name of the files of its voxels is not understood", "one %d is allowed in it, for the number");
  }
  return true;
}

// 0 if there is no such file.
uint64_t regular_size(const fs::path& path, const fs::path& header) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return 0;
  if (!fs::is_regular_file(status))
    throw Error(ExitCode::data, concat(header.string(), ": the file of its voxels, ", path.string(), ", is not a regular file"));
  const uintmax_t size = fs::file_size(path, error);
  return error ? 0 : size;
}

// MetaIO believes these without looking: it reads as many numbers as there are axes, and allocates as many bytes as were compressed.
void check_meta_number(const std::string& text, const std::string& key, double low, double high, const fs::path& path) {
  for (const std::string& value : values_of(text, {key}, "=:")) {
    double number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size() || !(number >= low && number <= high)) {
      throw Error(ExitCode::data, concat(path.string(), ": its header gives '", key, "' a value that is not a number from ", low, " to ", high),
                  "the file is probably damaged");
    }
  }
}

}  // namespace

uint64_t most_voxel_bytes(uint64_t file_bytes) { return file_bytes > kUnlimited / kMostOfZlib ? kUnlimited : file_bytes * kMostOfZlib; }

uint64_t most_voxel_bytes(const fs::path& path, bool is_nrrd) {
  const std::string text = first_bytes(path);
  std::vector<std::string> names = is_nrrd ? values_of(text, {"data file", "datafile"}, ":") : values_of(text, {"elementdatafile"}, "=:");
  const bool is_local = !is_nrrd && std::erase_if(names, [](const std::string& name) { return to_lower(name) == "local"; }) > 0;
  uint64_t bytes = is_local || names.empty() ? regular_size(path, path) : 0;
  bool is_unlimited = false;
  for (const std::string& name : names) {
    is_unlimited |= is_numbered(name, path);
    bytes += std::max(regular_size(path.parent_path() / name, path), regular_size(name, path));
  }
  if (bytes == 0 && !is_unlimited) throw Error(ExitCode::data, concat(path.string(), ": the file of its voxels, ", names[0], ", is missing or empty"));
  if (!is_nrrd) {
    check_meta_number(text, "ndims", 1, 9, path);
    check_meta_number(text, "compresseddatasize", 0, static_cast<double>(is_unlimited ? kMaxUnknownBytes : bytes), path);
    check_meta_number(text, "headersize", -1, static_cast<double>(is_unlimited ? kMaxUnknownBytes : bytes), path);
  }
  return is_unlimited ? kUnlimited : most_voxel_bytes(bytes);
}

}  // namespace vmae::io
