#pragma once
// Random numbers of a forward pass as tensors: one row per sample, a pure function of the sample's seed. Masks
// and drop path are therefore the same whatever the batch, the number of ranks, or where a run was resumed.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "vmae/core/random.h"

namespace vmae::data {

// (seeds.size(), count) float32, uniform in [0, 1).
at::Tensor uniform_draws(const std::vector<uint64_t>& seeds, Stream stream, int64_t count);

}  // namespace vmae::data
