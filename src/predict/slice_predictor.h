#pragma once
// Probabilities for slices of any size from networks of one size:
// resize or tile, predict, blend, and back onto the grid of the slice.
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "vmae/data/intensity.h"
#include "vmae/predict/model_file.h"
#include "vmae/train/precision.h"

namespace vmae::run {

struct SliceOptions {
  // auto: as the images were resized in training; tiles where that was data.resize = none (or crop), if they are
  // larger than the network. always: tiles at the image's own pixels; never: one look, the whole image resized.
  std::string tiles = "auto";
  double overlap = 0.5;  // of neighbouring tiles, as a share of their side
  bool mirror = false;   // the mean over the image and its mirror images in both directions
  int64_t batch = 16;    // slices, and tiles at once
};

// Slices of one size, values in units, with a range for all of them or one
// each -> (n, C, H, W) float32 on the CPU: as training prepares images.
at::Tensor network_input(const std::vector<io::Image>& slices, const std::vector<data::IntensityRange>& ranges,
                         const data::ImageOptions& image, bool minmax);

class SlicePredictor {
 public:
  // Models of one kind, classes and image options, whose probabilities
  // are averaged. Throws Error(checkpoint) if they differ.
  SlicePredictor(std::vector<LoadedModel> models, SliceOptions options, at::Device device, train::Precision precision);

  const LoadedModel& model() const { return models_.front(); }
  const SliceOptions& options() const { return options_; }

  // Slices of one size, values in units; a range for all of them, or one each. Segmentation: (n,
  // classes, h, w) with the background first; classification: (n, classes). float32 on the device.
  at::Tensor probabilities(const std::vector<io::Image>& slices, const std::vector<data::IntensityRange>& ranges);

  // Of all slices so far, those that look unlike what the (first) model was trained on (input_statistics.h).
  int64_t num_slices() const { return num_slices_; }
  int64_t num_unlike() const { return num_unlike_; }

 private:
  at::Tensor of_network_input(const at::Tensor& input);  // (n, C, H, W) of the network's size
  at::Tensor of_canvas(const at::Tensor& canvas);        // any larger size, by tiles
  at::Tensor stretched(const at::Tensor& tiles) const;   // data.minmax of each tile, as in training
  std::vector<LoadedModel> models_;
  SliceOptions options_;
  at::Device device_;
  train::Precision precision_;
  at::Tensor tile_weight_;  // (1, 1, H, W)
  int64_t num_slices_ = 0, num_unlike_ = 0;
};

}  // namespace vmae::run
