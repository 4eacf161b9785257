#pragma once
// What losses.h and nnunet_loss.h are made of.
#include "vmae/nn/loss_options.h"
#include "vmae/nn/sum_over_ranks.h"

namespace vmae::nn {

// above / below, both summed over the ranks first.
at::Tensor quotient(const at::Tensor& above, const at::Tensor& below, double smallest, const SumOverRanks& total);

// probabilities, truth (B, classes, H, W): both 0 where a pixel does not count. 1 - Dice as losses.h says, of all of
// these classes.
at::Tensor dice_term(const at::Tensor& probabilities, const at::Tensor& truth, const SegmentationLossOptions& options,
                     const SumOverRanks& total);

}  // namespace vmae::nn
