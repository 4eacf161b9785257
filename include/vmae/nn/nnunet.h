#pragma once
// nnU-Net's network in 2D (Isensee et al. 2021: the PlainConvUNet of dynamic-network-architectures) as its plans give
// it. Names given to register_* are API: the authors' state-dict keys, each tensor once (weights/nnunet.h).
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/instancenorm.h>

#include <vector>

#include "vmae/nn/model_options.h"
#include "vmae/nn/segmenter.h"

namespace vmae::nn {

// Convolution, instance norm, leaky ReLU.
class ConvNormLeakyImpl : public torch::nn::Module {
 public:
  explicit ConvNormLeakyImpl(const torch::nn::Conv2dOptions& options);
  at::Tensor forward(const at::Tensor& x);

 private:
  torch::nn::Conv2d conv_{nullptr};
  torch::nn::InstanceNorm2d norm_{nullptr};
};
TORCH_MODULE(ConvNormLeaky);

// `count` of them; the first is as the options say, the others have its kernel, no stride, and its output as input.
class StackedConvsImpl : public torch::nn::Module {
 public:
  StackedConvsImpl(torch::nn::Conv2dOptions options, int64_t count);
  at::Tensor forward(at::Tensor x);

 private:
  std::vector<ConvNormLeaky> convs_;
};
TORCH_MODULE(StackedConvs);

class NnUnetImpl : public torch::nn::Module, public Segmenter {
 public:
  // Freshly initialised from torch's default generator, by the authors' rule. Of options.swin: image_size, in_channels.
  explicit NnUnetImpl(const UnetOptions& options);

  // As Segmenter::forward(); H and W are those of options.swin.image_size. Nothing is drawn. The heads of lower
  // resolutions have no part in it, and so no gradient.
  at::Tensor forward(const at::Tensor& image, const at::Tensor& draws = {}, const SumOverRanks& total = {}) override;
  // For deep supervision: the logits of all heads, (B, num_classes, H, W) first, then one of each stage but the
  // bottleneck, whose H and W are divided by the strides down to it.
  std::vector<at::Tensor> levels(const at::Tensor& image);
  int64_t num_draws() const override { return 1; }

 private:
  void add_encoder(torch::nn::Module& encoder);
  void add_decoder(torch::nn::Module& decoder);
  std::vector<at::Tensor> decode(const at::Tensor& image);  // features, the lowest resolution first

  UnetOptions options_;
  std::vector<StackedConvs> encoder_;  // the highest resolution first
  // the lowest resolution first
  std::vector<torch::nn::ConvTranspose2d> upsamplings_;
  std::vector<StackedConvs> decoder_;
  std::vector<torch::nn::Conv2d> heads_;
};
TORCH_MODULE(NnUnet);

}  // namespace vmae::nn
