// The hand-written backward passes against autograd on the plain form of the same mathematics, in double precision.
#include "vmae/nn/block_ops.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "support/tensors.h"
#include "vmae/nn/swin.h"
#include "vmae/nn/window_gather.h"
#include "vmae/train/precision.h"

namespace vmae::nn {
namespace {

using at::Tensor;

Tensor random(at::IntArrayRef shape) { return at::randn(shape, at::kDouble).requires_grad_(); }

// Value and gradients of two functions of the same inputs agree.
template <class Fused, class Plain>
void expect_same(std::vector<Tensor> inputs, const Fused& fused, const Plain& plain, double tolerance = 1e-10) {
  const Tensor a = fused(), b = plain();
  EXPECT_LT(test::max_abs_difference(a, b), tolerance);
  const Tensor weight = at::randn_like(b);
  const auto ga = torch::autograd::grad({(a * weight).sum()}, inputs),
             gb = torch::autograd::grad({(b * weight).sum()}, inputs);
  for (size_t i = 0; i < inputs.size(); ++i)
    EXPECT_LT(test::max_abs_difference(ga[i], gb[i]), tolerance) << "gradient of input " << i;
}

struct Grid {
  int64_t height, width, window, shift_rows, shift_columns;
};

class WindowAttentionTest : public testing::TestWithParam<Grid> {};

TEST_P(WindowAttentionTest, EqualsPlainForm) {
  torch::manual_seed(0);
  const auto [height, width, window, shift_rows, shift_columns] = GetParam();
  const int64_t heads = 2, dim = 8, n = window * window;
  const WindowLayout layout = make_window_layout(height, width, window, shift_rows, shift_columns, at::kCPU);
  const Tensor qkv = random({2, height, width, 3 * dim}), bias = at::randn({heads, n, n}).requires_grad_();
  const Tensor double_bias = bias.to(at::kDouble);
  // The bias' gradient is summed in float, as its table is kept in float.
  expect_same(
      {qkv, bias}, [&] { return window_attention(qkv, bias, layout); },
      [&] { return window_attention_plain(qkv, bias.to(at::kDouble), layout); }, 2e-5);
}

INSTANTIATE_TEST_SUITE_P(Grids, WindowAttentionTest,
                         testing::Values(Grid{7, 7, 7, 0, 0}, Grid{7, 7, 7, 3, 3}, Grid{14, 21, 7, 0, 0},
                                         Grid{14, 21, 7, 3, 3}, Grid{14, 7, 7, 3, 0}, Grid{8, 12, 4, 2, 2}));

TEST(WindowLayout, ShiftedSmallGridHasFourRegions) {
  const WindowLayout layout = make_window_layout(7, 7, 7, 3, 3, at::kCPU);  // method.md: regions 4x4, 4x3, 3x4, 3x3
  const Tensor open = (layout.mask == 0).sum(-1).to(at::kLong).view({-1});
  std::multiset<int64_t> sizes(open.const_data_ptr<int64_t>(), open.const_data_ptr<int64_t>() + open.numel());
  EXPECT_EQ(sizes.count(16), 16U);
  EXPECT_EQ(sizes.count(12), 24U);
  EXPECT_EQ(sizes.count(9), 9U);
}

TEST(WindowLayout, IndexIsAPermutation) {
  const WindowLayout layout = make_window_layout(14, 21, 7, 3, 3, at::kCPU);
  const Tensor sorted = std::get<0>(layout.index.view({-1}).sort());
  EXPECT_TRUE(at::equal(sorted, at::arange(14 * 21)));
  // the first window begins three rows down and three columns right
  EXPECT_EQ(layout.index[0][0].item<int64_t>(), 3 * 21 + 3);
}

TEST(WindowGather, ScatterUndoesGather) {
  for (const auto type : {at::kFloat, at::kBFloat16, at::kDouble}) {
    const WindowLayout layout = make_window_layout(14, 7, 7, 3, 3, at::kCPU);
    const Tensor tokens = at::randn({3, 14, 7, 3 * 2 * 32}).to(type);
    const Tensor heads = gather_heads(tokens, layout, 3, 2);
    EXPECT_TRUE(test::same_bits(scatter_heads(heads, layout), tokens));
    EXPECT_TRUE(test::same_bits(gather_heads_plain(tokens, layout, 3, 2), heads));
    EXPECT_TRUE(test::same_bits(scatter_heads_plain(heads, layout), tokens));
  }
}

// The definition: the bias of tokens i and j is the row of their offset; gradients add up where offsets are the same.
TEST(RelativeBias, EqualsIndexing) {
  for (const int64_t window : {2, 4, 7}) {
    torch::manual_seed(static_cast<uint64_t>(window));
    const int64_t tokens = window * window, heads = 3;
    WindowAttention attention(8, 4, window);
    const Tensor index = attention->relative_position_index;
    const Tensor table = random({index.max().item<int64_t>() + 1, heads});
    const RelativePositions positions = make_relative_positions(index, at::kCPU);
    expect_same(
        {table}, [&] { return relative_bias(table, positions); },
        [&] {
          return table.index({index.view({-1})}).view({tokens, tokens, heads}).permute({2, 0, 1});
        },
        1e-12);
  }
}

TEST(BlockOps, AutocastGivesBfloat16NearFloat) {
  torch::manual_seed(0);
  const Tensor x = at::randn({2, 7, 7, 64}).requires_grad_(), gamma = at::ones({64}).requires_grad_(),
               beta = at::zeros({64}).requires_grad_(), w = (at::randn({192, 64}) * 0.1).requires_grad_();
  const Tensor exact = norm_linear(x, gamma, beta, 1e-6, w, {});
  Tensor rounded;
  {
    const train::Autocast autocast(at::kCPU, train::Precision::bf16);
    rounded = norm_linear(x, gamma, beta, 1e-6, w, {});
  }
  EXPECT_EQ(rounded.scalar_type(), at::kBFloat16);
  EXPECT_LT(test::relative_difference(rounded, exact), 0.02);
  rounded.sum().backward();
  EXPECT_EQ(w.grad().scalar_type(), at::kFloat);
  EXPECT_EQ(x.grad().scalar_type(), at::kFloat);
}

}  // namespace
}  // namespace vmae::nn
