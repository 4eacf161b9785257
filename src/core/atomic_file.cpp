// The temporary file is made with O_EXCL under "<target>.<pid>.<n>.tmp": unlike mkstemp, this keeps the user's umask.
#include "vmae/core/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "file_error.h"
#include "vmae/core/error.h"

namespace vmae {
namespace {

// Writes everything, at `offset`. A disk that fills up gives first a short write, then an error.
void write_fully(int descriptor, const std::filesystem::path& path, const char* bytes, size_t size, size_t offset) {
  while (size > 0) {
    const ssize_t written = pwrite(descriptor, bytes, size, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_write_error(path, errno, offset, size);
    bytes += written;
    size -= static_cast<size_t>(written);
    offset += static_cast<size_t>(written);
  }
}

void sync_folder(const std::filesystem::path& folder) {
  const int descriptor = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) throw_file_error("open", folder, errno);
  const int error_number = fsync(descriptor) == 0 ? 0 : errno;
  close(descriptor);
  if (error_number != 0 && error_number != EINVAL && error_number != ENOTSUP)
    throw_file_error("sync", folder, error_number);  // some network file systems cannot
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path target, unsigned mode) : target_(std::move(target)) {
  std::error_code ignored;
  if (std::filesystem::is_directory(target_, ignored)) throw_file_error("create", target_, EISDIR);
  for (int attempt = 0; descriptor_ < 0; ++attempt) {
    temporary_ = target_;
    temporary_ += concat(".", getpid(), ".", attempt, ".tmp");
    descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (descriptor_ < 0 && errno != EEXIST) throw_file_error("create", temporary_, errno);
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void AtomicFile::write(const void* bytes, size_t size) {
  write_fully(descriptor_, temporary_, static_cast<const char*>(bytes), size, size_);
  size_ += size;
}

void AtomicFile::write_at(size_t offset, const void* bytes, size_t size) {
  if (offset > size_ || size > size_ - offset) {
    throw Error(ExitCode::internal,
                concat("write_at ", offset, " + ", size, " is past the ", size_, " bytes of ", target_.string()));
  }
  write_fully(descriptor_, temporary_, static_cast<const char*>(bytes), size, offset);
}

void AtomicFile::commit() {
  if (fsync(descriptor_) != 0) throw_write_error(temporary_, errno, size_, 0);
  const int closed = close(std::exchange(descriptor_, -1));
  if (closed != 0) throw_write_error(temporary_, errno, size_, 0);
  if (rename(temporary_.c_str(), target_.c_str()) != 0) throw_file_error("rename a finished file to", target_, errno);
  temporary_.clear();
  sync_folder(target_.parent_path());
}

void write_file_atomically(const std::filesystem::path& target, std::string_view content, unsigned mode) {
  AtomicFile file(target, mode);
  file.write(content);
  file.commit();
}

std::string read_file(const std::filesystem::path& path) {
  const auto fail = [&](int error_number) {
    throw Error(ExitCode::data,
                concat("cannot read ", path.string(), ": ", std::generic_category().message(error_number)));
  };
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail(errno);
  std::string content;
  struct stat status {};
  if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode)) content.reserve(static_cast<size_t>(status.st_size));
  char buffer[65536];
  ssize_t count = 0;
  do {
    count = read(descriptor, buffer, sizeof buffer);
    if (count > 0) content.append(buffer, static_cast<size_t>(count));
  } while (count > 0 || (count < 0 && errno == EINTR));
  const int error_number = count < 0 ? errno : 0;
  close(descriptor);
  if (error_number != 0) fail(error_number);
  return content;
}

std::string target_of_unfinished_write(const std::filesystem::path& file) {
  std::filesystem::path name = file.filename();
  if (name.extension() != ".tmp") return "";
  for (int i = 0; i < 2; ++i) {
    name = name.stem();
    const std::string number = name.extension().string();
    if (number.size() < 2 || number.find_first_not_of("0123456789", 1) != std::string::npos) return "";
  }
  return name.stem().string();
}

void remove_unfinished_writes(const std::filesystem::path& folder, bool everywhere) {
  std::vector<std::filesystem::path> found;
  std::error_code ignored;
  for (std::filesystem::recursive_directory_iterator entry(folder, ignored), end; !ignored && entry != end;
       entry.increment(ignored)) {
    if (!everywhere) entry.disable_recursion_pending();
    if (entry->is_regular_file(ignored) && !target_of_unfinished_write(entry->path()).empty())
      found.push_back(entry->path());
  }
  for (const auto& file : found) std::filesystem::remove(file, ignored);
}

}  // namespace vmae
