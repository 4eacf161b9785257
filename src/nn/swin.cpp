#include "vmae/nn/swin.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <torch/nn/functional/normalization.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "vmae/core/error.h"

namespace vmae::nn {

// --- block

WindowAttentionImpl::WindowAttentionImpl(int64_t dim, int64_t num_heads, int64_t window_size) {
  const int64_t span = 2 * window_size - 1;
  relative_position_bias_table =
      register_parameter("relative_position_bias_table", at::zeros({span * span, num_heads}));
  const auto axis = at::arange(window_size, at::kLong);
  const auto grid = at::meshgrid({axis, axis}, "ij");
  const at::Tensor rows = grid[0].reshape({-1}), columns = grid[1].reshape({-1});  // of each token in its window
  const at::Tensor row_offset = rows.unsqueeze(1) - rows.unsqueeze(0) + window_size - 1,
                   column_offset = columns.unsqueeze(1) - columns.unsqueeze(0) + window_size - 1;
  relative_position_index = register_buffer("relative_position_index", row_offset * span + column_offset);  // (N, N)
  qkv = register_module("qkv", torch::nn::Linear(dim, 3 * dim));
  proj = register_module("proj", torch::nn::Linear(dim, dim));
}

at::Tensor WindowAttentionImpl::bias() {
  const at::Device device = relative_position_bias_table.device();
  if (!positions_.pairs.defined() || positions_.pairs.device() != device)
    positions_ = make_relative_positions(relative_position_index, device);
  return relative_bias(relative_position_bias_table, positions_);
}

MlpImpl::MlpImpl(int64_t dim, int64_t hidden_dim) {
  fc1 = register_module("fc1", torch::nn::Linear(dim, hidden_dim));
  fc2 = register_module("fc2", torch::nn::Linear(hidden_dim, dim));
}

static torch::nn::LayerNorm layer_norm(int64_t dim, double eps) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim}).eps(eps));
}

SwinBlockImpl::SwinBlockImpl(const SwinOptions& swin, int64_t dim, int64_t num_heads, bool shifted, double drop_rate)
    : window_size_(swin.window_size),
      shifted_(shifted),
      shift_small_grids_(swin.shift_small_grids),
      eps_(swin.layer_norm_eps),
      drop_rate_(drop_rate) {
  norm1_ = register_module("norm1", layer_norm(dim, eps_));
  attn_ = register_module("attn", WindowAttention(dim, num_heads, swin.window_size));
  norm2_ = register_module("norm2", layer_norm(dim, eps_));
  mlp_ = register_module("mlp", Mlp(dim, static_cast<int64_t>(static_cast<double>(dim) * swin.mlp_ratio)));
}

// x + y, where each sample's y is dropped with probability `rate` and
// otherwise scaled up (Huang et al. 2016); draw: (B) uniform or undefined.
static at::Tensor add_residual(const at::Tensor& x, const at::Tensor& y, const at::Tensor& draw, double rate) {
  if (!draw.defined() || rate == 0.0) return x + y;
  // in y's type, as autocast does in Python
  return x + y * ((draw >= rate).to(at::kFloat) / (1.0 - rate)).to(y.scalar_type()).view({-1, 1, 1, 1});
}

at::Tensor SwinBlockImpl::forward(const at::Tensor& x, const at::Tensor& drop_path) {
  at::Tensor draw1, draw2;
  if (drop_path.defined()) {
    draw1 = drop_path.select(1, 0);
    draw2 = drop_path.select(1, 1);
  }
  const at::Tensor attended = add_residual(x, attention_branch(x), draw1, drop_rate_);
  const at::Tensor hidden =
      norm_linear(attended, norm2_->weight, norm2_->bias, eps_, mlp_->fc1->weight, mlp_->fc1->bias);
  return add_residual(attended, gelu_linear(hidden, mlp_->fc2->weight, mlp_->fc2->bias), draw2, drop_rate_);
}

