#include "vmae/nn/transunet.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <torch/nn/modules/container/modulelist.h>

#include <array>

#include "module_group.h"
#include "no_autocast.h"
#include "vmae/nn/conv_ops.h"
#include "vmae/nn/dropout.h"

namespace vmae::nn {

namespace {

torch::nn::Conv2d make_conv3x3(int64_t in_channels, int64_t out_channels, bool has_bias) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in_channels, out_channels, 3).padding(1).bias(has_bias));
}

// (2 size, size): row i has the shares of the pixels around i (size - 1) / (2 size - 1).
at::Tensor interpolation(int64_t size, const at::Tensor& like) {
  const auto options = like.options().dtype(at::kFloat).requires_grad(false);
  const double step = size > 1 ? static_cast<double>(size - 1) / static_cast<double>(2 * size - 1) : 0.0;
  const at::Tensor at_pixel = at::arange(2 * size, options) * step, pixel = at::arange(size, options);
  return (1.0 - (at_pixel.unsqueeze(1) - pixel.unsqueeze(0)).abs()).clamp_min(0.0);
}

}  // namespace

at::Tensor upsample_twice(const at::Tensor& x) {
  if (!x.is_cpu()) return upsample_by_products(x);
  const NoAutocast off(at::kCPU);
  const std::array<int64_t, 2> size{2 * x.size(2), 2 * x.size(3)};
  return at::upsample_bilinear2d(x.to(at::kFloat), size, /*align_corners=*/true).to(x.scalar_type());
}

at::Tensor upsample_by_products(const at::Tensor& x) {
  const NoAutocast off(x.device().type());
  const at::Tensor wide = at::matmul(x.to(at::kFloat), interpolation(x.size(3), x).t());  // (B, C, H, 2W)
  return at::matmul(interpolation(x.size(2), x), wide).to(x.scalar_type());
}

ConvNormReluImpl::ConvNormReluImpl(int64_t in_channels, int64_t out_channels) {
  conv_ = register_module("0", make_conv3x3(in_channels, out_channels, /*has_bias=*/false));
  norm_ = register_module("1", SyncBatchNorm(out_channels));
}

at::Tensor ConvNormReluImpl::forward(const at::Tensor& x, const SumOverRanks& total) {
  return at::relu(norm_->forward(convolve(*conv_, x), total));
}

DecoderBlockImpl::DecoderBlockImpl(int64_t in_channels, int64_t skip_channels, int64_t out_channels) {
  conv1_ = register_module("conv1", ConvNormRelu(in_channels + skip_channels, out_channels));
  conv2_ = register_module("conv2", ConvNormRelu(out_channels, out_channels));
}

at::Tensor DecoderBlockImpl::forward(const at::Tensor& x, const at::Tensor& skip, const SumOverRanks& total) {
  const at::Tensor up = upsample_twice(x);
  return conv2_->forward(conv1_->forward(skip.defined() ? at::cat({up, skip}, 1) : up, total), total);
}

TransUnetImpl::TransUnetImpl(const UnetOptions& options) : options_(options) {
  validate_transunet(options);
  const TransUnetOptions& net = options.transunet;
  const std::vector<int64_t>& size = options.swin.image_size;
  const auto transformer = module_group(*this, "transformer"), embeddings = module_group(*transformer, "embeddings");
  const int64_t in_channels = options.swin.in_channels == 1 ? 3 : options.swin.in_channels;
  stem_ = embeddings->register_module("hybrid_model", ResNetV2(in_channels, net.stem_width, net.stem_units));
  patch_embeddings_ = embeddings->register_module(
      "patch_embeddings", torch::nn::Conv2d(torch::nn::Conv2dOptions(16 * net.stem_width, net.vit_width, 1)));
  position_embeddings_ = embeddings->register_parameter("position_embeddings",
                                                        at::zeros({1, (size[0] / 16) * (size[1] / 16), net.vit_width}));
  encoder_ = transformer->register_module(
      "encoder", VitEncoder(net.vit_width, net.vit_layers, net.vit_heads, net.vit_mlp, net.dropout));

  const auto decoder = module_group(*this, "decoder");
  const std::vector<int64_t>& channels = net.decoder_channels;
  const std::vector<int64_t> skips{8 * net.stem_width, 4 * net.stem_width, net.stem_width, 0};
  conv_more_ = decoder->register_module("conv_more", ConvNormRelu(net.vit_width, channels[0]));
  const auto blocks = decoder->register_module("blocks", torch::nn::ModuleList());
  for (size_t i = 0; i < skips.size(); ++i) {
    blocks_.emplace_back(channels[i], skips[i], channels[i + 1]);
    blocks->push_back(blocks_.back());
  }
  head_ = module_group(*this, "segmentation_head")
              ->register_module("0", make_conv3x3(channels.back(), options.num_classes, /*has_bias=*/true));
}

// -> (B, H/16 W/16, vit_width)
at::Tensor TransUnetImpl::tokens(const at::Tensor& image, const at::Tensor& draws, std::vector<at::Tensor>& skips) {
  const at::Tensor features = patch_embeddings_->forward(stem_->forward(image, skips));  // (B, vit_width, H/16, W/16)
  const at::Tensor placed = features.flatten(2).transpose(1, 2) + position_embeddings_;
  if (!draws.defined()) return encoder_->forward(placed, /*draws=*/{});
  return encoder_->forward(dropout(placed, draws.select(1, 0), options_.transunet.dropout), draws.slice(1, 1));
}

at::Tensor TransUnetImpl::forward(const at::Tensor& image, const at::Tensor& draws, const SumOverRanks& total) {
  check_image(image, options_.swin);
  std::vector<at::Tensor> skips;  // from fine to coarse
  const at::Tensor encoded = tokens(image.size(1) == 1 ? image.repeat({1, 3, 1, 1}) : image, draws, skips);
  const at::Tensor grid = encoded.transpose(1, 2).reshape({image.size(0), -1, image.size(2) / 16, image.size(3) / 16});
  at::Tensor x = conv_more_->forward(grid, total);
  for (size_t i = 0; i < blocks_.size(); ++i)
    x = blocks_[i]->forward(x, i < skips.size() ? skips[skips.size() - 1 - i] : at::Tensor(), total);
  return head_->forward(x);
}

}  // namespace vmae::nn
