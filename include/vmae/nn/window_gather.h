#pragma once
// Moves tokens between the image's order and the order that attention works
// in, on a CPU: one pass of copies instead of roll, partition and permute.
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace vmae::nn {

// tokens (B, H, W, parts * heads * d), contiguous; index [nW, N] into H * W  ->  (parts, B * nW, heads, N, d)
at::Tensor gather_heads(const at::Tensor& tokens, const at::Tensor& index, int64_t parts, int64_t heads);

// The inverse: heads (parts, B * nW, heads, N, d), contiguous -> (B, height, width, parts * heads * d)
at::Tensor scatter_heads(const at::Tensor& heads, const at::Tensor& index, int64_t height, int64_t width);

}  // namespace vmae::nn