at::Tensor SwinBlockImpl::attention_branch(const at::Tensor& x) {
  const int64_t rows = x.size(1), columns = x.size(2);
  const WindowLayout& windows = layout(rows, columns, x.device());
  at::Tensor qkv;
  if (windows.height == rows && windows.width == columns) {
    qkv = norm_linear(x, norm1_->weight, norm1_->bias, eps_, attn_->qkv->weight, attn_->qkv->bias);  // (B, H, W, 3C)
  } else {  // zeros after the norm, so that a padded token's q, k and v are the biases of the projection, as in the
            // reference
    const at::Tensor normed = at::layer_norm(x, {x.size(3)}, norm1_->weight, norm1_->bias, eps_);
    qkv =
        attn_->qkv->forward(at::constant_pad_nd(normed, {0, 0, 0, windows.width - columns, 0, windows.height - rows}));
  }
  at::Tensor mixed = window_attention(qkv, attn_->bias(), windows);
  if (windows.height != rows || windows.width != columns) mixed = mixed.slice(1, 0, rows).slice(2, 0, columns);
  return attn_->proj->forward(mixed);
}

const WindowLayout& SwinBlockImpl::layout(int64_t height, int64_t width, at::Device device) {
  const int64_t padded_height = (height + window_size_ - 1) / window_size_ * window_size_,
                padded_width = (width + window_size_ - 1) / window_size_ * window_size_;
  if (layout_.height != padded_height || layout_.width != padded_width || layout_.index.device() != device) {
    auto shift = [&](int64_t padded) {
      return shifted_ && (shift_small_grids_ || padded > window_size_) ? window_size_ / 2 : 0;
    };
    layout_ = make_window_layout(padded_height, padded_width, window_size_, shift(padded_height), shift(padded_width),
                                 device);
  }
  return layout_;
}

// --- change of resolution

PatchEmbedImpl::PatchEmbedImpl(const SwinOptions& swin) {
  proj_ = register_module(
      "proj",
      torch::nn::Conv2d(torch::nn::Conv2dOptions(swin.in_channels, swin.embed_dim, kPatchSize).stride(kPatchSize)));
  norm_ = register_module("norm", layer_norm(swin.embed_dim, swin.layer_norm_eps));
}

// Zeros behind the last rows (dimension -3 of BHWC, -2 of BCHW) and columns up to a multiple of `multiple`.
static at::Tensor pad_to_multiple(const at::Tensor& x, int64_t rows, int64_t columns, int64_t multiple,
                                  bool is_channels_last) {
  const int64_t below = (multiple - rows % multiple) % multiple, right = (multiple - columns % multiple) % multiple;
  if (below == 0 && right == 0) return x;
  return is_channels_last ? at::constant_pad_nd(x, {0, 0, 0, right, 0, below})
                          : at::constant_pad_nd(x, {0, right, 0, below});
}

at::Tensor PatchEmbedImpl::forward(const at::Tensor& image) {
  const at::Tensor padded =
      pad_to_multiple(image, image.size(2), image.size(3), kPatchSize, /*is_channels_last=*/false);
  return norm_->forward(proj_->forward(padded).permute({0, 2, 3, 1}));
}

PatchMergingImpl::PatchMergingImpl(int64_t dim, double eps) : eps_(eps) {
  norm_ = register_module("norm", layer_norm(4 * dim, eps));
  reduction_ = register_module("reduction", torch::nn::Linear(torch::nn::LinearOptions(4 * dim, 2 * dim).bias(false)));
}

at::Tensor PatchMergingImpl::forward(const at::Tensor& grid) {
  const at::Tensor x = pad_to_multiple(grid, grid.size(1), grid.size(2), 2, /*is_channels_last=*/true);
  const int64_t b = x.size(0), h = x.size(1), w = x.size(2), c = x.size(3);
  // The four neighbours in the order (row, column) = (0,0) (1,0) (0,1) (1,1).
  const at::Tensor merged =
      x.view({b, h / 2, 2, w / 2, 2, c}).permute({0, 1, 3, 4, 2, 5}).reshape({b, h / 2, w / 2, 4 * c});
  return norm_linear(merged, norm_->weight, norm_->bias, eps_, reduction_->weight, {});
}

PatchExpandingImpl::PatchExpandingImpl(int64_t dim, int64_t out_dim, int64_t scale, double eps) : scale_(scale) {
  expand_ =
      register_module("expand", torch::nn::Linear(torch::nn::LinearOptions(dim, scale * scale * out_dim).bias(false)));
  norm_ = register_module("norm", layer_norm(out_dim, eps));
}

