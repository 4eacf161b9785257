#include "zip_file.h"

#include <zip.h>

#include "input_file.h"

namespace vmae::weights {

void ZipEntry::Close::operator()(zip_file* entry) const { zip_fclose(entry); }

void ZipFile::Close::operator()(zip* archive) const { zip_discard(archive); }

ZipEntry::ZipEntry(zip* archive, uint64_t index, std::filesystem::path path) : path_(std::move(path)) {
  zip_stat_t status;
  zip_stat_init(&status);
  constexpr zip_uint64_t kNeeded = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_METHOD;
  if (zip_stat_index(archive, index, 0, &status) != 0 || (status.valid & kNeeded) != kNeeded)
    fail(path_, concat("entry ", index, " of the zip is damaged"));
  name_ = status.name;
  size_ = status.size;
  has_checksum_ = (status.valid & ZIP_STAT_CRC) != 0 && status.crc != 0;
  if (status.comp_method != ZIP_CM_STORE && status.comp_method != ZIP_CM_DEFLATE)
    refuse("is compressed in a way that vmae does not read");
  entry_.reset(zip_fopen_index(archive, index, 0));
  if (!entry_) refuse(zip_strerror(archive));
}

void ZipEntry::refuse(const std::string& what, const std::string& hint) const {
  fail(path_, concat(name_, ": ", what), hint);
}

void ZipEntry::read(void* to, uint64_t size) {
  auto* bytes = static_cast<char*>(to);
  while (size > 0) {
    const zip_int64_t got = zip_fread(entry_.get(), bytes, size);
    if (got <= 0) refuse("ends early, or is damaged");
    bytes += got;
    size -= static_cast<uint64_t>(got);
  }
}

std::string ZipEntry::read(uint64_t size) {
  std::string bytes(size, '\0');
  read(bytes.data(), size);
  return bytes;
}

void ZipEntry::expect_end() {
  char more = 0;
  const zip_int64_t got = zip_fread(entry_.get(), &more, 1);
  if (got > 0) refuse("has more bytes than its header says");
  if (got < 0 && has_checksum_) refuse("is damaged: its checksum is another");
}

ZipFile::ZipFile(const std::filesystem::path& path) : path_(path) {
  int problem = 0;
  zip_.reset(zip_open(path.c_str(), ZIP_RDONLY, &problem));
  if (zip_) return;
  zip_error_t error;
  zip_error_init_with_code(&error, problem);
  const std::string text = zip_error_strerror(&error);
  zip_error_fini(&error);
  fail(path, concat("is truncated or damaged: its zip directory cannot be read (", text, ")"),
       "copy it again from where it came from");
}

uint64_t ZipFile::count() const { return static_cast<uint64_t>(zip_get_num_entries(zip_.get(), 0)); }

std::string ZipFile::name(uint64_t index) const {
  const char* name = zip_get_name(zip_.get(), index, 0);
  return name == nullptr ? "" : name;
}

std::optional<uint64_t> ZipFile::find(const std::string& name) const {
  const zip_int64_t index = zip_name_locate(zip_.get(), name.c_str(), 0);
  return index < 0 ? std::nullopt : std::optional(static_cast<uint64_t>(index));
}

}  // namespace vmae::weights
