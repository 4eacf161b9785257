#pragma once
// Batch normalisation (Ioffe and Szegedy 2015) whose statistics in training are those of the batch of all ranks.
// Names are torch's: weight, bias, running_mean, running_var, num_batches_tracked.
#include <torch/nn/module.h>

#include <cstdint>

#include "vmae/nn/sum_over_ranks.h"

namespace vmae::nn {

class SyncBatchNormImpl : public torch::nn::Module {
 public:
  explicit SyncBatchNormImpl(int64_t channels);

  // x (B, C) or (B, C, H, W) -> same, normalised per channel, in the type of x. In evaluation mode by the running
  // statistics. In training mode by those of the (micro-)batch, which then move the running ones by a tenth (the
  // variance unbiased, as torch): train::Step takes that back where the step turns out not to be finite.
  // total: sums over ranks whose gradients are summed over them too (World::total_with_gradients()).
  at::Tensor forward(const at::Tensor& x, const SumOverRanks& total = {});

  at::Tensor weight, bias, running_mean, running_var, num_batches_tracked;

 private:
  at::Tensor over_ranks(const at::Tensor& x, const SumOverRanks& total);
};
TORCH_MODULE(SyncBatchNorm);

}  // namespace vmae::nn
