// A row of d numbers is the unit: memcpy per (token, part, head). Windows
// are shared out over threads; every destination is written exactly once.
#include "vmae/nn/window_gather.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <c10/util/Exception.h>

#include <cstring>

namespace vmae::nn {

namespace {

// Calls copy(token_row, head_row) for every row, where both count rows of d numbers in their tensors.
template <class Copy>
void for_each_row(const at::Tensor& index, int64_t batch, int64_t grid, int64_t parts, int64_t heads,
                  const Copy& copy) {
  const int64_t windows = index.size(0), n = index.size(1);
  const int64_t* place = index.const_data_ptr<int64_t>();
  at::parallel_for(0, batch * windows, /*grain_size=*/1, [&](int64_t begin, int64_t end) {
    for (int64_t bw = begin; bw < end; ++bw) {
      const int64_t b = bw / windows;
      const int64_t* window = place + (bw % windows) * n;
      for (int64_t part = 0; part < parts; ++part) {
        for (int64_t head = 0; head < heads; ++head) {
          const int64_t head_row = ((part * batch * windows + bw) * heads + head) * n;
          for (int64_t i = 0; i < n; ++i) copy(((b * grid + window[i]) * parts + part) * heads + head, head_row + i);
        }
      }
    }
  });
}

template <size_t row_bytes>
void copy_row(char* to, const char* from, size_t) {
  std::memcpy(to, from, row_bytes);
}
void copy_any_row(char* to, const char* from, size_t bytes) { std::memcpy(to, from, bytes); }

// The usual widths (d = 32: 64 bytes in bf16, 128 in fp32) as constants, so that a copy is a few vector moves.
template <class Body>
void with_copier(size_t row_bytes, const Body& body) {
  if (row_bytes == 64) return body(copy_row<64>);
  if (row_bytes == 128) return body(copy_row<128>);
  body(copy_any_row);
}

}  // namespace

at::Tensor gather_heads(const at::Tensor& tokens, const WindowLayout& layout, int64_t parts, int64_t heads) {
  if (!tokens.is_cpu()) return gather_heads_plain(tokens, layout, parts, heads);
  const at::Tensor& index = layout.index;
  TORCH_CHECK(tokens.is_contiguous() && index.is_contiguous(), "gather_heads needs contiguous tensors");
  const int64_t batch = tokens.size(0), grid = tokens.size(1) * tokens.size(2), d = tokens.size(3) / parts / heads;
  at::Tensor out = at::empty({parts, batch * index.size(0), heads, index.size(1), d}, tokens.options());
  const size_t bytes = static_cast<size_t>(d) * tokens.element_size();
  const char* from = static_cast<const char*>(tokens.const_data_ptr());
  char* to = static_cast<char*>(out.mutable_data_ptr());
  with_copier(bytes, [&](auto copy) {
    for_each_row(index, batch, grid, parts, heads, [&](int64_t token_row, int64_t head_row) {
      copy(to + head_row * bytes, from + token_row * bytes, bytes);
    });
  });
  return out;
}

at::Tensor gather_heads_plain(const at::Tensor& tokens, const WindowLayout& layout, int64_t parts, int64_t heads) {
  const int64_t b = tokens.size(0), n = layout.tokens, windows = layout.index.size(0),
                d = tokens.size(3) / parts / heads;
  return tokens.reshape({b, -1, tokens.size(3)})
      .index_select(1, layout.index.view({-1}))
      .view({b * windows, n, parts, heads, d})
      .permute({2, 0, 3, 1, 4})
      .contiguous();
}

at::Tensor scatter_heads(const at::Tensor& heads, const WindowLayout& layout) {
  if (!heads.is_cpu()) return scatter_heads_plain(heads, layout);
  const at::Tensor& index = layout.index;
  const int64_t height = layout.height, width = layout.width;
  TORCH_CHECK(heads.is_contiguous() && index.is_contiguous(), "scatter_heads needs contiguous tensors");
  const int64_t parts = heads.size(0), batch = heads.size(1) / index.size(0), num_heads = heads.size(2),
                d = heads.size(4);
  at::Tensor out = at::empty({batch, height, width, parts * num_heads * d}, heads.options());
  const size_t bytes = static_cast<size_t>(d) * heads.element_size();
  const char* from = static_cast<const char*>(heads.const_data_ptr());
  char* to = static_cast<char*>(out.mutable_data_ptr());
  with_copier(bytes, [&](auto copy) {
    for_each_row(index, batch, height * width, parts, num_heads, [&](int64_t token_row, int64_t head_row) {
      copy(to + token_row * bytes, from + head_row * bytes, bytes);
    });
  });
  return out;
}

// By the inverse, not by index_copy_, which sorts where a GPU must be deterministic.
at::Tensor scatter_heads_plain(const at::Tensor& heads, const WindowLayout& layout) {
  const int64_t parts = heads.size(0), h = heads.size(2), d = heads.size(4), windows = layout.index.size(0),
                b = heads.size(1) / windows, channels = parts * h * d;
  return heads.permute({1, 3, 0, 2, 4})
      .reshape({b, windows * layout.tokens, channels})
      .index_select(1, layout.inverse)
      .view({b, layout.height, layout.width, channels});
}

}  // namespace vmae::nn
