#pragma once
// The convolutional half of R50-ViT hybrids: a ResNet with weight-standardised convolutions and group norm (Kolesnikov
// et al. 2020, BiT), cut off after its third block, as TransUNet has it: its bottlenecks are post-activation, whatever
// the name. Names given to register_* are API: they are the authors' state-dict keys. Activations are BCHW.
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/normalization.h>

#include <cstdint>
#include <vector>

namespace vmae::nn {

// A convolution without bias whose weights have mean 0 and variance 1 (eps 1e-5) per output channel.
class StdConvImpl : public torch::nn::Module {
 public:
  StdConvImpl(int64_t in_channels, int64_t out_channels, int64_t kernel, int64_t stride = 1);  // padding: kernel / 2
  at::Tensor forward(const at::Tensor& x);

 private:
  at::Tensor weight_;
  int64_t stride_;
};
TORCH_MODULE(StdConv);

// 1x1, 3x3 (with the stride), 1x1, each with a group norm, and what came in, which is projected where it must be.
class BottleneckImpl : public torch::nn::Module {
 public:
  BottleneckImpl(int64_t in_channels, int64_t middle_channels, int64_t out_channels, int64_t stride);
  at::Tensor forward(const at::Tensor& x);  // (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride))

 private:
  StdConv conv1_{nullptr}, conv2_{nullptr}, conv3_{nullptr}, downsample_{nullptr};
  torch::nn::GroupNorm gn1_{nullptr}, gn2_{nullptr}, gn3_{nullptr}, gn_proj_{nullptr};
};
TORCH_MODULE(Bottleneck);

class ResNetV2Impl : public torch::nn::Module {
 public:
  // units: bottlenecks of each of the three blocks. width: a multiple of 32, the groups of a norm.
  ResNetV2Impl(int64_t in_channels, int64_t width, const std::vector<int64_t>& units);

  // (B, in, H, W), H and W multiples of 16 -> (B, 16 width, H/16, W/16). skips: of half, quarter and eighth
  // resolution, with width, 4 width and 8 width channels. The pooling does not pad, so the second block sees a grid
  // of H/4 - 1; its skip alone gets zeros at the bottom and right edge.
  at::Tensor forward(const at::Tensor& image, std::vector<at::Tensor>& skips);

 private:
  StdConv root_conv_{nullptr};
  torch::nn::GroupNorm root_gn_{nullptr};
  std::vector<std::vector<Bottleneck>> blocks_;
};
TORCH_MODULE(ResNetV2);

// x (B, C, H, W) -> (B, C, (H - 3) / 2 + 1, (W - 3) / 2 + 1): the largest of 3 x 3, stride 2, no padding.
at::Tensor max_pool3x3(const at::Tensor& x);
// The same by slices, its way on a GPU: there the gradient of max_pool2d is not the same bits every time. Of equal
// values each gets a share of the gradient.
at::Tensor max_pool3x3_by_slices(const at::Tensor& x);

}  // namespace vmae::nn
