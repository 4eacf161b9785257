#include "vmae/nn/vit.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <torch/nn/init.h>

#include <cmath>

#include "vmae/nn/dropout.h"

namespace vmae::nn {

namespace {

torch::nn::LayerNorm vit_norm(int64_t dim) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim}).eps(1e-6));
}

}  // namespace

VitAttentionImpl::VitAttentionImpl(int64_t dim, int64_t num_heads) : num_heads_(num_heads) {
  query_ = register_module("query", torch::nn::Linear(dim, dim));
  key_ = register_module("key", torch::nn::Linear(dim, dim));
  value_ = register_module("value", torch::nn::Linear(dim, dim));
  out_ = register_module("out", torch::nn::Linear(dim, dim));
}

at::Tensor VitAttentionImpl::forward(const at::Tensor& x) {
  const int64_t b = x.size(0), n = x.size(1), c = x.size(2), d = c / num_heads_;
  const auto heads = [&](const at::Tensor& tokens) {  // (B, N, C) -> (B, h, N, d)
    return tokens.view({b, n, num_heads_, d}).transpose(1, 2);
  };
  const at::Tensor q = heads(query_->forward(x)), k = heads(key_->forward(x)), v = heads(value_->forward(x));
  const at::Tensor scores = at::matmul(q, k.transpose(2, 3)) / std::sqrt(static_cast<double>(d));  // (B, h, N, N)
  const at::Tensor mixed = at::matmul(at::softmax(scores, -1), v);                                 // (B, h, N, d)
  return out_->forward(mixed.transpose(1, 2).reshape({b, n, c}));
}

VitLayerImpl::VitLayerImpl(int64_t dim, int64_t num_heads, int64_t mlp_dim, double dropout_rate)
    : dropout_(dropout_rate) {
  attention_norm_ = register_module("attention_norm", vit_norm(dim));
  ffn_norm_ = register_module("ffn_norm", vit_norm(dim));
  ffn_ = register_module("ffn", Mlp(dim, mlp_dim));
  attn_ = register_module("attn", VitAttention(dim, num_heads));
  for (const torch::nn::Linear& layer : {ffn_->fc1, ffn_->fc2}) {
    torch::nn::init::xavier_uniform_(layer->weight);
    torch::nn::init::normal_(layer->bias, /*mean=*/0.0, /*std=*/1e-6);
  }
}

at::Tensor VitLayerImpl::forward(const at::Tensor& x, const at::Tensor& draws) {
  const auto drop = [&](const at::Tensor& values, int64_t place) {
    return dropout(values, draws.defined() ? draws.select(1, place) : at::Tensor(), dropout_);
  };
  const at::Tensor attended = x + attn_->forward(attention_norm_->forward(x));
  const at::Tensor hidden = drop(at::gelu(ffn_->fc1->forward(ffn_norm_->forward(attended))), 0);
  return attended + drop(ffn_->fc2->forward(hidden), 1);
}

VitEncoderImpl::VitEncoderImpl(int64_t dim, int64_t num_layers, int64_t num_heads, int64_t mlp_dim, double dropout) {
  layer_ = register_module("layer", torch::nn::ModuleList());
  for (int64_t i = 0; i < num_layers; ++i) layer_->push_back(VitLayer(dim, num_heads, mlp_dim, dropout));
  encoder_norm_ = register_module("encoder_norm", vit_norm(dim));
}

at::Tensor VitEncoderImpl::forward(at::Tensor x, const at::Tensor& draws) {
  constexpr int64_t each = VitLayerImpl::kDraws;
  int64_t next = 0;
  for (const auto& layer : *layer_) {
    x = layer->as<VitLayer>()->forward(x, draws.defined() ? draws.slice(1, next, next + each) : at::Tensor());
    next += each;
  }
  return encoder_norm_->forward(x);
}

}  // namespace vmae::nn
