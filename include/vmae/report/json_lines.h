#pragma once
// JSON lines: one object a line (metrics.jsonl, quarantine.jsonl).
#include <filesystem>
#include <functional>
#include <string>

#include "vmae/core/append_file.h"

namespace vmae {

class JsonLines {
 public:
  // append: goes on after the last whole line (what a kill left of a torn
  // one is dropped); otherwise starts an empty file. Throws Error(internal).
  JsonLines(const std::filesystem::path& path, bool append);
  void write(const std::string& one_json_line);  // without the newline; one write()

 private:
  AppendFile file_;
};

// Rewrites the file, atomically, with only those lines for which `keep` is true; a
// torn last line goes. At resume: drops the lines of steps after the checkpoint.
// No file is nothing to do. An exception of `keep` leaves the file as it was.
void truncate_after(const std::filesystem::path& path, const std::function<bool(const std::string& line)>& keep);

}  // namespace vmae
