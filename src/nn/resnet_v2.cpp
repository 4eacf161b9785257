#include "vmae/nn/resnet_v2.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/var_mean.h>
#include <torch/nn/init.h>

#include <cmath>

#include "module_group.h"
#include "vmae/core/text.h"
#include "vmae/nn/conv_ops.h"

namespace vmae::nn {

namespace {

constexpr int64_t kGroups = 32;

torch::nn::GroupNorm group_norm(int64_t groups, int64_t channels, double eps) {
  return torch::nn::GroupNorm(torch::nn::GroupNormOptions(groups, channels).eps(eps));
}
torch::nn::GroupNorm norm_of_groups(int64_t channels) { return group_norm(kGroups, channels, 1e-6); }

// The largest of three neighbours along `axis`, every second time, without padding.
at::Tensor largest_of_three(const at::Tensor& x, int64_t axis) {
  const int64_t count = (x.size(axis) - 3) / 2 + 1;
  const auto every_second = [&](int64_t first) { return x.slice(axis, first, first + 2 * count - 1, /*step=*/2); };
  return at::maximum(at::maximum(every_second(0), every_second(1)), every_second(2));
}

}  // namespace

at::Tensor max_pool3x3(const at::Tensor& x) {
  return x.is_cpu() ? at::max_pool2d(x, /*kernel_size=*/3, /*stride=*/2) : max_pool3x3_by_slices(x);
}

at::Tensor max_pool3x3_by_slices(const at::Tensor& x) { return largest_of_three(largest_of_three(x, 2), 3); }

StdConvImpl::StdConvImpl(int64_t in_channels, int64_t out_channels, int64_t kernel, int64_t stride) : stride_(stride) {
  weight_ = register_parameter("weight", at::empty({out_channels, in_channels, kernel, kernel}));
  torch::nn::init::kaiming_uniform_(weight_, std::sqrt(5.0));  // as torch's convolutions
}

at::Tensor StdConvImpl::forward(const at::Tensor& x) {
  const auto [variance, mean] = at::var_mean(weight_, at::IntArrayRef({1, 2, 3}), /*correction=*/0, /*keepdim=*/true);
  const at::Tensor weight = (weight_ - mean) / (variance + 1e-5).sqrt();
  const int64_t kernel = weight_.size(2);
  if (kernel == 3 && stride_ == 1) return conv3x3(x, weight, /*bias=*/{});
  return at::conv2d(x, weight, /*bias=*/{}, stride_, /*padding=*/kernel / 2);
}

BottleneckImpl::BottleneckImpl(int64_t in_channels, int64_t middle_channels, int64_t out_channels, int64_t stride) {
  gn1_ = register_module("gn1", norm_of_groups(middle_channels));
  conv1_ = register_module("conv1", StdConv(in_channels, middle_channels, 1));
  gn2_ = register_module("gn2", norm_of_groups(middle_channels));
  conv2_ = register_module("conv2", StdConv(middle_channels, middle_channels, 3, stride));
  gn3_ = register_module("gn3", norm_of_groups(out_channels));
  conv3_ = register_module("conv3", StdConv(middle_channels, out_channels, 1));
  if (stride == 1 && in_channels == out_channels) return;
  downsample_ = register_module("downsample", StdConv(in_channels, out_channels, 1, stride));
  gn_proj_ = register_module("gn_proj", group_norm(out_channels, out_channels, 1e-5));
}

at::Tensor BottleneckImpl::forward(const at::Tensor& x) {
  const at::Tensor residual = downsample_ ? gn_proj_->forward(downsample_->forward(x)) : x;
  at::Tensor y = at::relu(gn1_->forward(conv1_->forward(x)));
  y = at::relu(gn2_->forward(conv2_->forward(y)));
  return at::relu(residual + gn3_->forward(conv3_->forward(y)));
}

ResNetV2Impl::ResNetV2Impl(int64_t in_channels, int64_t width, const std::vector<int64_t>& units) {
  const auto root = module_group(*this, "root"), body = module_group(*this, "body");
  root_conv_ = root->register_module("conv", StdConv(in_channels, width, 7, 2));
  root_gn_ = root->register_module("gn", norm_of_groups(width));
  for (size_t b = 0; b < units.size(); ++b) {
    const auto block = module_group(*body, concat("block", b + 1));
    const int64_t middle = width << b, out = 4 * middle;
    blocks_.emplace_back();
    for (int64_t u = 0; u < units[b]; ++u) {
      const int64_t in = u > 0 ? out : b == 0 ? width : out / 2;
      const Bottleneck unit(in, middle, out, /*stride=*/u == 0 && b > 0 ? 2 : 1);
      blocks_.back().push_back(block->register_module(concat("unit", u + 1), unit));
    }
  }
}

at::Tensor ResNetV2Impl::forward(const at::Tensor& image, std::vector<at::Tensor>& skips) {
  at::Tensor x = at::relu(root_gn_->forward(root_conv_->forward(image)));  // (B, width, H/2, W/2)
  skips.push_back(x);
  x = max_pool3x3(x);  // (B, width, H/4 - 1, W/4 - 1)
  for (size_t b = 0; b < blocks_.size(); ++b) {
    for (Bottleneck& unit : blocks_[b]) x = unit->forward(x);
    if (b + 1 == blocks_.size()) break;
    const int64_t height = image.size(2) >> (b + 2), width = image.size(3) >> (b + 2);
    skips.push_back(at::constant_pad_nd(x, {0, width - x.size(3), 0, height - x.size(2)}));
  }
  return x;
}

}  // namespace vmae::nn
