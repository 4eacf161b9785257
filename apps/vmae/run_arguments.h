#pragma once
// --resume, --overwrite and --dry-run of the commands that train.
#include <CLI/CLI.hpp>
#include <string>

#include "vmae/tasks/train_arguments.h"

namespace vmae::app {

struct RunArguments {
  bool resume = false, overwrite = false, dry_run = false;

  void add_to(CLI::App& command) {
    auto* resumes =
        command.add_flag("--resume", resume, "continue the run in run.dir from its last checkpoint, bit for bit");
    auto* overwrites =
        command.add_flag("--overwrite", overwrite, "start over: delete what the earlier run in run.dir wrote");
    resumes->excludes(overwrites);
    command.add_flag("--dry-run", dry_run,
                     "build data and model, make a few steps, print memory, schedule and time, write nothing");
  }
  train::IfExists if_exists() const {
    if (resume) return train::IfExists::resume;
    return overwrite ? train::IfExists::overwrite : train::IfExists::refuse;
  }
  // said_in_channels: model.in_channels as the user gave it; 0: not given.
  run::TrainArguments arguments(const std::string& command_line, int64_t said_in_channels) const {
    return {if_exists(), dry_run, command_line, said_in_channels > 0};
  }
};

}  // namespace vmae::app
