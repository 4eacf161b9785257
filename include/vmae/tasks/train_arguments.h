#pragma once
// What a training command was asked for on its command line, beside its config.
#include <filesystem>
#include <string>

#include "vmae/train/run_folder.h"

namespace vmae::run {

struct TrainArguments {
  train::IfExists if_exists = train::IfExists::refuse;
  bool dry_run = false;
  std::string command_line;  // for env.json
  // model.in_channels is what the user wants; else it is the number of channels where cases have several
  bool says_in_channels = false;
  // of a later fold of all: the folder of the first, whose nnU-Net plan is that of them all
  std::filesystem::path first_fold{};
};

}  // namespace vmae::run
