#pragma once
// `vmae finetune-cls`: from pretrained weights and labelled images to a finished (or interrupted) run.
#include "vmae/runs/finetune_options.h"
#include "vmae/tasks/train_arguments.h"

namespace vmae::train {
class World;
}

namespace vmae::run {

// One run. Cases that are marked test (or data.test) are predicted with the best weights into run.dir/test afterwards.
ExitCode finetune_classification(ClassifyConfig config, const TrainArguments& arguments, train::World& world);

}  // namespace vmae::run
