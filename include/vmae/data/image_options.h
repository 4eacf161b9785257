#pragma once
// How pixels become network input; shared by training, validation and `predict`.
#include <cstdint>
#include <string>
#include <vector>

#include "vmae/core/options.h"

namespace vmae::data {

struct ImageOptions {
  std::vector<int64_t> image_size{224, 224};  // [H, W], taken from model.image_size
  // taken from model.in_channels; grey is repeated, colour becomes luminance for 1 channel
  int64_t in_channels = 3;
  std::string intensity = "auto";  // how values become [0, 1]
  // DICOM's code, or a usual name, of images that do not say theirs; "": none
  std::string modality;
  // [low, high] in the file's units, for intensity = window and for CT under auto (empty: kSoftTissueWindow)
  std::vector<double> window;
  std::vector<double> percentiles{0.5, 99.5};
  double suv_max = 20.0;                        // for PET under auto: SUV 0 to suv_max become 0 to 1
  std::vector<double> mean{0.223}, std{0.202};  // after [0, 1]; one value, or one per channel (the reference code's)
  // stretch | pad (keep the aspect, zero border) | crop (keep the aspect, cut the centre) | none (keep pixels)
  std::string resize = "stretch";
  std::string slice_axis = "auto";  // auto | x | y | z
};
void describe(Options& options, ImageOptions& image);  // not image_size and in_channels: they belong to the model

// Throws Error(usage) naming the key: percentiles, window, mean
// or std with a wrong number of values or in the wrong order.
void check(const ImageOptions& options);

}  // namespace vmae::data
