#pragma once
// Whose turn it is, told by a file: held by one process at a time, and let go when it ends, however
// it ends. The file stays: were it removed, two later processes could hold two different files.
#include <filesystem>
#include <string>

namespace vmae {

class FileLock {
 public:
  // Creates the file if it is not there. Does not wait. Throws
  // Error(usage, what + " can't be written to") where it can't be opened.
  FileLock(const std::filesystem::path& file, const std::string& what);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  // False: another process holds it, or its last holder has removed the file meanwhile.
  bool is_held() const { return is_held_; }

 private:
  int file_ = -1;
  bool is_held_ = false;
};

}  // namespace vmae
