#pragma once
// A training command that has begun: its ranks, device and folder.
#include <memory>
#include <string>

#include "vmae/ranks/world.h"
#include "vmae/runs/training_options.h"
#include "vmae/tasks/train_arguments.h"
#include "vmae/train/run_folder.h"

namespace vmae::run {

// A run that has begun: all ranks are there; its folder is locked and its
// log open. The folder is rank 0's alone, and there is none in a dry run.
struct Session {
  Session(const RunOptions& options, const TrainArguments& arguments, const std::string& command, train::World& world);
  const RunOptions& options;
  const TrainArguments& arguments;
  train::World& world;
  at::Device device;
  // refuse, resume or overwrite: what was asked for, or, after a restart, what there is
  train::IfExists if_exists;
  // in a folder whose start failed before its first checkpoint; asked_to_resume: with --resume
  bool begins_anew = false, asked_to_resume = false;
  std::unique_ptr<train::RunFolder> folder;
  uint64_t seed() const { return static_cast<uint64_t>(options.seed); }
  bool resumes() const { return if_exists == train::IfExists::resume; }
};

// Before data are read. Throws Error(checkpoint) where the run that goes on has another model.
void require_own_model(const Session& session, const std::string& model_name);

}  // namespace vmae::run
