#pragma once
// What a prediction under way has done, line by line in its output folder, so
// that one that was killed goes on where it was. When all is done the file goes.
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vmae/cases/source_file.h"
#include "vmae/core/append_file.h"
#include "vmae/core/file_lock.h"

namespace vmae::run {

struct PredictedCase {
  std::vector<std::string> files;      // relative to the output folder
  std::string cases_row, slices_rows;  // of classification: lines of the CSVs
};

// All that decides what is written, by what people call it.
using PredictPlan = std::vector<std::pair<std::string, std::string>>;

class PredictJournal {
 public:
  static std::filesystem::path file_in(const std::filesystem::path& output) {
    return output / "predict.unfinished.jsonl";
  }
  static bool is_in(const std::filesystem::path& output);

  // Begins, or goes on where the folder has a journal of the same plan. Throws Error(usage) naming what differs, or
  // where another process is at work. begins_anew: an earlier journal does not count.
  PredictJournal(const std::filesystem::path& output, const PredictPlan& plan, bool begins_anew);

  // What an earlier process did of this case; nullptr: nothing, or not all of its files are there any more.
  const PredictedCase* find(const std::string& name) const;
  void add(const std::string& name, const PredictedCase& done);
  void finish();  // removes the file

 private:
  void read(const PredictPlan& plan);
  std::filesystem::path output_;
  std::unique_ptr<FileLock> lock_;
  std::optional<AppendFile> file_;
  std::map<std::string, PredictedCase> done_;
};

}  // namespace vmae::run
