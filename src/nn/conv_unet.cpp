#include "vmae/nn/conv_unet.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>

namespace vmae::nn {

ConvUnetImpl::ConvUnetImpl(const UnetOptions& options) {
  const std::vector<int64_t>& features = options.features;
  encoder_ = register_module("encoder", torch::nn::ModuleList());
  upsamplings_ = register_module("upsamplings", torch::nn::ModuleList());
  decoder_ = register_module("decoder", torch::nn::ModuleList());
  for (size_t i = 0; i < features.size(); ++i)
    encoder_->push_back(ConvBlock(i == 0 ? options.swin.in_channels : features[i - 1], features[i], i == 0 ? 1 : 2));
  for (size_t i = features.size() - 1; i > 0; --i) {
    const auto up = torch::nn::ConvTranspose2dOptions(features[i], features[i - 1], 2).stride(2);
    upsamplings_->push_back(torch::nn::ConvTranspose2d(up));
    decoder_->push_back(ConvBlock(2 * features[i - 1], features[i - 1], 1));
  }
  head_ = register_module("head", torch::nn::Conv2d(torch::nn::Conv2dOptions(features[0], options.num_classes, 1)));
  init_convolutions(*this);
}

at::Tensor ConvUnetImpl::forward(const at::Tensor& image, const at::Tensor& /*draws*/, const SumOverRanks& /*total*/) {
  const int64_t multiple = int64_t{1} << (encoder_->size() - 1);
  const auto missing = [&](int64_t size) { return (multiple - size % multiple) % multiple; };
  at::Tensor x = at::constant_pad_nd(image, {0, missing(image.size(3)), 0, missing(image.size(2))});
  std::vector<at::Tensor> skips;
  for (const auto& block : *encoder_) {
    x = block->as<ConvBlock>()->forward(x);
    skips.push_back(x);
  }
  for (size_t i = 0; i < decoder_->size(); ++i) {
    x = upsamplings_[i]->as<torch::nn::ConvTranspose2d>()->forward(x);
    x = decoder_[i]->as<ConvBlock>()->forward(at::cat({x, skips[skips.size() - 2 - i]}, 1));
  }
  return head_->forward(x).slice(2, 0, image.size(2)).slice(3, 0, image.size(3));
}

}  // namespace vmae::nn
