#include "vmae/nn/conv_ops.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "support/tensors.h"
#include "vmae/core/machine.h"
#include "vmae/core/text.h"
#include "vmae/nn/nnunet.h"
#include "vmae/train/precision.h"

namespace vmae::nn {
namespace {

struct Inputs {
  at::Tensor x, weight, bias, above;
  Inputs(int64_t images, int64_t in, int64_t out, int64_t height, int64_t width) {
    x = at::randn({images, in, height, width}) + 0.5;
    weight = at::randn({out, in, 3, 3});
    bias = at::randn({out});
    above = at::randn({images, out, height, width});
  }
};

struct Result {
  at::Tensor out;
  std::vector<at::Tensor> gradients;  // of x, weight, bias
};

template <class Operator>
Result run(const Operator& op, const Inputs& inputs, at::ScalarType type = at::kFloat) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& one : {inputs.x, inputs.weight, inputs.bias})
    leaves.push_back(one.to(type).detach().requires_grad_());
  const at::Tensor out = op(leaves[0], leaves[1], leaves[2]);
  return {out.detach(), torch::autograd::grad({out}, leaves, {inputs.above.to(type)})};
}

at::Tensor of_aten(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::conv2d(x, weight, bias, 1, 1);
}

// Sides that tiles divide and that they don't, of one tile and many; images that are taken in several parts.
TEST(Conv3x3, IsThatOfAtenInDouble) {
  torch::manual_seed(0);
  const std::vector<std::array<int64_t, 5>> shapes{{1, 32, 32, 16, 16},  {2, 40, 32, 13, 22}, {5, 32, 48, 7, 5},
                                                   {16, 64, 32, 3, 1},   {3, 32, 32, 1, 40},  {4, 96, 64, 4, 9},
                                                   {3, 32, 40, 150, 149}};
  for (const auto& [images, in, out, height, width] : shapes) {
    const Inputs inputs(images, in, out, height, width);
    const Result found = run(conv3x3, inputs), expected = run(of_aten, inputs, at::kDouble);
    const std::string what = concat(images, " x ", in, " x ", height, " x ", width, " to ", out);
    EXPECT_LT(test::relative_difference(found.out, expected.out), 2e-5) << what;
    const char* names[] = {", gradient of x", ", gradient of weight", ", gradient of bias"};
    for (size_t i = 0; i < 3; ++i)
      EXPECT_LT(test::relative_difference(found.gradients[i], expected.gradients[i]), 2e-5) << what << names[i];
    EXPECT_TRUE(test::same_bits(found.out, run(conv3x3, inputs).out)) << what;
    const bool is_by_winograd = instruction_sets().avx2 && !instruction_sets().avx512;
    EXPECT_EQ(test::same_bits(found.out, run(of_aten, inputs).out), !is_by_winograd) << what;
  }
}

