#pragma once
// Moves tokens between the image's order and the order that attention works in: shift, partition and head split as one
// gather. On a CPU one pass of copies, elsewhere by index_select.
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "vmae/nn/block_ops.h"

namespace vmae::nn {

// tokens (B, H, W, parts * heads * d), contiguous  ->  (parts, B * nW, heads, N, d)
at::Tensor gather_heads(const at::Tensor& tokens, const WindowLayout& layout, int64_t parts, int64_t heads);
at::Tensor gather_heads_plain(const at::Tensor& tokens, const WindowLayout& layout, int64_t parts, int64_t heads);

// The inverse: heads (parts, B * nW, heads, N, d), contiguous -> (B, H, W, parts * heads * d)
at::Tensor scatter_heads(const at::Tensor& heads, const WindowLayout& layout);
at::Tensor scatter_heads_plain(const at::Tensor& heads, const WindowLayout& layout);

}  // namespace vmae::nn
