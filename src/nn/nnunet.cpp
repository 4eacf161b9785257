#include "vmae/nn/nnunet.h"

#include <ATen/ops/cat.h>
#include <torch/nn/modules/container/modulelist.h>

#include <string>

#include "module_group.h"
#include "vmae/nn/conv_block.h"
#include "vmae/nn/conv_ops.h"
#include "vmae/nn/norm_ops.h"
#include "vmae/nn/swin.h"

namespace vmae::nn {

namespace {

using Pair = torch::ExpandingArray<2>;  // rows, columns

Pair pair_of_stage(const std::vector<int64_t>& pairs, size_t stage) { return {pairs[2 * stage], pairs[2 * stage + 1]}; }

// With the kernel of a stage, and the padding that keeps the size.
torch::nn::Conv2dOptions conv_of_stage(const NnUnetOptions& net, size_t stage, int64_t in_channels,
                                       int64_t out_channels) {
  const Pair kernel = pair_of_stage(net.kernel_sizes, stage);
  const Pair padding{(kernel->at(0) - 1) / 2, (kernel->at(1) - 1) / 2};
  return torch::nn::Conv2dOptions(in_channels, out_channels, kernel).padding(padding).bias(net.conv_bias);
}

}  // namespace

ConvNormLeakyImpl::ConvNormLeakyImpl(const torch::nn::Conv2dOptions& options) {
  conv_ = register_module("conv", torch::nn::Conv2d(options));
  norm_ = register_module(
      "norm", torch::nn::InstanceNorm2d(
                  torch::nn::InstanceNorm2dOptions(options.out_channels()).eps(kInstanceNormEps).affine(true)));
}

at::Tensor ConvNormLeakyImpl::forward(const at::Tensor& x) {
  return instance_norm_leaky(convolve(*conv_, x), norm_->weight, norm_->bias);
}

StackedConvsImpl::StackedConvsImpl(torch::nn::Conv2dOptions options, int64_t count) {
  const auto convs = register_module("convs", torch::nn::ModuleList());
  for (int64_t i = 0; i < count; ++i) {
    convs_.emplace_back(options);
    convs->push_back(convs_.back());
    options.in_channels(options.out_channels()).stride(1);
  }
}

at::Tensor StackedConvsImpl::forward(at::Tensor x) {
  for (ConvNormLeaky& conv : convs_) x = conv->forward(x);
  return x;
}

NnUnetImpl::NnUnetImpl(const UnetOptions& options) : options_(options) {
  validate_nnunet(options);
  add_encoder(*module_group(*this, "encoder"));
  add_decoder(*module_group(*this, "decoder"));
  init_convolutions(*this);
}

void NnUnetImpl::add_encoder(torch::nn::Module& encoder) {
  const NnUnetOptions& net = options_.nnunet;
  const auto stages = module_group(encoder, "stages");
  int64_t channels = options_.swin.in_channels;
  for (size_t i = 0; i < net.features_per_stage.size(); ++i) {
    const auto convs = conv_of_stage(net, i, channels, net.features_per_stage[i]).stride(pair_of_stage(net.strides, i));
    encoder_.emplace_back(convs, net.n_conv_per_stage[i]);
    module_group(*stages, std::to_string(i))->register_module("0", encoder_.back());
    channels = net.features_per_stage[i];
  }
}

void NnUnetImpl::add_decoder(torch::nn::Module& decoder) {
  const NnUnetOptions& net = options_.nnunet;
  const auto stages = decoder.register_module("stages", torch::nn::ModuleList());
  const auto upsamplings = decoder.register_module("transpconvs", torch::nn::ModuleList());
  const auto heads = decoder.register_module("seg_layers", torch::nn::ModuleList());
  for (size_t below = net.features_per_stage.size() - 1; below > 0; --below) {  // from a stage to the one above
    const int64_t in = net.features_per_stage[below], out = net.features_per_stage[below - 1];
    const Pair stride = pair_of_stage(net.strides, below);
    decoder_.emplace_back(conv_of_stage(net, below - 1, 2 * out, out), net.n_conv_per_stage_decoder[decoder_.size()]);
    upsamplings_.emplace_back(torch::nn::ConvTranspose2dOptions(in, out, stride).stride(stride).bias(net.conv_bias));
    heads_.emplace_back(torch::nn::Conv2dOptions(out, options_.num_classes, 1));
    stages->push_back(decoder_.back());
    upsamplings->push_back(upsamplings_.back());
    heads->push_back(heads_.back());
  }
}

std::vector<at::Tensor> NnUnetImpl::decode(const at::Tensor& image) {
  check_image(image, options_.swin);
  std::vector<at::Tensor> skips;
  for (StackedConvs& stage : encoder_) skips.push_back(stage->forward(skips.empty() ? image : skips.back()));
  at::Tensor x = skips.back();
  std::vector<at::Tensor> features;
  for (size_t i = 0; i < decoder_.size(); ++i) {
    skips.pop_back();
    x = decoder_[i]->forward(at::cat({upsamplings_[i]->forward(x), skips.back()}, 1));
    features.push_back(x);
  }
  return features;
}

at::Tensor NnUnetImpl::forward(const at::Tensor& image, const at::Tensor& /*draws*/, const SumOverRanks& /*total*/) {
  return heads_.back()->forward(decode(image).back());
}

std::vector<at::Tensor> NnUnetImpl::levels(const at::Tensor& image) {
  const std::vector<at::Tensor> features = decode(image);
  std::vector<at::Tensor> logits;
  for (size_t i = features.size(); i-- > 0;) logits.push_back(heads_[i]->forward(features[i]));
  return logits;
}

}  // namespace vmae::nn
