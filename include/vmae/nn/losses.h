#pragma once
// What fine-tuning minimises. Everything is computed in float32, whatever the network's precision.
// Each loss is a quotient of sums over the batch; where a batch is spread over several ranks,
// `total` (World::total()) makes their sums those of the whole batch, and the loss is the same on every rank.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "vmae/nn/loss_options.h"
#include "vmae/nn/sum_over_ranks.h"

namespace vmae::nn {

// logits (B, K, H, W) with class 0 the background; mask (B, H, W) uint8 of classes; pixels equal to `ignore_label` (-1:
// none) count nowhere. class_weights (K) float32 for the cross-entropy, or undefined. Scalar float32. Cross-entropy:
// mean over the pixels (weighted by the class of each). focal: times (1 - p)^gamma (Lin et al. 2017). Dice: 1 - mean
// over classes of (2 I + smooth) / (P + T + smooth); I, P, T are sums of p t, p, t over the batch, or over each sample
// and then averaged. `soft`: P and T as they are (Drozdzal et al. 2016); squared: of squares (Milletari et al. 2016);
// generalised: classes weighted by 1 / T^2 (Sudre et al. 2017). A class that the truth of the batch (or sample) does
// not have is left out, so an empty slice asks nothing of the Dice term; all left out: the term is 0.
// With absent_classes it is not (but of generalised).
at::Tensor segmentation_loss(const at::Tensor& logits, const at::Tensor& mask, const SegmentationLossOptions& options,
                             const at::Tensor& class_weights, int64_t ignore_label, const SumOverRanks& total = {});

// logits (B, L); labels (B, L) float32: NaN is unknown and counts nowhere. Classes (one of each row is 1):
// cross-entropy with label smoothing, weighted by class_weights (L); rows with an unknown label are left out.
at::Tensor multi_class_loss(const at::Tensor& logits, const at::Tensor& labels, double label_smoothing,
                            const at::Tensor& class_weights, const SumOverRanks& total = {});
// Findings (each 0 or 1): binary cross-entropy with logits, the positive
// term times positive_weights (L); mean over the known entries.
at::Tensor multi_label_loss(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& positive_weights,
                            const SumOverRanks& total = {});

}  // namespace vmae::nn
