#include "vmae/nn/nnunet_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_upsample_nearest_exact2d.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/stack.h>

#include "loss_terms.h"
#include "vmae/nn/losses.h"

namespace vmae::nn {

namespace {

SegmentationLossOptions nnunet_dice(const NnUnetLossOptions& options) {
  return {.batch_dice = options.batch_dice, .absent_classes = true, .smooth = 1e-5};
}

// (B, regions, H, W): 1 where the mask has one of the region's values.
at::Tensor truth_of_regions(const at::Tensor& mask, const std::vector<std::vector<int64_t>>& regions) {
  std::vector<at::Tensor> truths;
  for (const std::vector<int64_t>& values : regions) {
    at::Tensor is_in = mask == values.at(0);
    for (size_t i = 1; i < values.size(); ++i) is_in = is_in.logical_or(mask == values[i]);
    truths.push_back(is_in);
  }
  return at::stack(truths, 1).to(at::kFloat);
}

// nnU-Net's loss of one level, plus 1: its Dice term is -Dice.
at::Tensor region_loss(const at::Tensor& network_output, const at::Tensor& mask, const NnUnetLossOptions& options,
                       const SumOverRanks& total) {
  const at::Tensor logits = network_output.to(at::kFloat), truth = truth_of_regions(mask, options.regions);
  const SegmentationLossOptions dice = nnunet_dice(options);
  const at::Tensor entropy =
      at::binary_cross_entropy_with_logits(logits, truth, /*weight=*/{}, /*pos_weight=*/{}, at::Reduction::None);
  if (options.ignore < 0) {
    const at::Tensor count = at::full({}, static_cast<double>(entropy.numel()), entropy.options());
    return quotient(entropy.sum(), count, 1.0, total) + dice_term(at::sigmoid(logits), truth, dice, total);
  }
  const at::Tensor valid = (mask != options.ignore).to(at::kFloat).unsqueeze(1);
  return quotient((entropy * valid).sum(), valid.sum(), 1e-8, total) +
         dice_term(at::sigmoid(logits) * valid, truth * valid, dice, total);
}

}  // namespace

std::vector<double> deep_supervision_weights(size_t levels) {
  if (levels == 1) return {1.0};
  std::vector<double> weights(levels, 0.0);
  double weight = 1.0, sum = 0.0;
  for (size_t i = 0; i + 1 < levels; ++i, weight /= 2) sum += weights[i] = weight;
  for (double& one : weights) one /= sum;
  return weights;
}

at::Tensor nnunet_loss(const std::vector<at::Tensor>& logits, const at::Tensor& mask, const NnUnetLossOptions& options,
                       const SumOverRanks& total) {
  const std::vector<double> weights = deep_supervision_weights(logits.size());
  at::Tensor sum;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (weights[i] == 0) continue;
    const at::Tensor target =
        at::_upsample_nearest_exact2d(mask.unsqueeze(1), logits[i].sizes().slice(2), std::nullopt).squeeze(1);
    const at::Tensor loss = options.regions.empty()
                                ? segmentation_loss(logits[i], target, nnunet_dice(options), {}, options.ignore, total)
                                : region_loss(logits[i], target, options, total);
    const at::Tensor weighted = weights[i] * (loss - 1.0);
    sum = sum.defined() ? sum + weighted : weighted;
  }
  return sum;
}

}  // namespace vmae::nn
