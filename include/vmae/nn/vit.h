#pragma once
// The Vision Transformer's encoder (Dosovitskiy et al. 2021): layers of attention and MLP, each behind a LayerNorm
// (eps 1e-6), and a last LayerNorm. Names given to register_* are API: they are TransUNet's state-dict keys.
//
// B batch, N tokens, C channels; activations are (B, N, C).
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <cstdint>

#include "vmae/nn/swin.h"

namespace vmae::nn {

class VitAttentionImpl : public torch::nn::Module {
 public:
  VitAttentionImpl(int64_t dim, int64_t num_heads);
  at::Tensor forward(const at::Tensor& x);  // every token to every token

 private:
  int64_t num_heads_;
  torch::nn::Linear query_{nullptr}, key_{nullptr}, value_{nullptr}, out_{nullptr};
};
TORCH_MODULE(VitAttention);

class VitLayerImpl : public torch::nn::Module {
 public:
  VitLayerImpl(int64_t dim, int64_t num_heads, int64_t mlp_dim, double dropout);
  // draws (B, kDraws): for the dropout behind each of the MLP's two projections, or undefined
  at::Tensor forward(const at::Tensor& x, const at::Tensor& draws);
  static constexpr int64_t kDraws = 2;

 private:
  double dropout_;
  torch::nn::LayerNorm attention_norm_{nullptr}, ffn_norm_{nullptr};
  VitAttention attn_{nullptr};
  Mlp ffn_{nullptr};
};
TORCH_MODULE(VitLayer);

class VitEncoderImpl : public torch::nn::Module {
 public:
  VitEncoderImpl(int64_t dim, int64_t num_layers, int64_t num_heads, int64_t mlp_dim, double dropout);
  at::Tensor forward(at::Tensor x, const at::Tensor& draws);  // draws (B, num_draws()) or undefined
  int64_t num_draws() const { return VitLayerImpl::kDraws * static_cast<int64_t>(layer_->size()); }

 private:
  torch::nn::ModuleList layer_;
  torch::nn::LayerNorm encoder_norm_{nullptr};
};
TORCH_MODULE(VitEncoder);

}  // namespace vmae::nn
