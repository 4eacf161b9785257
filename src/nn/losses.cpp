#include "vmae/nn/losses.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/nll_loss_nd.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

#include "loss_terms.h"

namespace vmae::nn {

at::Tensor quotient(const at::Tensor& above, const at::Tensor& below, double smallest, const SumOverRanks& total) {
  if (!total) return above / below.clamp_min(smallest);
  const at::Tensor sums = total(at::stack({above, below}));
  return sums[0] / sums[1].clamp_min(smallest);
}

at::Tensor dice_term(const at::Tensor& probabilities, const at::Tensor& truth, const SegmentationLossOptions& options,
                     const SumOverRanks& total) {
  const std::vector<int64_t> over = options.batch_dice ? std::vector<int64_t>{0, 2, 3} : std::vector<int64_t>{2, 3};
  at::Tensor both = (probabilities * truth).sum(over), volume = truth.sum(over);  // (classes) or (B, classes)
  at::Tensor predicted = (options.dice == "squared" ? probabilities.square() : probabilities).sum(over);
  // Sums over the batch are summed over the ranks here; those over images where their mean is taken.
  const SumOverRanks total_of_means = options.batch_dice ? SumOverRanks() : total;
  if (options.batch_dice && total) {
    const at::Tensor sums = total(at::stack({both, volume, predicted}));
    both = sums[0];
    volume = sums[1];
    predicted = sums[2];
  }
  at::Tensor above = 2.0 * both, below = predicted + volume;
  const at::Tensor is_there = (volume > 0).to(at::kFloat);
  if (options.dice == "generalised") {
    const at::Tensor weight = is_there / volume.square().clamp_min(1.0);
    // keeps `smooth` small beside the sums
    const at::Tensor scale = weight.amax(-1, /*keepdim=*/true).clamp_min(1e-30);
    above = (above * weight / scale).sum(-1);
    below = (below * weight / scale).sum(-1);
    const at::Tensor any = is_there.amax(-1);
    return quotient(((1.0 - (above + options.smooth) / (below + options.smooth)) * any).sum(), any.sum(), 1.0,
                    total_of_means);
  }
  const at::Tensor counts = options.absent_classes ? at::ones_like(is_there) : is_there;
  return quotient(((1.0 - (above + options.smooth) / (below + options.smooth)) * counts).sum(), counts.sum(), 1.0,
                  total_of_means);
}

namespace {

// As dice_term(), of a softmax; target, valid (B, H, W).
at::Tensor class_dice(const at::Tensor& logits, const at::Tensor& target, const at::Tensor& valid,
                      const SegmentationLossOptions& options, const SumOverRanks& total) {
  const int64_t classes = logits.size(1), first = options.include_background || classes == 1 ? 0 : 1;
  const at::Tensor numbers = at::arange(first, classes, target.options()).view({1, -1, 1, 1});
  const at::Tensor truth = (target.unsqueeze(1) == numbers).to(at::kFloat) * valid.unsqueeze(1);  // (B, classes, H, W)
  return dice_term(at::softmax(logits, 1).slice(1, first) * valid.unsqueeze(1), truth, options, total);
}

at::Tensor cross_entropy_term(const at::Tensor& logits, const at::Tensor& target, const at::Tensor& valid,
                              const at::Tensor& class_weights, double gamma, const SumOverRanks& total) {
  // (B, H, W): -log p of the true class
  at::Tensor loss = at::nll_loss_nd(at::log_softmax(logits, 1), target, /*weight=*/{}, at::Reduction::None);
  if (gamma > 0.0) loss = loss * (1.0 - (-loss).exp()).clamp_min(0.0).pow(gamma);
  const at::Tensor weight = class_weights.defined() ? valid * class_weights.index({target}) : valid;
  return quotient((loss * weight).sum(), weight.sum(), 1e-12, total);
}

}  // namespace

at::Tensor segmentation_loss(const at::Tensor& network_output, const at::Tensor& mask,
                             const SegmentationLossOptions& options, const at::Tensor& class_weights,
                             int64_t ignore_label, const SumOverRanks& total) {
  const at::Tensor logits = network_output.to(at::kFloat), classes = mask.to(at::kLong);
  const at::Tensor counts = classes != ignore_label;
  const at::Tensor valid = counts.to(at::kFloat), target = at::where(counts, classes, 0);
  const bool has_focal = options.name.ends_with("focal"), has_dice = options.name.starts_with("dice");
  if (options.name == "dice") return class_dice(logits, target, valid, options, total);
  const at::Tensor entropy =
      cross_entropy_term(logits, target, valid, class_weights, has_focal ? options.focal_gamma : 0.0, total);
  if (!has_dice) return entropy;
  return options.ce_weight * entropy + options.dice_weight * class_dice(logits, target, valid, options, total);
}

at::Tensor multi_class_loss(const at::Tensor& network_output, const at::Tensor& labels, double label_smoothing,
                            const at::Tensor& class_weights, const SumOverRanks& total) {
  const at::Tensor log_p = at::log_softmax(network_output.to(at::kFloat), 1);
  const at::Tensor known = (~labels.isnan().any(1)).to(at::kFloat);  // (B)
  const at::Tensor target = labels.nan_to_num(0.0);
  const at::Tensor weight = class_weights.defined() ? class_weights : at::ones({labels.size(1)}, labels.options());
  // As torch.nn.CrossEntropyLoss: the true class's term and the mean over all
  // classes, each with the class's weight, over the weights of the true classes.
  const at::Tensor hard = -(log_p * target * weight).sum(1),
                   uniform = -(log_p * weight).sum(1) / static_cast<double>(labels.size(1));
  const at::Tensor loss = (1.0 - label_smoothing) * hard + label_smoothing * uniform;
  return quotient((loss * known).sum(), ((target * weight).sum(1) * known).sum(), 1e-12, total);
}

at::Tensor multi_label_loss(const at::Tensor& network_output, const at::Tensor& labels,
                            const at::Tensor& positive_weights, const SumOverRanks& total) {
  const at::Tensor known = (~labels.isnan()).to(at::kFloat);
  const at::Tensor loss = at::binary_cross_entropy_with_logits(network_output.to(at::kFloat), labels.nan_to_num(0.0),
                                                               /*weight=*/{}, positive_weights, at::Reduction::None);
  return quotient((loss * known).sum(), known.sum(), 1.0, total);
}

}  // namespace vmae::nn
