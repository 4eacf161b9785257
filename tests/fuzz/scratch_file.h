#pragma once
// For parsers that want a path: the input as a file in memory (/dev/shm),
// under a name that can be chosen. Removed at the end of the scope.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

namespace vmae::test {

class ScratchFile {
 public:
  ScratchFile(const std::string& name, std::string_view bytes) : path_(folder() / name) {
    std::FILE* file = std::fopen(path_.c_str(), "wb");
    if (file == nullptr || std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size() || std::fclose(file) != 0) {
      std::perror(path_.c_str());
      std::_Exit(1);
    }
  }
  ~ScratchFile() { unlink(path_.c_str()); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  static const std::filesystem::path& folder() {
    static const struct Folder {
      std::filesystem::path path;
      Folder() {
        const std::filesystem::path base =
            std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path();
        path = base / ("vmae-fuzz-" + std::to_string(getpid()));
        std::filesystem::create_directories(path);
      }
      ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
      }
    } made;
    return made.path;
  }

  std::filesystem::path path_;
};

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace vmae::test
