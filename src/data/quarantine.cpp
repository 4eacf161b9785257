// A line of JSON per bad file, appended and flushed at once: a run that is killed leaves a complete list.
#include "vmae/data/quarantine.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "vmae/core/error.h"
#include "vmae/core/json_text.h"
#include "vmae/core/log.h"

namespace vmae::data {

Quarantine::Quarantine(std::filesystem::path file, double max_bad_fraction)
    : file_(std::move(file)), max_bad_fraction_(max_bad_fraction) {
  std::ifstream lines(file_);
  for (std::string line; std::getline(lines, line);) {
    const auto record = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (record.is_object() && record.contains("file") && record["file"].is_string()) written_.insert(record["file"]);
  }
}

void Quarantine::expect(int64_t num_files) {
  const std::lock_guard lock(mutex_);
  num_files_ += num_files;
}

void Quarantine::add(const std::string& name, const std::string& reason, int64_t epoch) {
  const std::lock_guard lock(mutex_);
  if (!names_.insert(name).second) {
    if (const auto known = news_.find(name); known != news_.end())
      known->second.epoch = std::min(known->second.epoch, epoch);
    return;
  }
  news_.emplace(name, News{reason, epoch});
  log::warning(concat("unreadable file left out: ", reason));
  if (!file_.empty() && written_.insert(name).second) {
    std::ofstream out(file_, std::ios::app);
    out << json_text(nlohmann::json{{"file", name}, {"reason", reason}}) << '\n';
    out.flush();
    if (!out) log::warning("can't write " + file_.string());
  }
  if (static_cast<double>(names_.size()) <= max_bad_fraction_ * static_cast<double>(num_files_)) return;
  std::vector<std::string> first_few;
  for (const std::string& bad : names_) {
    if (first_few.size() == 5) break;
    first_few.push_back(bad);
  }
  throw Error(ExitCode::data,
              concat(names_.size(), " of ", num_files_, " files can't be read, more than data.max_bad_fraction = ",
                     max_bad_fraction_, " allows: ", join(first_few, ", "),
                     names_.size() > first_few.size() ? ", ..." : "", "; the last because: ", reason),
              file_.empty() ? "repair or remove them, or raise data.max_bad_fraction"
                            : concat("the reasons are in ", file_.string(),
                                     "; repair or remove the files, or raise data.max_bad_fraction"));
}

bool Quarantine::contains(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  return names_.contains(name);
}

std::vector<std::pair<std::string, std::string>> Quarantine::take_news(int64_t epoch) {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<std::string, std::string>> taken;
  for (const auto& [name, news] : news_) {
    if (news.epoch <= epoch) taken.emplace_back(name, news.reason);
  }
  for (const auto& [name, reason] : taken) news_.erase(name);
  return taken;
}

bool Quarantine::leave_out(const std::string& name, const std::string& reason) {
  add(name, reason);
  const std::lock_guard lock(mutex_);
  news_.erase(name);  // all ranks know
  leaves_some_out_ = true;
  return left_out_.insert(name).second;
}

bool Quarantine::is_left_out(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  return left_out_.contains(name);
}

int64_t Quarantine::count() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(names_.size());
}

}  // namespace vmae::data
