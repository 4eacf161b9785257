#pragma once
// What training and prediction know of a network for segmentation.
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "vmae/nn/sum_over_ranks.h"

namespace vmae::nn {

class Segmenter {
 public:
  virtual ~Segmenter() = default;

  // image (B, C, H, W) of the network's size; draws (B, num_draws()) uniform (drop path, dropout), or undefined
  // (evaluation); total: for what is computed over the whole batch (SyncBatchNorm), sums over ranks with the gradients
  // of all of them -> logits (B, num_classes, H, W).
  virtual at::Tensor forward(const at::Tensor& image, const at::Tensor& draws = {}, const SumOverRanks& total = {}) = 0;
  virtual int64_t num_draws() const = 0;  // random numbers that a sample needs in training
};

}  // namespace vmae::nn
