#include "vmae/core/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "vmae/core/error.h"

namespace vmae {

FileLock::FileLock(const std::filesystem::path& file, const std::string& what)
    : file_(open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666)) {
  if (file_ < 0)
    throw Error(ExitCode::usage, concat(what, " can't be written to: ", std::strerror(errno)),
                "choose a folder that you may write to");
  struct stat status {};
  is_held_ = flock(file_, LOCK_EX | LOCK_NB) == 0 && fstat(file_, &status) == 0 && status.st_nlink > 0;
}

FileLock::~FileLock() { close(file_); }

}  // namespace vmae
