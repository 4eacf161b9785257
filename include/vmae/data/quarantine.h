#pragma once
// Files that could not be read: each is written once to quarantine.jsonl ({"file": name, "reason": text}) and logged as a warning, and a run goes on
// until more than max_bad_fraction of the files is bad; then Error(data), exit 3.
// A resumed run goes on with the file: lines that are there are not written again, but only files found bad by this process count.
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace vmae::data {

class Quarantine {
 public:
  // `file`: "" keeps the list in memory only (dry run). num_files: what max_bad_fraction refers to, added up over datasets by expect().
  Quarantine(std::filesystem::path file, double max_bad_fraction);
  void expect(int64_t num_files);
  void add(const std::string& name, const std::string& reason);  // thread-safe; throws Error(data) above the limit, naming the first few and the option
  bool contains(const std::string& name) const;
  int64_t count() const;
  std::vector<std::pair<std::string, std::string>> take_news();  // name and reason of each file added since the last call

 private:
  mutable std::mutex mutex_;
  std::filesystem::path file_;
  double max_bad_fraction_;
  int64_t num_files_ = 0;
  std::set<std::string> names_, written_;
  std::vector<std::pair<std::string, std::string>> news_;
};

}  // namespace vmae::data
