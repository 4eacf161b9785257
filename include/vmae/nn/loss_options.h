#pragma once
// The keys of what fine-tuning minimises (losses.h).
#include <string>
#include <vector>

#include "vmae/core/options.h"

namespace vmae::nn {

struct SegmentationLossOptions {
  std::string name = "dice_ce";
  std::string dice = "soft";
  double dice_weight = 1.0, ce_weight = 1.0;
  bool include_background = false;
  bool batch_dice = true;
  bool absent_classes = false;
  double smooth = 1e-5;
  std::vector<double> class_weights{};
  std::string balance = "none";
  double focal_gamma = 2.0;
};
void describe(Options& options, SegmentationLossOptions& loss);

struct ClassificationLossOptions {
  double label_smoothing = 0.0;
  std::vector<double> class_weights{}, positive_weights{};
};
void describe(Options& options, ClassificationLossOptions& loss);

}  // namespace vmae::nn
