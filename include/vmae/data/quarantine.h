#pragma once
// Files that could not be read: each is written once to quarantine.jsonl ({"file": name, "reason": text})
// and logged as a warning, and a run goes on until more than max_bad_fraction of the files is bad; then
// Error(data), exit 3. A resumed run goes on with the file: lines that are there are not written again,
// but only files found bad by this process count. Of several ranks each has its own, for a file may be
// unreadable on one host alone. What they tell each other at the end of an epoch (take_news) all of them
// leave out from then on, so that which samples are trained on does not depend on which rank they fall to.
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace vmae::data {

class Quarantine {
 public:
  // `file`: "" keeps the list in memory only (dry run). num_files: what
  // max_bad_fraction refers to, added up over datasets by expect().
  Quarantine(std::filesystem::path file, double max_bad_fraction);
  void expect(int64_t num_files);
  // Thread-safe; throws Error(data) above the limit, naming the first few
  // and the option. epoch: in which it was wanted; -1: before the first.
  void add(const std::string& name, const std::string& reason, int64_t epoch = -1);
  bool contains(const std::string& name) const;
  int64_t count() const;

  // Name and reason of each file that was wanted in an epoch up to this one, once, sorted by name. What
  // workers who run ahead found for later epochs waits: the answer does not depend on how far ahead they are.
  std::vector<std::pair<std::string, std::string>> take_news(int64_t epoch);
  // Adds a file that some rank could not read; is_left_out() from then on. True if it was not left out before.
  bool leave_out(const std::string& name, const std::string& reason);
  bool is_left_out(const std::string& name) const;
  bool leaves_some_out() const { return leaves_some_out_; }  // without waiting for the lock

 private:
  mutable std::mutex mutex_;
  std::filesystem::path file_;
  double max_bad_fraction_;
  int64_t num_files_ = 0;
  std::atomic<bool> leaves_some_out_ = false;
  struct News {
    std::string reason;
    int64_t epoch;
  };
  std::set<std::string> names_, written_, left_out_;
  std::map<std::string, News> news_;
};

}  // namespace vmae::data
