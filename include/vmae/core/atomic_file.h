#pragma once
// Files that appear whole or not at all: written to a temporary name beside the
// target, fsynced, renamed, folder fsynced. A write past RLIMIT_FSIZE is an Error
// only where SIGXFSZ is ignored (main does); by default that signal ends the process.
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace vmae {

constexpr unsigned kOwnerOnly = 0600;

class AtomicFile {
 public:
  // throws Error(internal) naming the path and the reason; mode as of open(), kOwnerOnly for secrets
  explicit AtomicFile(std::filesystem::path target, unsigned mode = 0666);
  // without commit(): removes the temporary file, the target is untouched
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* bytes, size_t size);  // throws Error(internal) on a full disk; the target is untouched
  void write(std::string_view text) { write(text.data(), text.size()); }
  void write_at(size_t offset, const void* bytes, size_t size);  // overwrites bytes written before
  void commit();

 private:
  std::filesystem::path target_, temporary_;
  int descriptor_ = -1;
  size_t size_ = 0;
};

void write_file_atomically(const std::filesystem::path& target, std::string_view content, unsigned mode = 0666);
std::string read_file(const std::filesystem::path& path);  // throws Error(data)

// What a process that was killed while it wrote a file has left is called NAME.PID.N.tmp:
// then NAME, without folders; "" for all other files.
std::string target_of_unfinished_write(const std::filesystem::path& file);
// Removes such files from a folder, and from those in it if `everywhere`. One that stays is only untidy.
void remove_unfinished_writes(const std::filesystem::path& folder, bool everywhere = false);

}  // namespace vmae
