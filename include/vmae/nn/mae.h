#pragma once
// The Swin masked autoencoder: VISION-MAE's pretraining model (method.md, "Masked autoencoding").
#include <string>

#include "vmae/nn/swin.h"

namespace vmae::nn {

constexpr int64_t kMaskUnit = 4;  // tokens: masking works in units of 4 x 4 tokens = 16 x 16 pixels

struct MaeOutput {
  at::Tensor loss;        // scalar float32: mean over the hidden tokens of their mean squared error
  at::Tensor prediction;  // (B, H * W, 16 * channels), pixels of a patch with the channel fastest
  at::Tensor hidden;      // (B, H * W) bool: true where the encoder saw the mask token
};

class MaeImpl : public SwinCodecImpl {
 public:
  explicit MaeImpl(const MaeOptions& options);  // freshly initialised from torch's default generator

  // image (B, C, h, w) pixels; noise (B, num_units()) uniform: the units with the smallest values stay visible;
  // drop_path (B, 2 * num_blocks()) uniform, or undefined: no drop path (evaluation).
  MaeOutput forward(const at::Tensor& image, const at::Tensor& noise, const at::Tensor& drop_path = {});

  int64_t num_units() const;
  const MaeOptions& options() const { return options_; }

 private:
  MaeOptions options_;
  at::Tensor mask_token_;
  torch::nn::Linear decoder_pred_{nullptr};
};
TORCH_MODULE(Mae);

// The mask as a pure function of the noise: of each sample's units, the int(units *
// (1 - mask_ratio)) with the smallest noise stay visible. noise (B, units), units =
// (rows / 4) x (columns / 4) row-major -> (B, rows, columns) bool, true = hidden.
at::Tensor hidden_tokens(const at::Tensor& noise, int64_t rows, int64_t columns, double mask_ratio);

// (B, C, h, w) -> (B, H * W, 16 C), channel fastest
at::Tensor patchify(const at::Tensor& image);
at::Tensor unpatchify(const at::Tensor& patches, int64_t height, int64_t width);  // and back; height, width in pixels

}  // namespace vmae::nn
