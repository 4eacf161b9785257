#include "vmae/train/run_folder.h"

#include <torch/version.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/json_text.h"
#include "vmae/core/machine.h"
#include "vmae/core/version.h"
#include "vmae/train/device.h"

namespace vmae::train {

namespace fs = std::filesystem;

namespace {

// Everything that a run writes by itself; --overwrite removes these and leaves the rest of the folder alone.
bool is_run_file(const std::string& name) {
  for (const char* own : {"config.yaml", "env.json", "train.log", "metrics.jsonl", "quarantine.jsonl", "splits.json",
                          "sources.json", "non_finite.json", "plans.json", "dataset.json", "samples", "checkpoints",
                          "data_card", "test", "external_test", "eval"}) {
    if (name == own) return true;
  }
  return name.starts_with("events.out.tfevents.");
}

// Something that only training can make again: weights or predictions. What a start that never came
// to a checkpoint has left (no data, a wrong option, a full disk, a kill) does not occupy the folder.
bool holds_results(const RunFolder& folder) {
  const auto holds_some = [](const fs::path& path) {
    if (!fs::is_directory(path)) return fs::exists(path);
    const fs::directory_iterator entries(path);
    return std::any_of(begin(entries), end(entries),
                       [](const auto& entry) { return entry.path().extension() != ".tmp"; });
  };
  const fs::path &path = folder.path(), checkpoints = folder.checkpoints();
  return holds_some(checkpoints) || holds_some(path / "test") || holds_some(path / "external_test") ||
         holds_some(path / "eval");
}

constexpr const char* kJobFile = ".job";    // who began or last continued the run
constexpr const char* kLockFile = ".lock";  // in every folder of a run

}  // namespace

IfExists after_restart(const fs::path& folder, const Launch& launch, IfExists wanted) {
  // "Can't be told" must not become "is not there": the run would be started over.
  const auto is_there = [](const fs::path& path) {
    std::error_code problem;
    const bool exists = fs::exists(path, problem);
    if (problem)
      throw Error(ExitCode::usage, concat("run.dir: ", path.string(), " can't be looked at: ", problem.message()),
                  "see that the folder can be reached");
    return exists;
  };
  if (launch.attempt == 0 || !is_there(folder / kJobFile) || read_file(folder / kJobFile) != launch.job) return wanted;
  return is_there(folder / "checkpoints" / "last.safetensors") ? IfExists::resume : IfExists::overwrite;
}

RunFolder::RunFolder(fs::path path, IfExists if_exists, const Launch& launch) : path_(std::move(path)) {
  std::error_code problem;
  if (fs::exists(path_) && !fs::is_directory(path_))
    throw Error(ExitCode::usage, concat("run.dir = ", path_.string(), " is a file"), "give a folder");
  const auto refuse_results = [&] {
    if (if_exists == IfExists::overwrite || fs::exists(last_checkpoint()) || !fs::is_directory(path_) ||
        !holds_results(*this))
      return;
    throw Error(if_exists == IfExists::resume ? ExitCode::checkpoint : ExitCode::usage,
                concat("run.dir = ", path_.string(), " holds results of a run, but no ", last_checkpoint().string()),
                "bring that file back, start over with --overwrite, which deletes them, or choose another run.dir");
  };
  refuse_results();
  if (if_exists == IfExists::refuse && fs::exists(last_checkpoint())) {
    throw Error(ExitCode::usage, concat("run.dir = ", path_.string(), " already holds a run"),
                "continue it with --resume, start over with --overwrite, or choose another run.dir");
  }
  for (const char* of_dataset : {"dataset.json", "plans.json"}) {  // nnU-Net's
    if (fs::exists(path_ / of_dataset) && !fs::exists(path_ / kLockFile))
      throw Error(ExitCode::usage,
                  concat("run.dir = ", path_.string(), " holds a ", of_dataset,
                         " that is not of a run, which would replace it"),
                  "choose another run.dir");
  }
  is_failed_start_ = if_exists != IfExists::overwrite && fs::exists(config()) && !fs::exists(last_checkpoint());
  if (if_exists == IfExists::resume && !fs::exists(last_checkpoint()) && !is_failed_start_) {
    throw Error(ExitCode::checkpoint, concat("nothing to resume: ", last_checkpoint().string(), " does not exist"),
                "check run.dir, or start the run without --resume");
  }
  fs::create_directories(path_, problem);
  if (problem)
    throw Error(ExitCode::usage, concat("run.dir = ", path_.string(), " can't be created: ", problem.message()),
                "choose a folder that you may write to");

  lock_ = std::make_unique<FileLock>(path_ / kLockFile, concat("run.dir = ", path_.string()));
  if (!lock_->is_held())
    throw Error(ExitCode::usage, concat("another process is writing to run.dir = ", path_.string()),
                "wait for it to end, or choose another run.dir");

  refuse_results();  // another process may have come to an end meanwhile
  if (if_exists == IfExists::overwrite) fs::remove(log());
  if (if_exists != IfExists::resume || is_failed_start_) fs::remove(quarantine());
  fs::create_directories(checkpoints());
  fs::create_directories(samples());
  for (const fs::path& written : {path_, checkpoints(), samples(), path_ / "data_card"})
    remove_unfinished_writes(written);
  fs::remove(checkpoints() / "previous.tmp", problem);  // a link that was not renamed (checkpoint.cpp)
  if (!launch.job.empty()) write_file_atomically(path_ / kJobFile, launch.job);
}

void RunFolder::clear() {
  for (const auto& entry : fs::directory_iterator(path_)) {
    if (is_run_file(entry.path().filename().string()) && entry.path() != log() && entry.path() != quarantine())
      fs::remove_all(entry.path());
  }
  fs::create_directories(checkpoints());
  fs::create_directories(samples());
}

void write_env(const RunFolder& folder, const std::string& command_line, const std::string& device,
               const std::string& precision) {
  char time[32];
  const std::time_t now = std::time(nullptr);
  std::strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  const nlohmann::ordered_json env = {{"time", time},
                                      {"command_line", command_line},
                                      {"vmae_version", version()},
                                      {"vmae_revision", git_revision()},
                                      {"build", build_summary()},
                                      {"libtorch", TORCH_VERSION},
                                      {"cuda", cuda_versions()},
                                      {"host", host_name()},
                                      {"cpu", cpu_model()},
                                      {"threads", usable_threads()},
                                      {"gpus", cuda_devices()},
                                      {"device", device},
                                      {"precision", precision}};
  write_file_atomically(folder.env(), json_text(env, 2) + "\n");
}

}  // namespace vmae::train
