#pragma once
// Models whose outputs are averaged.
#include <vector>

#include "vmae/predict/model_file.h"

namespace vmae::run {

// Of one kind, classes, image options and, for nnU-Net, plan. Throws Error(checkpoint) naming what differs.
void require_alike(const std::vector<LoadedModel>& models);

}  // namespace vmae::run
