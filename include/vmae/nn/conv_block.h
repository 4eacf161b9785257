#pragma once
// Convolutions of the plain U-Net and of the Swin-UNet's skip from the image. Activations are BCHW.
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/instancenorm.h>

#include <cstdint>

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

// Kaiming's normal initialisation for leaky ReLU, biases 0, of all convolutions in a module.
void init_convolutions(torch::nn::Module& module);

}  // namespace vmae::nn
