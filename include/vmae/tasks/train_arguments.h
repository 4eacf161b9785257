#pragma once
// What a training command was asked for on its command line, beside its config.
#include <string>

#include "vmae/train/run_folder.h"

namespace vmae::run {

struct TrainArguments {
  train::IfExists if_exists = train::IfExists::refuse;
  bool dry_run = false;
  std::string command_line;  // for env.json
  // model.in_channels is what the user wants; else it is the number of channels where cases have several
  bool says_in_channels = false;
};

}  // namespace vmae::run
