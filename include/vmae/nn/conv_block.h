#pragma once
// Convolutions of the plain U-Net and of what stands beside the
// patch embedding of fine-tuned models. Activations are BCHW.
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/instancenorm.h>

#include <cstdint>
#include <vector>

namespace vmae::nn {

// 3 x 3 convolution, instance norm, leaky ReLU (0.01), twice (Isensee et al. 2021); the first has the stride.
class ConvBlockImpl : public torch::nn::Module {
 public:
  ConvBlockImpl(int64_t in_channels, int64_t out_channels, int64_t stride);
  at::Tensor forward(at::Tensor x);  // (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride))

 private:
  torch::nn::ModuleList convs_, norms_;
};
TORCH_MODULE(ConvBlock);

// Convolutions of the image at full, half and quarter resolution (tokens are 4 pixels wide), for models
// that are fine-tuned: what they see is added to the tokens, through a projection that begins at 0, so that
// pretrained weights begin as they were. A transformer learns sooner with such a stem (Xiao et al. 2021).
class ConvStemImpl : public torch::nn::Module {
 public:
  ConvStemImpl(int64_t in_channels, int64_t token_channels);
  // (B, in, H, W) -> (B, fine, H, W), (B, 2 fine, ceil(H/2), ceil(W/2)),
  // (B, 4 fine, ceil(H/4), ceil(W/4)); fine is channels_of(token_channels)
  std::vector<at::Tensor> forward(const at::Tensor& image);
  at::Tensor tokens(const at::Tensor& quarter);  // the last of these -> (B, ceil(H/4), ceil(W/4), token_channels)
  static int64_t channels_of(int64_t token_channels);

  void reset_projection();  // to 0

 private:
  torch::nn::ModuleList blocks_;
  torch::nn::Conv2d proj_{nullptr};
};
TORCH_MODULE(ConvStem);

// From tokens back to pixels in two steps of upsampling, each joined with the
// stem's features at that resolution: the upper two floors of a plain U-Net.
class PixelDecoderImpl : public torch::nn::Module {
 public:
  explicit PixelDecoderImpl(int64_t token_channels);
  // (B, token_channels, ceil(H/4), ceil(W/4)) -> (B, ConvStemImpl::channels_of(token_channels), H, W)
  at::Tensor forward(at::Tensor tokens, const std::vector<at::Tensor>& stem);

 private:
  torch::nn::ModuleList upsamplings_, blocks_;
};
TORCH_MODULE(PixelDecoder);

// Kaiming's normal initialisation for leaky ReLU, biases 0, of all convolutions in a module.
void init_convolutions(torch::nn::Module& module);

}  // namespace vmae::nn
