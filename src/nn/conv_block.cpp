#include "vmae/nn/conv_block.h"

#include <ATen/ops/cat.h>
#include <torch/nn/init.h>

#include <algorithm>

#include "vmae/nn/conv_ops.h"
#include "vmae/nn/norm_ops.h"

namespace vmae::nn {

ConvBlockImpl::ConvBlockImpl(int64_t in_channels, int64_t out_channels, int64_t stride) {
  convs_ = register_module("convs", torch::nn::ModuleList());
  norms_ = register_module("norms", torch::nn::ModuleList());
  for (int64_t i = 0; i < 2; ++i) {
    auto options = torch::nn::Conv2dOptions(i == 0 ? in_channels : out_channels, out_channels, 3);
    convs_->push_back(torch::nn::Conv2d(options.padding(1).stride(i == 0 ? stride : 1)));
    norms_->push_back(
        torch::nn::InstanceNorm2d(torch::nn::InstanceNorm2dOptions(out_channels).eps(kInstanceNormEps).affine(true)));
  }
}

at::Tensor ConvBlockImpl::forward(at::Tensor x) {
  for (size_t i = 0; i < convs_->size(); ++i) {
    x = convolve(*convs_[i]->as<torch::nn::Conv2d>(), x);
    const auto& norm = *norms_[i]->as<torch::nn::InstanceNorm2d>();
    x = instance_norm_leaky(x, norm.weight, norm.bias);
  }
  return x;
}

int64_t ConvStemImpl::channels_of(int64_t token_channels) { return std::clamp<int64_t>(token_channels / 2, 4, 32); }

ConvStemImpl::ConvStemImpl(int64_t in_channels, int64_t token_channels) {
  const int64_t fine = channels_of(token_channels);
  blocks_ =
      register_module("blocks", torch::nn::ModuleList(ConvBlock(in_channels, fine, 1), ConvBlock(fine, 2 * fine, 2),
                                                      ConvBlock(2 * fine, 4 * fine, 2)));
  proj_ = register_module("proj", torch::nn::Conv2d(torch::nn::Conv2dOptions(4 * fine, token_channels, 1)));
}

std::vector<at::Tensor> ConvStemImpl::forward(const at::Tensor& image) {
  std::vector<at::Tensor> features;
  for (const auto& block : *blocks_)
    features.push_back(block->as<ConvBlock>()->forward(features.empty() ? image : features.back()));
  return features;
}

at::Tensor ConvStemImpl::tokens(const at::Tensor& quarter) { return proj_->forward(quarter).permute({0, 2, 3, 1}); }

void ConvStemImpl::reset_projection() {
  const at::NoGradGuard no_grad;
  proj_->weight.zero_();
  proj_->bias.zero_();
}

PixelDecoderImpl::PixelDecoderImpl(int64_t token_channels) {
  const int64_t fine = ConvStemImpl::channels_of(token_channels), half = 2 * fine;
  const auto up = [](int64_t in, int64_t out) {
    return torch::nn::ConvTranspose2d(torch::nn::ConvTranspose2dOptions(in, out, 2).stride(2));
  };
  upsamplings_ = register_module("upsamplings", torch::nn::ModuleList(up(token_channels, half), up(half, fine)));
  blocks_ =
      register_module("blocks", torch::nn::ModuleList(ConvBlock(2 * half, half, 1), ConvBlock(2 * fine, fine, 1)));
}

at::Tensor PixelDecoderImpl::forward(at::Tensor x, const std::vector<at::Tensor>& stem) {
  for (size_t i = 0; i < 2; ++i) {
    const at::Tensor& skip = stem[1 - i];
    x = upsamplings_[i]
            ->as<torch::nn::ConvTranspose2d>()
            ->forward(x)
            .slice(2, 0, skip.size(2))
            .slice(3, 0, skip.size(3));
    x = blocks_[i]->as<ConvBlock>()->forward(at::cat({x, skip}, 1));
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
    if (weight.defined()) torch::nn::init::kaiming_normal_(weight, kNegativeSlope);
    if (bias.defined()) bias.zero_();
  }
}

}  // namespace vmae::nn
