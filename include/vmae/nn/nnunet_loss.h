#pragma once
// What nnU-Net's training minimises (version 2.8.1: DC_and_CE_loss, for regions DC_and_BCE_loss, both under deep
// supervision). In float32, deterministic, and over ranks as the losses of losses.h.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "vmae/nn/sum_over_ranks.h"

namespace vmae::nn {

struct NnUnetLossOptions {
  std::vector<std::vector<int64_t>> regions{};  // the mask values of each head; empty: heads are classes of a softmax
  int64_t ignore = -1;                          // pixels of this mask value count nowhere; -1: none
  bool batch_dice = true;                       // Dice of the whole batch, or the mean of that of each sample
};

// Of each level, the highest resolution first: half of the one above, the last 0, all together 1. One level: 1.
std::vector<double> deep_supervision_weights(size_t levels);

// logits of each level (B, heads, h, w), the highest resolution first; mask (B, H, W) uint8, which each level is
// compared with by its nearest pixels. Scalar: the weighted sum over the levels of
//   classes: mean cross-entropy - mean Dice over all classes but the background, also those that are not there
//   regions: mean binary cross-entropy - mean Dice over all regions. With an ignored value that mean is the sum over
//            pixels and regions by the number of pixels alone, as in nnU-Net's code.
// Dice is (2 I + 1e-5) / (P + T + 1e-5), so the least value is -1. Levels of weight 0 are not looked at: their logits
// get no gradient.
at::Tensor nnunet_loss(const std::vector<at::Tensor>& logits, const at::Tensor& mask, const NnUnetLossOptions& options,
                       const SumOverRanks& total = {});

}  // namespace vmae::nn
