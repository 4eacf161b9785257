#pragma once
// nnU-Net's networks on a preprocessed case: tiles of the size of its patches over every slice, as nnU-Net 2.8.1 places
// and weights them.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "vmae/nnunet/preprocess.h"
#include "vmae/predict/model_file.h"
#include "vmae/train/precision.h"

namespace vmae::run {

struct NnUnetTiles {
  bool mirror = false;   // the mean over all mirror images along the axes that the model learnt
  int64_t batch = 16;    // tiles at once
  double overlap = 0.5;  // of neighbouring tiles, at least, as a share of their side
};

// Where tiles of `side` begin on `length` pixels, which are no fewer. overlap: from 0 to below 1.
std::vector<int64_t> nnunet_tile_starts(int64_t length, int64_t side, double overlap);

// (height, width) float32: what the pixels of a tile weigh, those of its middle 10; nowhere 0.
at::Tensor nnunet_tile_weight(int64_t height, int64_t width);

class NnUnetPredictor {
 public:
  // Models of one plan, whose logits are averaged. Throws Error(checkpoint) if they differ.
  NnUnetPredictor(std::vector<LoadedModel> models, const NnUnetTiles& tiles, at::Device device,
                  train::Precision precision);

  const LoadedModel& model() const { return models_.front(); }

  // (heads, slices, rows, columns) float32 on the CPU, on the grid of the preprocessed case.
  at::Tensor logits(const nnunet::PreprocessedCase& one);

 private:
  at::Tensor of_tiles(const at::Tensor& tiles);    // (n, C, H, W) of the patch's size -> (n, heads, H, W)
  at::Tensor of_slices(const at::Tensor& slices);  // of any size -> (n, heads, height, width), on the CPU
  at::Tensor of_canvas(const at::Tensor& canvas);  // of slices that are no smaller than a patch

  std::vector<LoadedModel> models_;
  NnUnetTiles tiles_;
  at::Device device_;
  train::Precision precision_;
  std::vector<std::vector<int64_t>> mirrors_;  // dimensions of images that are turned round
  at::Tensor weight_;                          // (1, 1, H, W)
};

}  // namespace vmae::run
