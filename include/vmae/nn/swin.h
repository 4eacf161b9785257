#pragma once
// The Swin Transformer encoder and decoder (Liu et al. 2021; Cao et al. 2021 for patch
// expanding) that the masked autoencoder, the Swin-UNet and the classifier share.
// Names given to register_* are API: they are the Python reference's state-dict keys.
//
// B batch, H W token grid, C channels; activations are BHWC.
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <cstdint>
#include <string>
#include <vector>

#include "vmae/nn/block_ops.h"
#include "vmae/nn/conv_block.h"
#include "vmae/nn/model_options.h"

namespace vmae::nn {

constexpr int64_t kPatchSize = 4;  // pixels

// Every stage halves the grid; `drop_path` below is one uniform number per sample and residual branch,
// (B, 2 * blocks), or undefined for evaluation: randomness enters a forward pass only through arguments.
class WindowAttentionImpl : public torch::nn::Module {
 public:
  WindowAttentionImpl(int64_t dim, int64_t num_heads, int64_t window_size);
  at::Tensor bias();  // (h, N, N), gathered from the table

  torch::nn::Linear qkv{nullptr}, proj{nullptr};
  at::Tensor relative_position_bias_table, relative_position_index;

 private:
  RelativePositions positions_;  // on the table's device
};
TORCH_MODULE(WindowAttention);

class MlpImpl : public torch::nn::Module {
 public:
  MlpImpl(int64_t dim, int64_t hidden_dim);
  torch::nn::Linear fc1{nullptr}, fc2{nullptr};
};
TORCH_MODULE(Mlp);

class SwinBlockImpl : public torch::nn::Module {
 public:
  SwinBlockImpl(const SwinOptions& swin, int64_t dim, int64_t num_heads, bool shifted, double drop_rate);
  // (B, H, W, C) -> same; drop_path (B, 2) or undefined
  at::Tensor forward(const at::Tensor& x, const at::Tensor& drop_path);

 private:
  at::Tensor attention_branch(const at::Tensor& x);
  const WindowLayout& layout(int64_t height, int64_t width, at::Device device);
  int64_t window_size_;
  bool shifted_, shift_small_grids_;
  double eps_, drop_rate_;
  WindowLayout layout_;  // of the last grid seen
  torch::nn::LayerNorm norm1_{nullptr}, norm2_{nullptr};
  WindowAttention attn_{nullptr};
  Mlp mlp_{nullptr};
};
TORCH_MODULE(SwinBlock);

class PatchEmbedImpl : public torch::nn::Module {
 public:
  explicit PatchEmbedImpl(const SwinOptions& swin);
  // (B, C, H, W) pixels -> (B, ceil(H/4), ceil(W/4), embed_dim); zeros at the bottom and right edge
  at::Tensor forward(const at::Tensor& image);

 private:
  torch::nn::Conv2d proj_{nullptr};
  torch::nn::LayerNorm norm_{nullptr};
};
TORCH_MODULE(PatchEmbed);

class PatchMergingImpl : public torch::nn::Module {
 public:
  PatchMergingImpl(int64_t dim, double eps);
  // (B, H, W, C) -> (B, ceil(H/2), ceil(W/2), 2C); zeros at the bottom and right edge of odd grids
  at::Tensor forward(const at::Tensor& x);

 private:
  double eps_;
  torch::nn::LayerNorm norm_{nullptr};
  torch::nn::Linear reduction_{nullptr};
};
TORCH_MODULE(PatchMerging);

class PatchExpandingImpl : public torch::nn::Module {
 public:
  PatchExpandingImpl(int64_t dim, int64_t out_dim, int64_t scale, double eps);
  at::Tensor forward(const at::Tensor& x);  // (B, H, W, dim) -> (B, scale H, scale W, out_dim)

