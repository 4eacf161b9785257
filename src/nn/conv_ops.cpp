#include "vmae/nn/conv_ops.h"

#include <ATen/autocast_mode.h>
#include <ATen/ops/conv2d.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <variant>

#include "winograd.h"

namespace vmae::nn {

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct WinogradConv : torch::autograd::Function<WinogradConv> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& bias) {
    ctx->save_for_backward({x, weight});
    ctx->saved_data["has_bias"] = bias.has_value();
    return winograd::convolve(x, weight, bias.value_or(Tensor()));
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "the backward pass of a convolution by Winograd can't be differentiated");
    const variable_list saved = ctx->get_saved_variables();
    const Tensor grad = grads[0].contiguous();
    variable_list gradients(3);
    if (ctx->needs_input_grad(0)) gradients[0] = winograd::grad_input(grad, saved[1]);
    if (ctx->needs_input_grad(1)) gradients[1] = winograd::grad_weight(grad, saved[0]);
    if (ctx->saved_data["has_bias"].toBool() && ctx->needs_input_grad(2)) gradients[2] = grad.sum({0, 2, 3});
    return gradients;
  }
};

// Measured on two cores: few channels have more to transform than to multiply, few pixels leave the kernels to
// transform. An image takes kPlaces numbers for each tile and channel, twice.
bool is_quicker_by_winograd(const Tensor& x, const Tensor& weight) {
  constexpr int64_t kFewestChannels = 32, kChannelsPerTile = 8, kPlaces = 36, kMostNumbers = 32 << 20;
  if (!x.is_cpu() || x.scalar_type() != at::kFloat || weight.scalar_type() != at::kFloat) return false;
  if (!at::GradMode::is_enabled() || (!x.requires_grad() && !weight.requires_grad())) return false;
  if (at::autocast::is_autocast_enabled(at::kCPU) || !winograd::is_supported()) return false;
  const int64_t in = weight.size(1), out = weight.size(0);
  if (std::min(in, out) < kFewestChannels || in % winograd::kLanes != 0 || out % winograd::kLanes != 0) return false;
  const int64_t most = std::max(in, out),
                tiles = winograd::tiles_per_side(x.size(2)) * winograd::tiles_per_side(x.size(3));
  return kChannelsPerTile * tiles * x.size(0) >= most && kPlaces * tiles * most <= kMostNumbers;
}

}  // namespace

Tensor conv3x3(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (is_quicker_by_winograd(x, weight))
    return WinogradConv::apply(x, weight, bias.defined() ? std::optional(bias) : std::nullopt);
  return at::conv2d(x, weight, bias, /*stride=*/1, /*padding=*/1);
}

Tensor convolve(torch::nn::Conv2dImpl& conv, const Tensor& x) {
  const auto is_all = [](const auto& pair, int64_t value) { return pair->at(0) == value && pair->at(1) == value; };
  const auto* padding = std::get_if<torch::ExpandingArray<2>>(&conv.options.padding());
  const bool is_3x3 = is_all(conv.options.kernel_size(), 3) && is_all(conv.options.stride(), 1) &&
                      is_all(conv.options.dilation(), 1) && conv.options.groups() == 1 && padding != nullptr &&
                      is_all(*padding, 1) &&
                      std::holds_alternative<torch::enumtype::kZeros>(conv.options.padding_mode());
  return is_3x3 ? conv3x3(x, conv.weight, conv.bias) : conv.forward(x);
}

}  // namespace vmae::nn
