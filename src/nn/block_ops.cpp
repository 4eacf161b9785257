// Window attention with a hand-written backward pass: one gather takes the place of roll, partition and permute,
// scores are made and softmaxed in place, and only q, k, v and the probabilities are kept. The arithmetic is ATen's
// (oneDNN and MKL on a CPU, cuBLAS on a GPU). The MLP and the projections are plain operators: recomputing their
// normalised and activated inputs in the backward pass saved a tenth of the memory and cost a tenth of the speed.
#include "vmae/nn/block_ops.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <cmath>

#include "no_autocast.h"
#include "vmae/nn/window_gather.h"

namespace vmae::nn {

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// bias (h, N, N) and mask (nW, N, N) together, to be added to scores (B, nW, h, N, N).
Tensor score_offset(const Tensor& bias, const WindowLayout& layout, at::ScalarType type) {
  Tensor offset = bias.unsqueeze(0);
  if (layout.mask.defined()) offset = offset + layout.mask.unsqueeze(1);
  return offset.to(type).unsqueeze(0);
}

struct AttentionCore : torch::autograd::Function<AttentionCore> {
  static Tensor forward(AutogradContext* ctx, const Tensor& qkv, const Tensor& bias, const WindowLayout& layout) {
    const NoAutocast off(qkv.device().type());
    const int64_t heads = bias.size(0), n = layout.tokens, windows = layout.index.size(0), d = qkv.size(3) / 3 / heads;
    Tensor split = gather_heads(qkv, layout, 3, heads);  // (3, B nW, h, N, d)
    const Tensor flat = split.view({3, -1, n, d}), k = flat[1], v = flat[2];
    Tensor q = flat[0];
    q.mul_(1.0 / std::sqrt(static_cast<double>(d)));  // kept scaled: the gradient of k then needs no scale
    Tensor scores = at::bmm(q, k.transpose(1, 2));    // (B nW h, N, N)
    scores.view({-1, windows, heads, n, n}).add_(score_offset(bias, layout, scores.scalar_type()));
    at::_softmax_out(scores, scores, -1, /*half_to_float=*/false);
    Tensor mixed = at::bmm(scores, v);
    ctx->save_for_backward({split, scores});
    ctx->saved_data["index"] = layout.index;
    ctx->saved_data["inverse"] = layout.inverse;
    ctx->saved_data["height"] = layout.height;
    ctx->saved_data["width"] = layout.width;
    return scatter_heads(mixed.view({1, -1, heads, n, d}), layout);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &split = saved[0], &p = saved[1];
    const NoAutocast off(split.device().type());
    const int64_t heads = split.size(2), n = split.size(3), d = split.size(4);
    const WindowLayout layout{ctx->saved_data["index"].toTensor(), ctx->saved_data["inverse"].toTensor(), {},
                              ctx->saved_data["height"].toInt(),   ctx->saved_data["width"].toInt(),      n};
    const Tensor flat = split.view({3, -1, n, d}), q = flat[0], k = flat[1], v = flat[2];
    const Tensor dout = gather_heads(grads[0].to(split.scalar_type()).contiguous(), layout, 1, heads).view({-1, n, d});
    Tensor dsplit = at::empty_like(split);
    const Tensor dflat = dsplit.view({3, -1, n, d});
    Tensor dq = dflat[0], dk = dflat[1], dv = dflat[2];
    at::bmm_out(dv, p.transpose(1, 2), dout);
    Tensor dscores = at::bmm(dout, v.transpose(1, 2));
    at::_softmax_backward_data_out(dscores, dscores, p, -1, p.scalar_type());
    Tensor dbias = dscores.view({-1, heads, n, n}).sum(0, /*keepdim=*/false, at::kFloat);
    at::bmm_out(dq, dscores, k);
    dq.mul_(1.0 / std::sqrt(static_cast<double>(d)));
    at::bmm_out(dk, dscores.transpose(1, 2), q);
    return {scatter_heads(dsplit, layout), dbias, Tensor()};
  }
};

// Table rows to pairs of tokens; the gradient of a row is the sum over its pairs, gathered: adding them up where they
// are (index_put) is a sort on a GPU.
struct RelativeBias : torch::autograd::Function<RelativeBias> {
  static Tensor forward(AutogradContext* ctx, const Tensor& table, const RelativePositions& positions) {
    const int64_t n = positions.index.size(0);
    ctx->saved_data["pairs"] = positions.pairs;
    return table.index_select(0, positions.index.view({-1})).view({n, n, -1}).permute({2, 0, 1}).contiguous();
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const Tensor pairs = ctx->saved_data["pairs"].toTensor();  // (rows, most), n * n where there are fewer
    const Tensor of_pairs = at::constant_pad_nd(grads[0].flatten(1), {0, 1});  // (h, n * n + 1)
    const Tensor gathered = of_pairs.index_select(1, pairs.view({-1}));
    return {gathered.view({-1, pairs.size(0), pairs.size(1)}).sum(2).t().contiguous(), Tensor()};
  }
};

}  // namespace

