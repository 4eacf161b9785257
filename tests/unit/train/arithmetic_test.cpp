#include "vmae/train/arithmetic.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/conv_transpose2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <functional>

#include "vmae/train/precision.h"

namespace vmae::train {
namespace {

int64_t flop_of(const std::function<at::Tensor()>& forward, bool with_backward = false) {
  const ArithmeticCount counting;
  const at::Tensor y = forward();
  if (with_backward) y.square().sum().backward();
  return ArithmeticCount::flop();
}

// By hand: twice the multiplications.
TEST(ArithmeticCount, IsThatOfProducts) {
  const at::Tensor x = torch::randn({2, 5, 7}, torch::requires_grad()),
                   weight = torch::randn({11, 7}, torch::requires_grad()), bias = torch::randn({11}),
                   other = at::randn({2, 7, 3});
  const int64_t linear = 2 * 2 * 5 * 7 * 11;
  EXPECT_EQ(flop_of([&] { return at::linear(x, weight, bias); }), linear);
  EXPECT_EQ(flop_of([&] { return at::linear(x, weight, bias); }, /*with_backward=*/true), 3 * linear);
  EXPECT_EQ(flop_of([&] { return at::matmul(x, other); }), 2 * 2 * 5 * 7 * 3);
  EXPECT_EQ(flop_of([&] { return x + x; }), 0);
  const auto in_bf16 = [&] {
    const Autocast autocast(at::kCPU, Precision::bf16);
    return at::matmul(at::linear(x, weight, bias).transpose(1, 2), x);
  };
  EXPECT_EQ(flop_of(in_bf16, /*with_backward=*/true), 3 * (linear + 2 * 2 * 11 * 5 * 7));
}

TEST(ArithmeticCount, IsThatOfConvolutions) {
  const at::Tensor x = torch::randn({2, 4, 9, 10}, torch::requires_grad()), image = at::randn({2, 4, 9, 10}),
                   weight = torch::randn({6, 4, 3, 5}, torch::requires_grad()), grouped = torch::randn({6, 2, 3, 3}),
                   up = torch::randn({4, 3, 2, 2}, torch::requires_grad());
  const int64_t strided = 2 * (2 * 6 * 5 * 3) * (4 * 3 * 5);  // 5 x 3 places
  const auto conv = [&](const at::Tensor& input) {
    return at::conv2d(input, weight, {}, /*stride=*/{2, 2}, /*padding=*/{1, 0}, /*dilation=*/{1, 1});
  };
  EXPECT_EQ(flop_of([&] { return conv(x); }), strided);
  EXPECT_EQ(flop_of([&] { return conv(x); }, /*with_backward=*/true), 3 * strided);
  EXPECT_EQ(flop_of([&] { return conv(image); }, /*with_backward=*/true), 2 * strided) << "images need no gradient";
  EXPECT_EQ(flop_of([&] {
              return at::conv2d(image, grouped, {}, /*stride=*/1, /*padding=*/2, /*dilation=*/2, /*groups=*/2);
            }),
            2 * (2 * 6 * 9 * 10) * (2 * 3 * 3));
  const int64_t transposed = 2 * (2 * 4 * 9 * 10) * (3 * 2 * 2);
  EXPECT_EQ(flop_of([&] { return at::conv_transpose2d(x, up, {}, /*stride=*/2); }), transposed);
  EXPECT_EQ(flop_of([&] { return at::conv_transpose2d(x, up, {}, /*stride=*/2); }, /*with_backward=*/true),
            3 * transposed);
}

}  // namespace
}  // namespace vmae::train
