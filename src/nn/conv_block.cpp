#include "vmae/nn/conv_block.h"

#include <ATen/ops/leaky_relu.h>
#include <torch/nn/init.h>

namespace vmae::nn {

namespace {

constexpr double negative_slope = 0.01;

}  // namespace

ConvBlockImpl::ConvBlockImpl(int64_t in_channels, int64_t out_channels, int64_t stride) {
  convs_ = register_module("convs", torch::nn::ModuleList());
  norms_ = register_module("norms", torch::nn::ModuleList());
  for (int64_t i = 0; i < 2; ++i) {
    auto options = torch::nn::Conv2dOptions(i == 0 ? in_channels : out_channels, out_channels, 3);
    convs_->push_back(torch::nn::Conv2d(options.padding(1).stride(i == 0 ? stride : 1)));
    norms_->push_back(torch::nn::InstanceNorm2d(torch::nn::InstanceNorm2dOptions(out_channels).affine(true)));
  }
}

at::Tensor ConvBlockImpl::forward(at::Tensor x) {
  for (size_t i = 0; i < convs_->size(); ++i) {
    x = convs_[i]->as<torch::nn::Conv2d>()->forward(x);
    x = at::leaky_relu(norms_[i]->as<torch::nn::InstanceNorm2d>()->forward(x), negative_slope);
  }
  return x;
}

void init_convolutions(torch::nn::Module& module) {
  const at::NoGradGuard no_grad;
  for (const auto& child : module.modules(/*include_self=*/false)) {
    at::Tensor weight, bias;
    if (auto* conv = child->as<torch::nn::Conv2d>()) {
      weight = conv->weight;
      bias = conv->bias;
    } else if (auto* up = child->as<torch::nn::ConvTranspose2d>()) {
      weight = up->weight;
      bias = up->bias;
    }
    if (weight.defined()) torch::nn::init::kaiming_normal_(weight, negative_slope);
    if (bias.defined()) bias.zero_();
  }
}

}  // namespace vmae::nn
