#pragma once
// Files that grow by whole records (metrics.jsonl, events.out.tfevents.*):
// each record is one write(), so that a kill tears at most the last one.
#include <filesystem>
#include <string_view>

namespace vmae {

class AppendFile {
 public:
  enum class Open { append, truncate, create_new };  // create_new: is_open() is false if the file is there already
  AppendFile(std::filesystem::path path, Open how);  // throws Error(internal)
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  bool is_open() const { return descriptor_ >= 0; }
  // on a full disk the part that was written is taken back, then throws Error(internal)
  void append(std::string_view record);
  void sync();  // to the disk

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace vmae