at::Tensor PatchExpandingImpl::forward(const at::Tensor& x) {
  const int64_t b = x.size(0), h = x.size(1), w = x.size(2), p = scale_;
  return norm_->forward(
      expand_->forward(x).view({b, h, w, p, p, -1}).permute({0, 1, 3, 2, 4, 5}).reshape({b, p * h, p * w, -1}));
}

// --- stages, encoder, decoder

SwinStageImpl::SwinStageImpl(const SwinOptions& swin, int64_t dim, int64_t num_heads, std::vector<double> drop_rates,
                             Then then) {
  blocks_ = register_module("blocks", torch::nn::ModuleList());
  for (size_t j = 0; j < drop_rates.size(); ++j)
    blocks_->push_back(SwinBlock(swin, dim, num_heads, /*shifted=*/j % 2 == 1, drop_rates[j]));
  if (then == Then::merge) downsample_ = register_module("downsample", PatchMerging(dim, swin.layer_norm_eps));
  if (then == Then::expand)
    upsample_ = register_module("upsample", PatchExpanding(dim, dim / 2, 2, swin.layer_norm_eps));
}

at::Tensor SwinStageImpl::forward(at::Tensor x, const at::Tensor& drop_path) {
  for (int64_t j = 0; j < num_blocks(); ++j) {
    x = blocks_[j]->as<SwinBlock>()->forward(x,
                                             drop_path.defined() ? drop_path.slice(1, 2 * j, 2 * j + 2) : at::Tensor());
  }
  if (downsample_) return downsample_->forward(x);
  if (upsample_) return upsample_->forward(x);
  return x;
}

SwinEncoderImpl::SwinEncoderImpl(const SwinOptions& swin, int64_t size_multiple) : swin_(swin) {
  validate(swin, size_multiple);
  total_blocks_ = std::accumulate(swin.depths.begin(), swin.depths.end(), int64_t{0});
}

std::vector<double> SwinEncoderImpl::drop_rates_of_stage(size_t stage) const {
  const auto first =
      std::accumulate(swin_.depths.begin(), swin_.depths.begin() + static_cast<int64_t>(stage), int64_t{0});
  std::vector<double> rates;
  for (int64_t j = first; j < first + swin_.depths[stage]; ++j)
    rates.push_back(swin_.drop_path_rate * static_cast<double>(j) / static_cast<double>(total_blocks_ - 1));
  return rates;
}

void SwinEncoderImpl::register_encoder() {
  patch_embed_ = register_module("patch_embed", PatchEmbed(swin_));
  layers_ = register_module("layers", torch::nn::ModuleList());
  for (size_t i = 0; i < 4; ++i) {
    layers_->push_back(SwinStage(swin_, swin_.embed_dim << i, swin_.num_heads[i], drop_rates_of_stage(i),
                                 i < 3 ? SwinStageImpl::Then::merge : SwinStageImpl::Then::nothing));
  }
}

void SwinEncoderImpl::register_conv_stem() {
  conv_stem_ = register_module("conv_stem", ConvStem(swin_.in_channels, swin_.embed_dim));
}

void SwinEncoderImpl::init_conv_stem() {
  if (!conv_stem_) return;
  init_convolutions(*conv_stem_);
  conv_stem_->reset_projection();
}

void check_image(const at::Tensor& image, const SwinOptions& swin) {
  if (image.dim() == 4 && image.size(1) == swin.in_channels && image.size(2) == swin.image_size[0] &&
      image.size(3) == swin.image_size[1])
    return;
  throw Error(ExitCode::data,
              concat("image tensor has shape ", image.sizes(), ", the model needs (B, ", swin.in_channels, ", ",
                     swin.image_size[0], ", ", swin.image_size[1], ")"),
              "resize the images, or set model.image_size and model.in_channels");
}

at::Tensor SwinEncoderImpl::embed(const at::Tensor& image, std::vector<at::Tensor>* stem) {
  check_image(image, swin_);
  at::Tensor tokens = patch_embed_->forward(image);
  if (!conv_stem_) return tokens;
  std::vector<at::Tensor> features = conv_stem_->forward(image);
  const at::Tensor more = conv_stem_->tokens(features.back());
  if (stem != nullptr) *stem = std::move(features);
  return tokens + more;
}

