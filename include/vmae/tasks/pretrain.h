#pragma once
// `vmae pretrain`: everything from a config to a finished (or interrupted) run.
#include <string>

#include "vmae/runs/pretrain_options.h"
#include "vmae/tasks/train_arguments.h"

namespace vmae::train {
class World;
}

namespace vmae::run {

// Exit code ok or stopped; everything else is thrown as Error.
ExitCode pretrain(PretrainConfig config, const TrainArguments& arguments, train::World& world);

}  // namespace vmae::run
