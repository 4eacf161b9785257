#include "vmae/nn/norm_ops.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

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

// A background far from 0, as the first convolution may make it of CT.
TEST(InstanceNormLeaky, KeepsWhatIsLeftBesideALargeMean) {
  torch::manual_seed(1);
  const at::Tensor x = at::randn({2, 2, 96, 96}) + 1000, weight = at::ones({2}), bias = at::zeros({2});
  const at::Tensor found = instance_norm_leaky(x, weight, bias);
  const at::Tensor expected = reference(x.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble));
  EXPECT_LT((found - expected).abs().max().item<double>(), 2e-4);
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
