#pragma once
// Swin-UNet for segmentation (Cao et al. 2021; method.md, "Fine-tuning"): the
// masked autoencoder's encoder and decoder with skip connections between them.
#include "vmae/nn/conv_block.h"
#include "vmae/nn/segmenter.h"
#include "vmae/nn/swin.h"

namespace vmae::nn {

// With a conv stem, its features are joined on the way back to
// pixels (PixelDecoder), which else is one expanding of the tokens.
class SwinUnetImpl : public SwinCodecImpl, public Segmenter {
 public:
  explicit SwinUnetImpl(const UnetOptions& options);  // freshly initialised from torch's default generator

  // image (B, C, H, W) of options.swin.image_size; drop_path (B, 2 * num_blocks())
  // uniform, or undefined (evaluation) -> logits (B, num_classes, H, W).
  at::Tensor forward(const at::Tensor& image, const at::Tensor& drop_path = {},
                     const SumOverRanks& total = {}) override;

  int64_t num_draws() const override { return 2 * num_blocks(); }
  const UnetOptions& options() const { return options_; }

 private:
  UnetOptions options_;
  PatchExpanding final_patch_expanding_{nullptr};
  PixelDecoder pixel_decoder_{nullptr};  // one of the two
  torch::nn::Conv2d head_{nullptr};
};
TORCH_MODULE(SwinUnet);

}  // namespace vmae::nn
