#include "vmae/nn/loss_options.h"

namespace vmae::nn {

void describe(Options& options, SegmentationLossOptions& loss) {
  options.add(
      "name", loss.name,
      "dice_ce: Dice plus cross-entropy, as the reference; or one of its terms alone; or focal, alone or with Dice",
      one_of({"dice_ce", "dice", "ce", "focal", "dice_focal"}));
  options.add(
      "dice", loss.dice,
      "soft: sums of probabilities; squared: of their squares (V-Net); generalised: classes weighted by 1 / volume^2",
      one_of({"soft", "squared", "generalised"}));
  options.add("dice_weight", loss.dice_weight, "factor of the Dice term in a sum", at_least(0.0));
  options.add("ce_weight", loss.ce_weight, "factor of the cross-entropy or focal term in a sum", at_least(0.0));
  options.add("include_background", loss.include_background, "count the background as a class in the Dice term");
  options.add("batch_dice", loss.batch_dice,
              "sums of the Dice term over the whole (micro-)batch, which is steadier with small or absent structures; "
              "false: per image");
  options.add("absent_classes", loss.absent_classes,
              "classes that the truth of a batch (or image) does not have count in the mean of the Dice term, as in "
              "TransUNet's code, where soft or squared; false: they are left out");
  options.add("smooth", loss.smooth, "added above and below in the Dice term", above(0.0));
  options.add("class_weights", loss.class_weights,
              "of the cross-entropy or focal term, background first: [0.2, 1, 1]; empty: as balance says",
              at_least(0.0));
  options.add("balance", loss.balance,
              "class weights from the training masks: none, or inverse_frequency (1 / share of pixels, mean 1, at most "
              "10 times the smallest)",
              one_of({"none", "inverse_frequency"}));
  options.add("focal_gamma", loss.focal_gamma, "exponent of the focal loss; 0 is cross-entropy", at_least(0.0));
}

void describe(Options& options, ClassificationLossOptions& loss) {
  options.add("label_smoothing", loss.label_smoothing,
              "classes: this share of the target is spread evenly over all of them", in_range(0.0, 0.99));
  options.add("class_weights", loss.class_weights,
              "classes: weight of each in the cross-entropy, in the order of the class names; empty: all 1",
              at_least(0.0));
  options.add("positive_weights", loss.positive_weights,
              "findings: weight of the positive term, one value for all or one per finding; empty: 1", above(0.0));
}

}  // namespace vmae::nn