 private:
  int64_t scale_;
  torch::nn::Linear expand_{nullptr};
  torch::nn::LayerNorm norm_{nullptr};
};
TORCH_MODULE(PatchExpanding);

// Blocks at one resolution, then the change of resolution where there is one.
class SwinStageImpl : public torch::nn::Module {
 public:
  enum class Then { nothing, merge, expand };
  SwinStageImpl(const SwinOptions& swin, int64_t dim, int64_t num_heads, std::vector<double> drop_rates, Then then);
  at::Tensor forward(at::Tensor x, const at::Tensor& drop_path);  // drop_path (B, 2 * blocks) or undefined
  int64_t num_blocks() const { return static_cast<int64_t>(blocks_->size()); }

 private:
  torch::nn::ModuleList blocks_;
  PatchMerging downsample_{nullptr};
  PatchExpanding upsample_{nullptr};
};
TORCH_MODULE(SwinStage);

// Base of every model here: patch_embed and layers.
class SwinEncoderImpl : public torch::nn::Module {
 public:
  // (B, C, H, W) pixels -> (B, H, W, embed_dim); with a conv stem, `stem` gets its features.
  at::Tensor embed(const at::Tensor& image, std::vector<at::Tensor>* stem = nullptr);
  // -> (B, H/8, W/8, 8 embed_dim), no final norm; odd grids round up.
  // stage_inputs: what each stage was given, for skip connections.
  at::Tensor encode(at::Tensor tokens, const at::Tensor& drop_path, std::vector<at::Tensor>* stage_inputs = nullptr);
  // (B, C, H, W) pixels -> (B, 8 embed_dim): the last stage's tokens, normed, their
  // mean over the grid: what a classifier's head is given. Where the model has no such
  // norm of its own, LayerNorm without scale and shift: what a classifier begins with.
  at::Tensor features(const at::Tensor& image, const at::Tensor& drop_path = {});
  int64_t num_encoder_blocks() const { return total_blocks_; }
  const SwinOptions& swin() const { return swin_; }

 protected:
  // Subclasses register what precedes the encoder in the state dict themselves, then call this.
  SwinEncoderImpl(const SwinOptions& swin, int64_t size_multiple);
  void register_encoder();
  void register_conv_stem();
  // after init_weights, which knows no convolutions but the patch embedding's; nothing where there is none
  void init_conv_stem();
  std::vector<double> drop_rates_of_stage(size_t stage) const;  // 0 -> drop_path_rate, linear over all encoder blocks
  virtual at::Tensor last_norm(const at::Tensor& tokens);       // (B, H, W, C) -> same

 private:
  SwinOptions swin_;
  int64_t total_blocks_ = 0;
  PatchEmbed patch_embed_{nullptr};
  ConvStem conv_stem_{nullptr};
  torch::nn::ModuleList layers_;
};

// Throws Error(data) if it does not have the channels and the size of a network of these options.
void check_image(const at::Tensor& image, const SwinOptions& swin);

// The symmetric decoder: first_patch_expanding, layers_up,
// norm_up. Drop-path rates and depths mirror the encoder's stages.
class SwinCodecImpl : public SwinEncoderImpl {
 public:
  // (B, H/8, W/8, 8 embed_dim) -> (B, H, W, embed_dim). With skips, each stage
  // begins with a 1x1 convolution of [decoder | input of the encoder's stage].
  at::Tensor decode(at::Tensor latent, const at::Tensor& drop_path, const std::vector<at::Tensor>& stage_inputs = {});
  int64_t num_blocks() const { return num_encoder_blocks() + decoder_blocks_; }

 protected:
  using SwinEncoderImpl::SwinEncoderImpl;
  void register_decoder(bool has_skips);
  void init_identity_joins();  // the joins of skips: 1 from each channel of the decoder to itself, 0 from the encoder's

 private:
  int64_t decoder_blocks_ = 0;
  PatchExpanding first_patch_expanding_{nullptr};
  torch::nn::ModuleList layers_up_, skip_connection_layers_{nullptr};
  torch::nn::LayerNorm norm_up_{nullptr};
};

}  // namespace vmae::nn
