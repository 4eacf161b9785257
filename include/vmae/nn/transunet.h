#pragma once
// TransUNet (Chen et al. 2021), R50-ViT-B/16 by default: a ResNet, a Vision Transformer on its last features, and a
// U-Net's decoder with the ResNet's earlier ones. Names given to register_* are API: the authors' state-dict keys.
#include <torch/nn/module.h>

#include "vmae/nn/resnet_v2.h"
#include "vmae/nn/segmenter.h"
#include "vmae/nn/sync_batch_norm.h"
#include "vmae/nn/unet.h"
#include "vmae/nn/vit.h"

namespace vmae::nn {

// 3x3 convolution without bias, batch norm, ReLU; their keys are 0 and 1.
class ConvNormReluImpl : public torch::nn::Module {
 public:
  ConvNormReluImpl(int64_t in_channels, int64_t out_channels);
  at::Tensor forward(const at::Tensor& x, const SumOverRanks& total);

 private:
  torch::nn::Conv2d conv_{nullptr};
  SyncBatchNorm norm_{nullptr};
};
TORCH_MODULE(ConvNormRelu);

// Twice the resolution (bilinear, corners aligned), the skip joined where there is one, two convolutions.
class DecoderBlockImpl : public torch::nn::Module {
 public:
  DecoderBlockImpl(int64_t in_channels, int64_t skip_channels, int64_t out_channels);
  // (B, in, H, W), skip (B, skip_channels, 2H, 2W) or undefined -> (B, out, 2H, 2W)
  at::Tensor forward(const at::Tensor& x, const at::Tensor& skip, const SumOverRanks& total);

 private:
  ConvNormRelu conv1_{nullptr}, conv2_{nullptr};
};
TORCH_MODULE(DecoderBlock);

class TransUnetImpl : public torch::nn::Module, public Segmenter {
 public:
  // Freshly initialised from torch's default generator as the authors do. Of options.swin: image_size, in_channels.
  explicit TransUnetImpl(const UnetOptions& options);

  // As Segmenter::forward(); H and W are those of options.swin.image_size. One channel is repeated to three.
  at::Tensor forward(const at::Tensor& image, const at::Tensor& draws = {}, const SumOverRanks& total = {}) override;
  int64_t num_draws() const override { return 1 + encoder_->num_draws(); }  // of the embedding, then of the layers

 private:
  at::Tensor tokens(const at::Tensor& image, const at::Tensor& draws, std::vector<at::Tensor>& skips);

  UnetOptions options_;
  ResNetV2 stem_{nullptr};
  torch::nn::Conv2d patch_embeddings_{nullptr}, head_{nullptr};
  at::Tensor position_embeddings_;  // (1, H/16 W/16, vit_width), row-major
  VitEncoder encoder_{nullptr};
  ConvNormRelu conv_more_{nullptr};
  std::vector<DecoderBlock> blocks_;
};
TORCH_MODULE(TransUnet);

// x (B, C, H, W) -> (B, C, 2H, 2W), bilinear with corners aligned, in float32.
at::Tensor upsample_twice(const at::Tensor& x);
// The same as two matrix products, its way on a GPU: there the gradient of upsample_bilinear2d is not the same bits
// every time, which run.deterministic refuses.
at::Tensor upsample_by_products(const at::Tensor& x);

}  // namespace vmae::nn
