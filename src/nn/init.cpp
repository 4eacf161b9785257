#include "vmae/nn/init.h"

#include <torch/nn/init.h>
#include <torch/nn/modules/linear.h>

namespace vmae::nn {

namespace {

// Normal(0, std) cut at +-2, as timm's trunc_normal_: the inverse of the normal
// distribution function applied to a uniform draw. With std = 0.02 the cut never matters.
void trunc_normal_(at::Tensor tensor, double std) {
  const double edge = std::erf(2.0 / std / std::sqrt(2.0));
  tensor.uniform_(-edge, edge).erfinv_().mul_(std * std::sqrt(2.0)).clamp_(-2.0, 2.0);
}

}  // namespace

void init_weights(torch::nn::Module& module, LinearInit rule) {
  const at::NoGradGuard no_grad;
  for (const auto& child : module.modules(/*include_self=*/false)) {
    if (auto* linear = child->as<torch::nn::Linear>()) {
      rule == LinearInit::xavier_uniform ? void(torch::nn::init::xavier_uniform_(linear->weight))
                                         : trunc_normal_(linear->weight, 0.02);
      if (linear->bias.defined()) linear->bias.zero_();
    }
    for (auto& parameter : child->named_parameters(/*recurse=*/false)) {
      if (parameter.key() == "relative_position_bias_table") trunc_normal_(parameter.value(), 0.02);
    }
  }
}

// Half of the channels encode the column, half the row, each as [sin | cos]
// over dim / 4 frequencies 10000^(-i / (dim / 4)) (He et al. 2022, MAE).
at::Tensor sincos_position_embedding(int64_t dim, int64_t rows, int64_t columns) {
  const auto frequencies = at::pow(10000.0, at::arange(dim / 4, at::kDouble) / (-static_cast<double>(dim) / 4.0));
  auto encode = [&](const at::Tensor& position) {
    const auto angle = at::outer(position.reshape({-1}), frequencies);
    return at::cat({angle.sin(), angle.cos()}, 1);
  };
  const auto grid = at::meshgrid({at::arange(rows, at::kDouble), at::arange(columns, at::kDouble)}, "ij");
  return at::cat({encode(grid[1]), encode(grid[0])}, 1).to(at::kFloat).unsqueeze(0);
}

}  // namespace vmae::nn
