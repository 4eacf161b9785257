#pragma once
// How contrastive pretraining (SimCLR) makes two views of an image; the defaults are Chen et al. 2020's.
#include <vector>

#include "vmae/core/options.h"

namespace vmae::data {

struct ViewOptions {
  std::vector<double> crop_area{0.08, 1.0};         // of the image
  std::vector<double> crop_ratio{0.75, 4.0 / 3.0};  // width over height of the part, in pixels of the image
  double jitter = 0.8;                              // probability
  double brightness = 0.8, contrast = 0.8, saturation = 0.8, hue = 0.2;
  double grey = 0.2;  // probability
  double blur = 0.5;  // probability
  std::vector<double> blur_sigma{0.1, 2.0};
};
void describe(Options& options, ViewOptions& views);
void check(const ViewOptions& views);  // throws Error(usage) naming the key

}  // namespace vmae::data
