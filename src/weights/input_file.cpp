#include "input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vmae::weights {

void fail(const std::filesystem::path& path, const std::string& what, const std::string& hint) {
  throw Error(ExitCode::checkpoint, concat("weights ", path.string(), ": ", what), hint);
}

InputFile::InputFile(const std::filesystem::path& path) : path_(path) {
  // O_NONBLOCK: opening a pipe must not wait for a writer
  descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) fail(path, concat("cannot be opened: ", std::strerror(errno)));
  struct stat status {};
  const bool is_file = fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
  if (!is_file) {
    close(descriptor_);
    fail(path, "is not a regular file");
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

InputFile::~InputFile() { close(descriptor_); }

void InputFile::read(uint64_t offset, void* to, uint64_t size) const {
  auto* bytes = static_cast<char*>(to);
  while (size > 0) {
    const ssize_t got = pread(descriptor_, bytes, std::min<uint64_t>(size, 1u << 30), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path_, concat("cannot be read at byte ", offset, ": ", std::strerror(errno)));
    if (got == 0) fail(path_, concat("ends at byte ", offset, " although ", size, " more were expected"));
    bytes += got;
    offset += static_cast<uint64_t>(got);
    size -= static_cast<uint64_t>(got);
  }
}

std::string InputFile::head(uint64_t size) const {
  std::string bytes(std::min(size, size_), '\0');
  read(0, bytes.data(), bytes.size());
  return bytes;
}

std::string first_part(const std::string& message) {
  const size_t end =
      std::min(message.find("\nException raised from"), message.find("  (Could this error message be improved"));
  return message.substr(0, end);
}

}  // namespace vmae::weights
