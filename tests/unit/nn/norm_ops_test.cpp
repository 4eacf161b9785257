#include "vmae/nn/norm_ops.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>

#include "vmae/train/precision.h"

namespace vmae::nn {
namespace {

struct Result {
  at::Tensor out;
  std::vector<at::Tensor> gradients;  // of x, weight, bias
};

// ATen's own operators, in double.
at::Tensor reference(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::leaky_relu(at::instance_norm(x, weight, bias, {}, {}, true, 0.0, 1e-5, false), 0.01);
}

template <class Operator>
Result run(const Operator& op, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
           const at::Tensor& above) {
  std::vector<at::Tensor> inputs;
  for (const at::Tensor& input : {x, weight, bias}) inputs.push_back(input.detach().requires_grad_());
  const at::Tensor out = op(inputs[0], inputs[1], inputs[2]);
  return {out.detach(), torch::autograd::grad({out}, inputs, {above})};
}

void expect_close(const at::Tensor& found, const at::Tensor& expected, const std::string& what) {
  const double largest = std::max(1e-3, expected.abs().max().item<double>());
  EXPECT_LT((found.to(at::kDouble) - expected).abs().max().item<double>(), 5e-6 * largest) << what;
}

TEST(InstanceNormLeaky, IsThatOfAten) {
  torch::manual_seed(0);
  const std::vector<std::vector<int64_t>> shapes{
      {2, 3, 7, 5}, {1, 4, 1, 9}, {3, 2, 64, 65}, {2, 5, 130, 33}, {1, 1, 2, 1}};
  for (const std::vector<int64_t>& shape : shapes) {
    for (const bool is_channels_last : {false, true}) {
      const at::Tensor shift = at::randn({shape[0], shape[1], 1, 1}) * 3, weight = at::randn({shape[1]});
      at::Tensor x = at::randn(shape) + shift, above = at::randn(shape);
      weight[0] = 0.0;  // the sign is then that of the bias
      if (is_channels_last) {
        x = x.contiguous(at::MemoryFormat::ChannelsLast);
        above = above.contiguous(at::MemoryFormat::ChannelsLast);
      }
      const at::Tensor bias = at::randn({shape[1]});
      const Result found = run(instance_norm_leaky, x, weight, bias, above);
      const Result expected =
          run(reference, x.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble), above.to(at::kDouble));
      expect_close(found.out, expected.out, "output");
      const char* names[] = {"gradient of x", "gradient of weight", "gradient of bias"};
      for (size_t i = 0; i < 3; ++i) expect_close(found.gradients[i], expected.gradients[i], names[i]);
    }
  }
}

// Air: constant but for a few pixels, or altogether; what is left are roundings, times up to 316.
TEST(InstanceNormLeaky, ConstantPlanesComeOutAsTheBias) {
  for (const double value : {3.3, 37.3, 100.1, 1000.1, -512.7}) {
    for (const int64_t others : {0, 1, 200}) {
      at::Tensor x = at::full({1, 1, 128, 128}, value);
      x.flatten().slice(0, 5000, 5000 + others).add_(1.5);
      const at::Tensor weight = at::ones({1}), bias = at::full({1}, 0.25);
      const at::Tensor found = instance_norm_leaky(x, weight, bias);
      const at::Tensor expected = reference(x.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble));
      const double largest = expected.abs().max().item<double>();
      const double spacing = 6e-8 * std::abs(value) / std::sqrt(x.to(at::kDouble).var().item<double>() + 1e-5);
      EXPECT_LT((found - expected).abs().max().item<double>(), others == 0 ? 1e-9 : 1e-6 * largest + spacing) << value;
    }
  }
}

TEST(InstanceNormLeaky, ANumberThatIsNoneStaysInItsPlane) {
  torch::manual_seed(4);
  const at::Tensor x = at::randn({2, 2, 40, 40});
  x[1][0][7][3] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor found = instance_norm_leaky(x, at::ones({2}), at::zeros({2})).isnan();
  EXPECT_TRUE(found[1][0].all().item<bool>());
  EXPECT_EQ(found.sum().item<int64_t>(), 40 * 40);
}

// bf16 comes with weights in fp32 where autocast is on.
TEST(InstanceNormLeaky, AutocastTakesAtensOperators) {
  torch::manual_seed(5);
  const at::Tensor x = at::randn({2, 3, 8, 8}).to(at::kBFloat16), weight = at::rand({3}), bias = at::randn({3});
  const train::Autocast autocast(at::kCPU, train::Precision::bf16);
  const at::Tensor found = instance_norm_leaky(x, weight, bias);
  const at::Tensor expected = reference(x.to(at::kFloat), weight, bias);
  EXPECT_LT((found.to(at::kFloat) - expected).abs().max().item<double>(), 0.05);
}

TEST(InstanceNormLeaky, OtherShapesAreRefused) {
  EXPECT_ANY_THROW(instance_norm_leaky(at::rand({3, 4, 4}), at::ones({3}), at::zeros({3})));
  EXPECT_ANY_THROW(instance_norm_leaky(at::rand({2, 3, 0, 4}), at::ones({3}), at::zeros({3})));
}

TEST(InstanceNormLeaky, OtherTypesTakeAtensOperators) {
  torch::manual_seed(2);
  const at::Tensor x = at::randn({2, 3, 8, 8}, at::kDouble), weight = at::rand({3}, at::kDouble),
                   bias = at::randn({3}, at::kDouble);
  EXPECT_TRUE(at::equal(instance_norm_leaky(x, weight, bias), reference(x, weight, bias)));
}

TEST(InstanceNormLeaky, ThreadsChangeNothing) {
  torch::manual_seed(3);
  const at::Tensor x = at::randn({4, 8, 70, 70}), weight = at::rand({8}), bias = at::randn({8}),
                   above = at::randn(x.sizes());
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Result one = run(instance_norm_leaky, x, weight, bias, above);
  at::set_num_threads(2);
  const Result two = run(instance_norm_leaky, x, weight, bias, above);
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(one.out, two.out));
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(at::equal(one.gradients[i], two.gradients[i]));
}

}  // namespace
}  // namespace vmae::nn