namespace {

// Stages take their shares of the drop-path draws one after the other.
class DrawsInOrder {
 public:
  explicit DrawsInOrder(const at::Tensor& drop_path) : drop_path_(drop_path) {}
  at::Tensor next(const SwinStageImpl& stage) {
    if (!drop_path_.defined()) return {};
    const int64_t first = next_, count = 2 * stage.num_blocks();
    next_ += count;
    return drop_path_.slice(1, first, next_);
  }

 private:
  const at::Tensor& drop_path_;
  int64_t next_ = 0;
};

}  // namespace

at::Tensor SwinEncoderImpl::encode(at::Tensor tokens, const at::Tensor& drop_path,
                                   std::vector<at::Tensor>* stage_inputs) {
  DrawsInOrder draws(drop_path);
  for (const auto& module : *layers_) {
    auto* stage = module->as<SwinStage>();
    if (stage_inputs != nullptr) stage_inputs->push_back(tokens);
    tokens = stage->forward(std::move(tokens), draws.next(*stage));
  }
  return tokens;
}

at::Tensor SwinEncoderImpl::last_norm(const at::Tensor& tokens) {
  return at::layer_norm(tokens, {tokens.size(3)}, /*weight=*/{}, /*bias=*/{}, swin_.layer_norm_eps);
}

at::Tensor SwinEncoderImpl::features(const at::Tensor& image, const at::Tensor& drop_path) {
  return last_norm(encode(embed(image), drop_path)).mean(at::IntArrayRef({1, 2}));
}

void SwinCodecImpl::register_decoder(bool has_skips) {
  const SwinOptions& options = swin();
  first_patch_expanding_ =
      register_module("first_patch_expanding",
                      PatchExpanding(options.embed_dim << 3, options.embed_dim << 2, 2, options.layer_norm_eps));
  layers_up_ = register_module("layers_up", torch::nn::ModuleList());
  if (has_skips) skip_connection_layers_ = register_module("skip_connection_layers", torch::nn::ModuleList());
  for (int64_t i = 2; i >= 0; --i) {
    const auto stage = static_cast<size_t>(i);
    decoder_blocks_ += options.depths[stage];
    const int64_t dim = options.embed_dim << i;
    layers_up_->push_back(SwinStage(options, dim, options.num_heads[stage], drop_rates_of_stage(stage),
                                    i > 0 ? SwinStageImpl::Then::expand : SwinStageImpl::Then::nothing));
    if (has_skips) skip_connection_layers_->push_back(torch::nn::Conv2d(torch::nn::Conv2dOptions(2 * dim, dim, 1)));
  }
  norm_up_ = register_module("norm_up", layer_norm(options.embed_dim, options.layer_norm_eps));
}

void SwinCodecImpl::init_identity_joins() {
  const at::NoGradGuard no_grad;
  for (const auto& module : *skip_connection_layers_) {
    auto* join = module->as<torch::nn::Conv2d>();  // weight (C, 2 C, 1, 1): of decoder, then encoder
    join->weight.zero_();
    join->weight.flatten(1).fill_diagonal_(1.0);
    join->bias.zero_();
  }
}

at::Tensor SwinCodecImpl::decode(at::Tensor latent, const at::Tensor& drop_path,
                                 const std::vector<at::Tensor>& stage_inputs) {
  DrawsInOrder draws(drop_path);
  at::Tensor x = first_patch_expanding_->forward(latent);
  for (size_t i = 0; i < layers_up_->size(); ++i) {
    if (!stage_inputs.empty()) {
      const at::Tensor& skip = stage_inputs[2 - i];
      const auto* join = skip_connection_layers_[i]->as<torch::nn::Conv2d>();
      x = x.slice(1, 0, skip.size(1)).slice(2, 0, skip.size(2));  // an odd grid was rounded up on its way down
      x = at::linear(at::cat({x, skip.to(x.scalar_type())}, -1), join->weight.flatten(1), join->bias);
    }
    auto* stage = layers_up_[i]->as<SwinStage>();
    x = stage->forward(std::move(x), draws.next(*stage));
  }
  return norm_up_->forward(x);
}

}  // namespace vmae::nn
