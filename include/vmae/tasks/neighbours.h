#pragma once
// What features are worth without training anything on them: do the nearest images have the same labels?
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace vmae::run {

struct NeighbourImages {
  at::Tensor features;                     // (n, d)
  std::vector<std::vector<float>> labels;  // n x labels, 0 or 1; NaN: unknown
  std::vector<std::string> groups;         // n: images of one patient, which are not each other's neighbours
};

// Of each label the score of an image is its mean over the 20 nearest images of other groups by cosine similarity s,
// weighted by exp(s / 0.07) (Wu et al. 2018). The mean over the labels of the area under the ROC curve of that score;
// of two labels that exclude each other the second alone. NaN where no label is both present and absent.
double neighbour_auroc(const NeighbourImages& images);

}  // namespace vmae::run
