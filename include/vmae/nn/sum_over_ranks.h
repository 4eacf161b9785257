#pragma once
#include <ATen/core/Tensor.h>

#include <functional>

namespace vmae::nn {

// From this rank's sums to those of all ranks, differentiable; empty: one rank. Which gradient it has is for who
// takes it to say: the own part's alone, or those of all ranks together.
using SumOverRanks = std::function<at::Tensor(const at::Tensor&)>;

}  // namespace vmae::nn
