#pragma once
// The inside of a Swin block as four differentiable functions, each replaceable on its
// own (by a fused kernel, say) without touching the modules. All work under autocast.
// The plain form of window attention is its definition; tests hold the two together.
//
// B batch, H W token grid (padded to whole windows), C channels, h
// heads, d = C / h, N tokens of a window, nW windows of an image
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace vmae::nn {

// linear(layer_norm(x)).
at::Tensor norm_linear(const at::Tensor& x, const at::Tensor& norm_weight, const at::Tensor& norm_bias, double eps,
                       const at::Tensor& weight, const at::Tensor& bias);

// linear(gelu(x)), exact GELU.
at::Tensor gelu_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// Where the tokens of each (shifted) window lie in the grid: index [nW, N] int64
// into H * W, row-major; a permutation, and inverse [H * W] its inverse. mask [nW, N, N]: 0 within a region,
// -100 between regions that only the shift brought together; undefined without a shift.
struct WindowLayout {
  at::Tensor index, inverse, mask;
  int64_t height = 0, width = 0, tokens = 0;
};
WindowLayout make_window_layout(int64_t height, int64_t width, int64_t window, int64_t shift_rows,
                                int64_t shift_columns, at::Device device);

// Which row of the table of relative positions each pair of a window's tokens has: index [N, N] int64; and of each row
// its pairs, numbered row-major, N * N behind the last: pairs [rows, most].
struct RelativePositions {
  at::Tensor index, pairs;
};
RelativePositions make_relative_positions(const at::Tensor& index, at::Device device);

// table (rows, h), differentiable -> bias (h, N, N)
at::Tensor relative_bias(const at::Tensor& table, const RelativePositions& positions);

// softmax(q k^T / sqrt(d) + bias + mask) v within each window.
//   qkv   (B, H, W, 3C)  (q | k | v) x heads x d      bias  (h, N, N), differentiable
// Returns (B, H, W, C).
at::Tensor window_attention(const at::Tensor& qkv, const at::Tensor& bias, const WindowLayout& layout);
at::Tensor window_attention_plain(const at::Tensor& qkv, const at::Tensor& bias, const WindowLayout& layout);

}  // namespace vmae::nn
