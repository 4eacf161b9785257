#pragma once
// Swin classifier (Liu et al. 2021): the encoder, a LayerNorm, the mean over all tokens, one linear layer.
#include "vmae/nn/swin.h"

namespace vmae::nn {

class SwinClassifierImpl : public SwinEncoderImpl {
 public:
  explicit SwinClassifierImpl(const ClassifierOptions& options);  // freshly initialised from torch's default generator

  // image (B, C, H, W) of options.swin.image_size; drop_path (B, 2 *
  // num_encoder_blocks()) uniform, or undefined (evaluation) -> logits (B, num_classes).
  at::Tensor forward(const at::Tensor& image, const at::Tensor& drop_path = {});

  int64_t num_draws() const { return 2 * num_encoder_blocks(); }
  const ClassifierOptions& options() const { return options_; }

 protected:
  at::Tensor last_norm(const at::Tensor& tokens) override;

 private:
  ClassifierOptions options_;
  torch::nn::LayerNorm norm_{nullptr};
  torch::nn::Linear head_{nullptr};
};
TORCH_MODULE(SwinClassifier);

}  // namespace vmae::nn