TEST(Conv3x3, TakesAnyLayoutAndNoBias) {
  torch::manual_seed(1);
  const Inputs inputs(2, 32, 40, 12, 10);
  const Result expected = run(conv3x3, inputs);
  const at::Tensor x = inputs.x.contiguous(at::MemoryFormat::ChannelsLast),
                   weight = inputs.weight.detach().requires_grad_();
  const at::Tensor out = conv3x3(x, weight, {});
  EXPECT_LT(test::relative_difference(out.detach(), (expected.out - inputs.bias.view({1, -1, 1, 1}))), 2e-5);
  out.backward(inputs.above.contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_LT(test::relative_difference(weight.grad(), expected.gradients[1]), 2e-5);
}

// Prediction and validation are ATen's to the last bit; so is what Winograd's way is not made for.
TEST(Conv3x3, IsOfTheSameBitsWhereNothingIsLearnt) {
  torch::manual_seed(2);
  const Inputs inputs(2, 32, 32, 20, 20);
  {
    const at::NoGradGuard off;
    const at::Tensor weight = inputs.weight.detach().requires_grad_();
    EXPECT_TRUE(test::same_bits(conv3x3(inputs.x, weight, inputs.bias), of_aten(inputs.x, weight, inputs.bias)));
  }
  EXPECT_TRUE(test::same_bits(conv3x3(inputs.x, inputs.weight, {}), of_aten(inputs.x, inputs.weight, {})));
  for (const Inputs& other : {Inputs(2, 16, 32, 20, 20), Inputs(2, 32, 36, 20, 20), Inputs(1, 512, 512, 7, 7)}) {
    const Result found = run(conv3x3, other), expected = run(of_aten, other);
    EXPECT_TRUE(test::same_bits(found.out, expected.out));
    for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(test::same_bits(found.gradients[i], expected.gradients[i]));
  }
}

TEST(Conv3x3, OfALargeImageIsAtens) {
  const Inputs inputs(1, 32, 32, 680, 690);
  EXPECT_TRUE(test::same_bits(run(conv3x3, inputs).out, run(of_aten, inputs).out));
}

TEST(Conv3x3, LeavesHalfPrecisionToAutocast) {
  torch::manual_seed(3);
  const Inputs inputs(2, 32, 32, 20, 20);
  const train::Autocast autocast(at::kCPU, train::Precision::bf16);
  const at::Tensor weight = inputs.weight.detach().requires_grad_();
  EXPECT_EQ(conv3x3(inputs.x, weight, inputs.bias).scalar_type(), at::kBFloat16);
}

// Of a whole network, in single precision and in double, whose convolutions are ATen's. Leaky ReLU has another slope
// where a rounding takes a value past 0.
TEST(Convolve, GradientsOfAnNnUnetAreThoseInDouble) {
  torch::manual_seed(5);
  UnetOptions options;
  options.num_classes = 3;
  options.swin.in_channels = 1;
  options.swin.image_size = {64, 48};
  options.nnunet = {.features_per_stage = {32, 32, 64},
                    .kernel_sizes = std::vector<int64_t>(6, 3),
                    .strides = {1, 1, 2, 2, 2, 2},
                    .n_conv_per_stage = {2, 2, 2},
                    .n_conv_per_stage_decoder = {2, 2}};
  NnUnet network(options);
  const at::Tensor image = at::randn({3, 1, 64, 48}), above = at::randn({3, 3, 64, 48});
  const auto gradients = [&](at::ScalarType type) {
    network->to(type);
    network->zero_grad();
    (network->forward(image.to(type)) * above.to(type)).sum().backward();
    std::vector<at::Tensor> found;
    for (const at::Tensor& parameter : network->parameters())
      found.push_back(parameter.grad().defined() ? parameter.grad().clone() : at::Tensor());
    return found;
  };
  const std::vector<at::Tensor> found = gradients(at::kFloat), expected = gradients(at::kDouble);
  double difference = 0, size = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].defined(), expected[i].defined());
    if (!found[i].defined()) continue;
    difference += (found[i].to(at::kDouble) - expected[i]).square().sum().item<double>();
    size += expected[i].square().sum().item<double>();
  }
  EXPECT_LT(std::sqrt(difference / size), 3e-3);
}

TEST(Convolve, IsTheModule) {
  torch::manual_seed(4);
  using Options = torch::nn::Conv2dOptions;
  const at::Tensor x = at::randn({2, 32, 18, 15});
  for (const Options& options :
       {Options(32, 40, 3).padding(1), Options(32, 40, 3), Options(32, 40, 3).padding(1).stride(2),
        Options(32, 40, 3).padding(1).dilation(2), Options(32, 64, 3).padding(1).groups(2), Options(32, 40, 1),
        Options(32, 40, {1, 3}).padding({0, 1}), Options(32, 40, 3).padding(torch::kSame),
        Options(32, 40, 3).padding(1).padding_mode(torch::kCircular), Options(32, 40, 3).padding(1).bias(false)}) {
    torch::nn::Conv2d conv(options);
    const at::Tensor expected = conv->forward(x), found = convolve(*conv, x);
    EXPECT_LT(test::relative_difference(found.detach(), expected.detach()), 2e-5);
    at::NoGradGuard off;
    EXPECT_TRUE(test::same_bits(convolve(*conv, x), conv->forward(x)));
  }
}

}  // namespace
}  // namespace vmae::nn
