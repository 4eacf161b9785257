// ATen's instance norm copies, and writes what leaky ReLU then reads. Here a plane is read three times while it is in
// the cache: mean, variance, result.
#include "vmae/nn/norm_ops.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/instance_norm.h>
#include <ATen/ops/leaky_relu.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace vmae::nn {

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kSlope = static_cast<float>(kNegativeSlope);

// In float within a block, in double over blocks. Terms have to be small where their sum is: their roundings add up.
constexpr int64_t kBlock = 256, kLanes = 16;

template <class Term>
double block_sum(int64_t begin, int64_t end, const Term& term) {
  std::array<float, kLanes> lanes{};
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[static_cast<size_t>(lane)] += term(i + lane);
  }
  double sum = 0;
  for (; i < end; ++i) sum += term(i);
  for (const float lane : lanes) sum += lane;
  return sum;
}

template <class Body>
void for_each_block(int64_t size, const Body& body) {
  for (int64_t begin = 0; begin < size; begin += kBlock) body(begin, std::min(begin + kBlock, size));
}

template <class Body>
void for_each_plane(int64_t planes, int64_t size, const Body& body) {
  constexpr int64_t kAtOnce = 32768;  // values that are worth waking a thread
  at::parallel_for(0, planes, std::max<int64_t>(1, kAtOnce / size), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) body(plane);
  });
}

// What a plane became: leaky(factor * (x - mean) + offset).
struct Plane {
  float mean, rstd, factor, offset;
  float operator()(float x) const { return factor * (x - mean) + offset; }
};

Plane measure(const float* x, int64_t size, float weight, float bias) {
  const auto count = static_cast<double>(size);
  // Beside the first value: a plane that is constant, or nearly so, has its mean exactly.
  const float pivot = x[0];
  double sum = 0;
  for_each_block(size, [&](int64_t a, int64_t b) { sum += block_sum(a, b, [=](int64_t i) { return x[i] - pivot; }); });
  const auto mean = static_cast<float>(pivot + sum / count);
  double squares = 0;
  double rest = 0;  // what the rounding of the mean leaves
  for_each_block(size, [&](int64_t a, int64_t b) {
    squares += block_sum(a, b, [=](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
    rest += block_sum(a, b, [=](int64_t i) { return x[i] - mean; });
  });
  const double variance = std::max(0.0, squares / count - (rest / count) * (rest / count));
  const auto rstd = static_cast<float>(1.0 / std::sqrt(variance + kInstanceNormEps));
  return {static_cast<float>(mean + rest / count), rstd, weight * rstd, bias};
}

struct InstanceNormLeaky : torch::autograd::Function<InstanceNormLeaky> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight, const Tensor& bias) {
    const int64_t channels = x.size(1), size = x.size(2) * x.size(3), planes = x.size(0) * channels;
    Tensor out = at::empty_like(x), facts = at::empty({planes, 4}, x.options());
    const float *from = x.const_data_ptr<float>(), *w = weight.const_data_ptr<float>(),
                *b = bias.const_data_ptr<float>();
    auto* fact = reinterpret_cast<Plane*>(facts.mutable_data_ptr<float>());
    float* to = out.mutable_data_ptr<float>();
    for_each_plane(planes, size, [&](int64_t number) {
      const float* in = from + number * size;
      float* result = to + number * size;
      const Plane plane = fact[number] = measure(in, size, w[number % channels], b[number % channels]);
      for (int64_t i = 0; i < size; ++i) {
        const float z = plane(in[i]);
        result[i] = z > 0 ? z : kSlope * z;
      }
    });
    ctx->save_for_backward({x, facts});
    return out;
  }

  // With z = weight * (x - mean) * rstd + bias, g = dz and N values in a plane:
  // dx = weight * rstd * (g - sum(g) / N - (x - mean) * rstd^2 * sum(g * (x - mean)) / N).
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &facts = saved[1], grad = grads[0].contiguous();
    const int64_t channels = x.size(1), size = x.size(2) * x.size(3), planes = x.size(0) * channels;
    Tensor dx = at::empty_like(x), sums = at::empty({2, x.size(0), channels}, x.options());
    const float *from = x.const_data_ptr<float>(), *above = grad.const_data_ptr<float>();
    const auto* fact = reinterpret_cast<const Plane*>(facts.const_data_ptr<float>());
    float *to = dx.mutable_data_ptr<float>(), *sum = sums.mutable_data_ptr<float>();
    for_each_plane(planes, size, [&](int64_t number) {
      const float *in = from + number * size, *g = above + number * size;
      const Plane plane = fact[number];
      const auto dz = [=](int64_t i) { return plane(in[i]) > 0 ? g[i] : kSlope * g[i]; };
      double of_bias = 0, of_centered = 0;
      for_each_block(size, [&](int64_t a, int64_t b) {
        of_bias += block_sum(a, b, dz);
        of_centered += block_sum(a, b, [=](int64_t i) { return dz(i) * (in[i] - plane.mean); });
      });
      sum[number] = static_cast<float>(of_centered * plane.rstd);
      sum[planes + number] = static_cast<float>(of_bias);
      const double per_x = -plane.factor * of_centered * plane.rstd * plane.rstd / static_cast<double>(size);
      const auto slope = static_cast<float>(per_x),
                 constant = static_cast<float>(-plane.factor * of_bias / static_cast<double>(size));
      float* result = to + number * size;
      for (int64_t i = 0; i < size; ++i) result[i] = plane.factor * dz(i) + slope * (in[i] - plane.mean) + constant;
    });
    const Tensor of_channels = sums.sum(1);
    return {dx, of_channels[0], of_channels[1]};
  }
};

}  // namespace

Tensor instance_norm_leaky(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  TORCH_CHECK(x.dim() == 4 && x.numel() > 0, "instance_norm_leaky needs (B, C, H, W), not ", x.sizes());
  if (x.is_cpu() && x.scalar_type() == at::kFloat) return InstanceNormLeaky::apply(x.contiguous(), weight, bias);
  return at::leaky_relu(at::instance_norm(x, weight, bias, {}, {}, /*use_input_stats=*/true, /*momentum=*/0.0,
                                          kInstanceNormEps, /*cudnn_enabled=*/true),
                        kNegativeSlope);
}

}  // namespace vmae::nn
