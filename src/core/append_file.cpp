#include "vmae/core/append_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "file_error.h"

namespace vmae {

AppendFile::AppendFile(std::filesystem::path path, Open how) : path_(std::move(path)) {
  int flags = how == Open::truncate ? O_TRUNC : O_EXCL;
  if (how == Open::append) flags = 0;
  descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0666);
  if (descriptor_ < 0 && !(how == Open::create_new && errno == EEXIST)) throw_file_error("open", path_, errno);
}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

void AppendFile::append(std::string_view record) {
  ssize_t written = 0;
  do {
    written = write(descriptor_, record.data(), record.size());
  } while (written < 0 && errno == EINTR);
  if (written == static_cast<ssize_t>(record.size())) return;

  // A short write: the disk filled up inside the record. Take the part back, so that the file ends with a whole record.
  const int error_number = written < 0 ? errno : ENOSPC;
  const off_t end = lseek(descriptor_, 0, SEEK_END);
  const off_t whole = written > 0 ? end - written : end;
  if (whole != end && ftruncate(descriptor_, whole) != 0) throw_file_error("shorten", path_, errno);
  throw_write_error(path_, error_number, static_cast<size_t>(whole), record.size());
}

void AppendFile::sync() {
  // EINVAL: a pipe or a device
  if (fdatasync(descriptor_) != 0 && errno != EINVAL) throw_file_error("sync", path_, errno);
}

}  // namespace vmae
