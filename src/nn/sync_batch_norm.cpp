#include "vmae/nn/sync_batch_norm.h"

#include <ATen/Context.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/var_mean.h>
#include <ATen/ops/zeros.h>

#include <vector>

#include "no_autocast.h"

namespace vmae::nn {

namespace {

constexpr double kMomentum = 0.1, kEpsilon = 1e-5;

}  // namespace

SyncBatchNormImpl::SyncBatchNormImpl(int64_t channels) {
  weight = register_parameter("weight", at::ones({channels}));
  bias = register_parameter("bias", at::zeros({channels}));
  running_mean = register_buffer("running_mean", at::zeros({channels}));
  running_var = register_buffer("running_var", at::ones({channels}));
  num_batches_tracked = register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
}

at::Tensor SyncBatchNormImpl::forward(const at::Tensor& x, const SumOverRanks& total) {
  if (is_training()) num_batches_tracked.add_(1);
  if (is_training() && total) return over_ranks(x, total);
  return at::batch_norm(x, weight, bias, running_mean, running_var, is_training(), kMomentum, kEpsilon,
                        at::globalContext().userEnabledCuDNN());
}

// One exchange of sum, sum of squares and number of values of each channel: of each rank's own mean and variance, in
// double, so that a mean that is large beside the deviation costs no digits.
at::Tensor SyncBatchNormImpl::over_ranks(const at::Tensor& input, const SumOverRanks& total) {
  const NoAutocast off(input.device().type());
  const at::Tensor x = input.to(at::kFloat);
  const int64_t channels = x.size(1), count = x.numel() / channels;
  std::vector<int64_t> axes{0}, shape(static_cast<size_t>(x.dim()), 1);  // all but the channels'
  for (int64_t axis = 2; axis < x.dim(); ++axis) axes.push_back(axis);
  shape[1] = channels;
  const at::Tensor number =
      at::full({1}, static_cast<double>(count), x.options().dtype(at::kDouble).requires_grad(false));
  const auto [own_variance, own_mean] = at::var_mean(x, axes, /*unbiased=*/false);
  const at::Tensor m = own_mean.to(at::kDouble), v = own_variance.to(at::kDouble);
  const at::Tensor sums = total(at::cat({m * number, (v + m.square()) * number, number}));
  const at::Tensor n = sums.slice(0, 2 * channels), mean = sums.slice(0, 0, channels) / n,
                   variance = (sums.slice(0, channels, 2 * channels) / n - mean.square()).clamp_min(0.0);
  {
    const at::NoGradGuard no_grad;
    running_mean.lerp_(mean.to(at::kFloat), kMomentum);
    running_var.lerp_((variance * n / (n - 1.0).clamp_min(1.0)).to(at::kFloat), kMomentum);
  }
  const at::Tensor scale = weight * (variance + kEpsilon).rsqrt().to(at::kFloat);
  const at::Tensor y = (x - mean.to(at::kFloat).view(shape)) * scale.view(shape) + bias.view(shape);
  return y.to(input.scalar_type());
}

}  // namespace vmae::nn
