// The paper, in one file: embed, hide three quarters of the image,
// encode, decode, compare with the pixels that were hidden.
#include "vmae/nn/mae.h"

#include <ATen/ops/argsort.h>
#include <ATen/ops/where.h>
#include <torch/nn/init.h>

#include "vmae/nn/init.h"

namespace vmae::nn {

MaeImpl::MaeImpl(const MaeOptions& options) : SwinCodecImpl(options.swin, /*size_multiple=*/32), options_(options) {
  const int64_t dim = options.swin.embed_dim;
  const int64_t rows = options.swin.image_size[0] / kPatchSize, columns = options.swin.image_size[1] / kPatchSize;
  // Kept for interchange with the Python reference, which stores it and
  // never adds it: position enters through the relative bias alone.
  register_parameter("pos_embed", sincos_position_embedding(dim, rows, columns), /*requires_grad=*/false);
  mask_token_ = register_parameter("mask_token", at::empty({1, 1, dim}));
  register_encoder();
  register_decoder(/*has_skips=*/false);
  decoder_pred_ =
      register_module("decoder_pred", torch::nn::Linear(dim, kPatchSize * kPatchSize * options.swin.in_channels));
  init_weights(*this, LinearInit::xavier_uniform);
  torch::nn::init::normal_(mask_token_, 0.0, 0.02);
}

int64_t MaeImpl::num_units() const {
  const int64_t unit_px = kMaskUnit * kPatchSize;
  return (swin().image_size[0] / unit_px) * (swin().image_size[1] / unit_px);
}

// Mean squared error per token, averaged over the hidden tokens of
// the batch (He et al. 2022, equation in section 3; method.md).
static at::Tensor masked_mse(const at::Tensor& prediction, at::Tensor target, const at::Tensor& hidden, bool norm_pix) {
  if (norm_pix) {
    const auto [variance, mean] = at::var_mean(target, /*dim=*/-1, /*unbiased=*/true, /*keepdim=*/true);
    target = (target - mean) / (variance + 1e-6).sqrt();
  }
  const at::Tensor error = (prediction.to(at::kFloat) - target).square().mean(-1);  // (B, H * W)
  return (error * hidden).sum() / hidden.sum();
}

MaeOutput MaeImpl::forward(const at::Tensor& image, const at::Tensor& noise, const at::Tensor& drop_path) {
  at::Tensor encoder_drop, decoder_drop;
  if (drop_path.defined()) {
    encoder_drop = drop_path.slice(1, 0, 2 * num_encoder_blocks());
    decoder_drop = drop_path.slice(1, 2 * num_encoder_blocks());
  }
  at::Tensor tokens = embed(image);                                                                     // (B, H, W, C)
  const at::Tensor hidden = hidden_tokens(noise, tokens.size(1), tokens.size(2), options_.mask_ratio);  // (B, H, W)
  tokens = at::where(hidden.unsqueeze(-1), mask_token_.view({1, 1, 1, -1}), tokens);
  const at::Tensor latent = encode(tokens, encoder_drop);                       // (B, H/8, W/8, 8C)
  const at::Tensor decoded = decode(latent, decoder_drop);                      // (B, H, W, C)
  const at::Tensor prediction = decoder_pred_->forward(decoded).flatten(1, 2);  // (B, H * W, 16 channels)
  const at::Tensor hidden_flat = hidden.flatten(1, 2);
  return {masked_mse(prediction, patchify(image), hidden_flat, options_.norm_pix_loss), prediction, hidden_flat};
}

at::Tensor hidden_tokens(const at::Tensor& noise, int64_t rows, int64_t columns, double mask_ratio) {
  const int64_t unit_rows = rows / kMaskUnit, unit_columns = columns / kMaskUnit;
  TORCH_CHECK(noise.size(1) == unit_rows * unit_columns, "noise has ", noise.size(1), " units, the image ",
              unit_rows * unit_columns);
  const auto visible = static_cast<int64_t>(static_cast<double>(noise.size(1)) * (1.0 - mask_ratio));
  // place of each unit in its sample's order
  const at::Tensor rank = at::argsort(at::argsort(noise, /*stable=*/true, 1), /*stable=*/true, 1);
  const at::Tensor units = (rank >= visible).view({-1, unit_rows, 1, unit_columns, 1});
  return units.expand({-1, -1, kMaskUnit, -1, kMaskUnit}).reshape({-1, rows, columns});
}

at::Tensor patchify(const at::Tensor& image) {
  const int64_t b = image.size(0), c = image.size(1), rows = image.size(2) / kPatchSize,
                columns = image.size(3) / kPatchSize;
  return image.view({b, c, rows, kPatchSize, columns, kPatchSize})
      .permute({0, 2, 4, 3, 5, 1})
      .reshape({b, rows * columns, kPatchSize * kPatchSize * c});
}

at::Tensor unpatchify(const at::Tensor& patches, int64_t height, int64_t width) {
  const int64_t b = patches.size(0), c = patches.size(2) / (kPatchSize * kPatchSize), rows = height / kPatchSize,
                columns = width / kPatchSize;
  return patches.view({b, rows, columns, kPatchSize, kPatchSize, c})
      .permute({0, 5, 1, 3, 2, 4})
      .reshape({b, c, height, width});
}

}  // namespace vmae::nn
