#pragma once
// The folder of one run: what is where (docs/run-folder.md), and who may write into it.
#include <filesystem>
#include <memory>
#include <string>

#include "vmae/core/file_lock.h"
#include "vmae/core/launch.h"

namespace vmae::train {

enum class IfExists { refuse, resume, overwrite };

// After its launcher has started the job again (launch.attempt > 0): a run that this job began is
// resumed, or, if it had no checkpoint yet, begun anew, whatever was asked for at first. Else `wanted`.
IfExists after_restart(const std::filesystem::path& folder, const Launch& launch, IfExists wanted);

class RunFolder {
 public:
  // Creates the folder and locks it for this process. An existing run is refused (usage), resumed
  // (Error(checkpoint) if there is no last checkpoint), or, to be overwritten, left alone until clear():
  // a mistake in the config must not cost the earlier run. A start that left neither checkpoint nor
  // predictions is neither refused nor an error: is_failed_start(), and the run begins anew.
  // A folder of nnU-Net's, whose dataset.json or plans.json a run would replace, is refused (usage).
  RunFolder(std::filesystem::path path, IfExists if_exists, const Launch& launch = {});

  void clear();  // removes what an earlier run wrote, and nothing else; this run's log and quarantine stay

  bool is_failed_start() const { return is_failed_start_; }  // its config.yaml is there until clear()

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config() const { return path_ / "config.yaml"; }
  std::filesystem::path env() const { return path_ / "env.json"; }
  std::filesystem::path log() const { return path_ / "train.log"; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path quarantine() const { return path_ / "quarantine.jsonl"; }
  std::filesystem::path splits() const { return path_ / "splits.json"; }
  std::filesystem::path samples() const { return path_ / "samples"; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  std::filesystem::path last_checkpoint() const { return checkpoints() / "last.safetensors"; }

 private:
  std::filesystem::path path_;
  std::unique_ptr<FileLock> lock_;
  bool is_failed_start_ = false;
};

// env.json: versions, host, device, command line; what someone needs to repeat the run.
void write_env(const RunFolder& folder, const std::string& command_line, const std::string& device,
               const std::string& precision);

}  // namespace vmae::train
