#pragma once
// What features are worth without training anything on them: do the nearest images have the same labels?
#include <ATen/core/Tensor.h>

namespace vmae::run {

struct LabelledFeatures {
  at::Tensor features;  // (n, d) float32
  at::Tensor labels;    // (n, L) float32: 0 or 1; NaN: unknown
};

// Of each label the score of an image is its mean over the 20 nearest images of `bank` by cosine similarity s, weighted
// by exp(s / 0.07) (Wu et al. 2018). The mean over the labels of the area under the ROC curve of that score; of two
// labels that exclude each other the second alone. NaN where no label is both present and absent in `images` and known
// in `bank`, or a feature is not finite. No image of `bank` may be of a patient in `images`.
double neighbour_auroc(const LabelledFeatures& images, const LabelledFeatures& bank);

}  // namespace vmae::run
