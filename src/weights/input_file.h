#pragma once
// An open weight file: its size, and bytes at any offset. Every
// failure in this folder leaves through fail() or guarded().
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "vmae/core/error.h"

namespace vmae::weights {

// Error(checkpoint)
[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what, const std::string& hint = "");

class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path);  // regular files only
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  uint64_t size() const { return size_; }
  void read(uint64_t offset, void* to, uint64_t size) const;
  std::string head(uint64_t size) const;  // the first bytes, fewer if the file is shorter

 private:
  std::filesystem::path path_;
  uint64_t size_ = 0;
  int descriptor_ = -1;
};

// Of a message of LibTorch, without where in its sources it comes from, and what it asks of its developers.
std::string first_part(const std::string& message);

// Whatever goes wrong in `work` (disk full, out of memory, a name
// that is no UTF-8) is an Error(checkpoint) that names the file.
template <class Work>
auto guarded(const std::filesystem::path& path, const Work& work) {
  try {
    return work();
  } catch (const Error& error) {
    // usage: a folder that is not there
    throw Error(error.code() == ExitCode::usage ? ExitCode::usage : ExitCode::checkpoint, error.what(), error.hint());
  } catch (const std::exception& error) {
    fail(path, first_part(error.what()));
  }
}

}  // namespace vmae::weights
