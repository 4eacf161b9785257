#include "output_folder.h"

#include <nlohmann/json.hpp>

#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"

namespace vmae::run {
namespace {

namespace fs = std::filesystem;

bool is_ours(const std::string& name) {
  const bool is_shard = name.size() == 18 && name.starts_with("shard-") && name.ends_with(".mdb");
  return is_shard || name == "index.json" || name == "plan.json" || name == "prepare.log" ||
         name == "quarantine.jsonl" || name == "duplicates.jsonl" || name == "work.mdb";
}

bool is_unfinished_write(const std::string& name) { return is_ours(target_of_unfinished_write(name)); }

}  // namespace

OutputFolder::OutputFolder(fs::path path) : path_(std::move(path)) {
  std::error_code problem;
  if (fs::exists(path_, problem) && !fs::is_directory(path_, problem))
    throw Error(ExitCode::usage, concat("--output ", path_.string(), " is a file"), "give a folder");
  refuse_others();
  if (fs::create_directories(path_, problem); problem)
    throw Error(ExitCode::usage, concat("--output ", path_.string(), " can't be created: ", problem.message()),
                "choose another folder");
  lock_.emplace(path_ / ".lock", concat("--output ", path_.string()));
  if (!lock_->is_held())
    throw Error(ExitCode::usage, concat("--output ", path_.string(), ": another vmae prepare is at work there"),
                "wait for it, or choose another folder");
}

// A folder is ours if it has a plan.json (the first file
// written) and nothing that we do not write; or if it is empty.
void OutputFolder::refuse_others() const {
  std::error_code absent;
  bool has_plan = false;
  std::string foreign, any;
  for (fs::directory_iterator entry(path_, absent), end; !absent && entry != end; entry.increment(absent)) {
    const std::string name = entry->path().filename().string();
    if (name == ".lock" || is_unfinished_write(name)) continue;
    any = name;
    has_plan |= name == "plan.json";
    if (!is_ours(name) || !entry->is_regular_file()) foreign = name;
  }
  if (absent && absent != std::errc::no_such_file_or_directory)
    throw Error(ExitCode::usage, concat("--output ", path_.string(), " can't be listed: ", absent.message()),
                "choose a folder of your own");
  if (!foreign.empty() || (!any.empty() && !has_plan)) {
    throw Error(ExitCode::usage,
                concat("--output ", path_.string(), " holds ", foreign.empty() ? any : foreign,
                       ", which is not of a prepared dataset"),
                "choose an empty or a new folder");
  }
}

void OutputFolder::begin(const Plan& plan, const Pseudonyms& pseudonyms, bool overwrite) const {
  const fs::path plan_file = file("plan.json");
  for (const fs::directory_entry& entry : fs::directory_iterator(path_)) {  // all ours: refuse_others()
    const std::string name = entry.path().filename().string();
    if (name != ".lock" && (overwrite || is_unfinished_write(name))) fs::remove(entry.path());
  }
  if (!overwrite && fs::exists(plan_file)) {
    const auto json = nlohmann::json::parse(read_file(plan_file), nullptr, /*allow_exceptions=*/false);
    const bool is_same = json.is_object() && json.contains("fingerprint") && json["fingerprint"] == plan.fingerprint;
    if (is_same && (!json.contains("salt") || json["salt"] == pseudonyms.salt_check())) return;
    throw Error(ExitCode::usage,
                concat("--output ", path_.string(),
                       " holds a dataset of other files, options or salt, or files have changed since"),
                "start over with --overwrite, go on with the same command as before, or choose another folder");
  }
  write_file_atomically(
      plan_file, nlohmann::json{{"fingerprint", plan.fingerprint}, {"salt", pseudonyms.salt_check()}}.dump() + "\n");
}

}  // namespace vmae::run
