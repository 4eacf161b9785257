#pragma once
// Swin-UNet for segmentation (Cao et al. 2021; method.md, "Fine-tuning"): the masked autoencoder's encoder and decoder with skip connections between them.
#include "vmae/nn/conv_block.h"
#include "vmae/nn/segmenter.h"
#include "vmae/nn/swin.h"

namespace vmae::nn {

struct UnetOptions {
  SwinOptions swin{.image_size = {320, 320}, .depths = {2, 2, 6, 2}};
  bool pixel_skip = false;
  std::vector<int64_t> features{32, 64, 128, 256, 512};  // of ConvUnet
  int64_t num_classes = 2;                               // background included
};
void describe(Options& options, UnetOptions& unet);  // num_classes comes from the dataset

// From tokens back to pixels in two steps, each joined with convolutions of the image at that resolution: the upper two floors of a plain U-Net. BCHW.
class PixelSkipImpl : public torch::nn::Module {
 public:
  PixelSkipImpl(int64_t in_channels, int64_t token_channels);
  at::Tensor forward(const at::Tensor& image, const at::Tensor& tokens);  // (B, in, H, W), (B, C, ceil(H/4), ceil(W/4)) -> (B, out_channels(), H, W)
  int64_t out_channels() const { return out_channels_; }

 private:
  int64_t out_channels_;
  torch::nn::ModuleList encoder_, upsamplings_, decoder_;
};
TORCH_MODULE(PixelSkip);

class SwinUnetImpl : public SwinCodecImpl, public Segmenter {
 public:
  explicit SwinUnetImpl(const UnetOptions& options);  // freshly initialised from torch's default generator

  // image (B, C, H, W) of options.swin.image_size; drop_path (B, 2 * num_blocks()) uniform, or undefined (evaluation) -> logits (B, num_classes, H, W).
  at::Tensor forward(const at::Tensor& image, const at::Tensor& drop_path = {}) override;

  int64_t num_draws() const override { return 2 * num_blocks(); }
  const UnetOptions& options() const { return options_; }

 private:
  UnetOptions options_;
  PatchExpanding final_patch_expanding_{nullptr};
  PixelSkip pixel_skip_{nullptr};  // with options.pixel_skip, instead of the expanding
  torch::nn::Conv2d head_{nullptr};
};
TORCH_MODULE(SwinUnet);

}  // namespace vmae::nn
