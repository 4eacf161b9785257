#pragma once
#include <cstdint>
#include <vector>

#include "vmae/data/dataset.h"
#include "vmae/ranks/world.h"
#include "vmae/train/run_folder.h"
#include "vmae/train/step.h"

namespace vmae::train {

// What was computed from a batch can't be learnt from: says which samples it was (indices:
// those of this rank), in non_finite.json if there is a folder, and throws
// Error(non_finite). All ranks come here together. step: made before; epoch: counted from 0.
[[noreturn]] void stop_non_finite(const StepResult& result, int64_t step, int64_t epoch,
                                  const std::vector<int64_t>& indices, const data::Dataset& dataset,
                                  const RunFolder* folder, World& world);

}  // namespace vmae::train
