#include "journal.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "vmae/cases/channels.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/crc32c.h"
#include "vmae/core/error.h"
#include "vmae/core/json_text.h"
#include "vmae/prepared/prepared.h"

namespace vmae::run {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

std::string line_of(const Json& json) { return json_text(json) + "\n"; }

Json json_of(const PredictPlan& plan) {
  Json json = Json::object();
  for (const auto& [key, value] : plan) json[key] = value;
  return Json::parse(line_of(json));
}

// "mirror was false, is true"
std::vector<std::string> differences(const Json& was, const Json& is) {
  std::vector<std::string> texts;
  const auto text = [](const Json& json, const std::string& key) {
    return json.contains(key) ? json[key].get<std::string>() : "not set";
  };
  for (const auto& [key, value] : was.items()) {
    if (text(was, key) != text(is, key)) texts.push_back(concat(key, " was ", text(was, key), ", is ", text(is, key)));
  }
  for (const auto& [key, value] : is.items()) {
    if (!was.contains(key)) texts.push_back(concat(key, " was not set, is ", text(is, key)));
  }
  return texts;
}

Error in_use(const fs::path& output) {
  return Error(ExitCode::usage, concat("--output ", output.string(), ": another vmae predict is at work there"),
               "wait for it, or choose another folder");
}

}  // namespace

bool PredictJournal::is_in(const fs::path& output) {
  std::error_code problem;
  return fs::is_regular_file(file_in(output), problem);
}

PredictJournal::PredictJournal(const fs::path& output, const PredictPlan& plan, bool begins_anew) : output_(output) {
  const fs::path path = file_in(output);
  lock_ = std::make_unique<FileLock>(path, concat("--output ", output.string()));
  if (!lock_->is_held()) throw in_use(output);  // or its holder has just finished, and removed it
  if (!begins_anew) read(plan);
  // Anew: what was read, whole; so a torn line at the end is gone.
  std::string text = line_of({{"plan", json_of(plan)}});
  for (const auto& [name, done] : done_)
    text += line_of(
        {{"case", name}, {"files", done.files}, {"cases_row", done.cases_row}, {"slices_rows", done.slices_rows}});
  file_.emplace(path, AppendFile::Open::truncate);
  file_->append(text);
}

void PredictJournal::read(const PredictPlan& plan) {
  const fs::path path = file_in(output_);
  std::istringstream lines(read_file(path));
  std::string line;
  if (!std::getline(lines, line)) return;  // killed before it had begun
  const Json head = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!head.is_object() || !head.contains("plan")) {
    if (lines.peek() == std::istringstream::traits_type::eof()) return;  // the first line is torn: nothing was done
    throw Error(ExitCode::usage, concat(path.string(), " is damaged"),
                "predict with --overwrite, or into another folder");
  }
  const Json now = json_of(plan);
  if (head["plan"] != now) {
    throw Error(ExitCode::usage,
                concat("--output ", output_.string(), " holds a prediction that is not finished, of another plan: ",
                       join(differences(head["plan"], now), "; ")),
                "go on with the command that it was begun with, start over with --overwrite, or choose another folder");
  }
  remove_unfinished_writes(output_, /*everywhere=*/true);
  while (std::getline(lines, line)) {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) break;  // torn: its case is predicted again
    const auto text = [&](const char* key) { return json.at(key).get<std::string>(); };
    done_[text("case")] = {json.at("files").get<std::vector<std::string>>(), text("cases_row"), text("slices_rows")};
  }
}

const PredictedCase* PredictJournal::find(const std::string& name) const {
  const auto found = done_.find(name);
  if (found == done_.end()) return nullptr;
  const auto& files = found->second.files;
  std::error_code problem;
  const bool is_whole = std::all_of(files.begin(), files.end(), [&](const std::string& file) {
    return fs::is_regular_file(output_ / file, problem);
  });
  return is_whole ? &found->second : nullptr;
}

void PredictJournal::add(const std::string& name, const PredictedCase& done) {
  file_->append(line_of(
      {{"case", name}, {"files", done.files}, {"cases_row", done.cases_row}, {"slices_rows", done.slices_rows}}));
}

void PredictJournal::finish() {
  std::error_code problem;
  fs::remove(file_in(output_), problem);
}

}  // namespace vmae::run