at::Tensor norm_linear(const Tensor& x, const Tensor& norm_weight, const Tensor& norm_bias, double eps,
                       const Tensor& weight, const Tensor& bias) {
  return at::linear(at::layer_norm(x, {x.size(-1)}, norm_weight, norm_bias, eps), weight, bias);
}

at::Tensor gelu_linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return at::linear(at::gelu(x), weight, bias);
}

WindowLayout make_window_layout(int64_t height, int64_t width, int64_t window, int64_t shift_rows,
                                int64_t shift_columns, at::Device device) {
  WindowLayout layout;
  layout.height = height;
  layout.width = width;
  layout.tokens = window * window;
  auto partition = [&](const Tensor& grid) {  // (H, W) -> (nW, N)
    return grid.view({height / window, window, width / window, window})
        .permute({0, 2, 1, 3})
        .reshape({-1, window * window})
        .contiguous();
  };
  const Tensor grid = at::arange(height * width, at::kLong).view({height, width});
  layout.index = partition(grid.roll({-shift_rows, -shift_columns}, {0, 1}));
  layout.inverse = at::argsort(layout.index.view({-1})).to(device);
  layout.index = layout.index.to(device);
  if (shift_rows > 0 || shift_columns > 0) {
    // 0 | 1 | 2 along one axis of the shifted grid: cut at size - window and size - shift
    auto region = [&](int64_t size, int64_t shift) {
      Tensor r = at::zeros({size});
      if (shift > 0) {
        r.slice(0, size - window).fill_(1);
        r.slice(0, size - shift).fill_(2);
      }
      return r;
    };
    const Tensor regions =
        partition(region(height, shift_rows).unsqueeze(1) * 3 + region(width, shift_columns).unsqueeze(0));
    layout.mask = at::where(regions.unsqueeze(1) == regions.unsqueeze(2), 0.0, -100.0).to(at::kFloat).to(device);
  }
  return layout;
}

RelativePositions make_relative_positions(const Tensor& index, at::Device device) {
  const Tensor flat = index.cpu().flatten().contiguous(), counts = at::bincount(flat);
  const int64_t rows = counts.size(0), num_pairs = flat.size(0), most = counts.max().item<int64_t>();
  Tensor pairs = at::full({rows, most}, num_pairs, at::kLong);
  std::vector<int64_t> filled(static_cast<size_t>(rows));
  const int64_t* row_of = flat.const_data_ptr<int64_t>();
  int64_t* to = pairs.mutable_data_ptr<int64_t>();
  for (int64_t pair = 0; pair < num_pairs; ++pair)
    to[row_of[pair] * most + filled[static_cast<size_t>(row_of[pair])]++] = pair;
  return {index.to(device), pairs.to(device)};
}

at::Tensor relative_bias(const Tensor& table, const RelativePositions& positions) {
  return RelativeBias::apply(table, positions);
}

at::Tensor window_attention(const Tensor& qkv, const Tensor& bias, const WindowLayout& layout) {
  return AttentionCore::apply(qkv.contiguous(), bias, layout);
}

at::Tensor window_attention_plain(const Tensor& qkv, const Tensor& bias, const WindowLayout& layout) {
  const int64_t b = qkv.size(0), c = qkv.size(3) / 3, heads = bias.size(0), n = layout.tokens,
                windows = layout.index.size(0), d = c / heads;
  const Tensor order = layout.index.view({-1});
  const Tensor split =
      qkv.reshape({b, -1, 3 * c}).index_select(1, order).view({b, windows, n, 3, heads, d}).permute({3, 0, 1, 4, 2, 5});
  const Tensor q = split[0], k = split[1], v = split[2];  // (B, nW, h, N, d)
  Tensor scores = q.matmul(k.transpose(-1, -2)) / std::sqrt(static_cast<double>(d)) + bias;
  if (layout.mask.defined()) scores = scores + layout.mask.unsqueeze(1);
  const Tensor mixed = scores.softmax(-1).matmul(v).permute({0, 1, 3, 2, 4}).reshape({b, windows * n, c});
  return mixed.index_select(1, layout.inverse).view({b, layout.height, layout.width, c});
}

}  // namespace vmae::nn
