#pragma once
// What training and prediction know of a network for segmentation.
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace vmae::nn {

class Segmenter {
 public:
  virtual ~Segmenter() = default;

  // image (B, C, H, W) of the network's size; drop_path (B, num_draws())
  // uniform, or undefined (evaluation) -> logits (B, num_classes, H, W).
  virtual at::Tensor forward(const at::Tensor& image, const at::Tensor& drop_path = {}) = 0;
  virtual int64_t num_draws() const = 0;  // random numbers that a sample needs in training
};

}  // namespace vmae::nn
