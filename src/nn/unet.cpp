#include "vmae/nn/unet.h"

#include <ATen/ops/linear.h>

#include "vmae/nn/init.h"

namespace vmae::nn {

SwinUnetImpl::SwinUnetImpl(const UnetOptions& options)
    : SwinCodecImpl(options.swin, /*size_multiple=*/1), options_(options) {
  const int64_t dim = options.swin.embed_dim;
  register_encoder();
  register_decoder(/*has_skips=*/true);
  const bool has_stem = options.swin.conv_stem;
  if (has_stem) {
    register_conv_stem();
    pixel_decoder_ = register_module("pixel_decoder", PixelDecoder(dim));
  } else {
    final_patch_expanding_ =
        register_module("final_patch_expanding", PatchExpanding(dim, dim, kPatchSize, options.swin.layer_norm_eps));
  }
  const int64_t head_dim = has_stem ? ConvStemImpl::channels_of(dim) : dim;
  head_ = register_module("head",
                          torch::nn::Conv2d(torch::nn::Conv2dOptions(head_dim, options.num_classes, 1).bias(false)));
  init_weights(*this, LinearInit::trunc_normal);
  init_conv_stem();
  if (options.identity_joins) init_identity_joins();
  if (pixel_decoder_) init_convolutions(*pixel_decoder_);
}

at::Tensor SwinUnetImpl::forward(const at::Tensor& image, const at::Tensor& drop_path, const SumOverRanks& /*total*/) {
  at::Tensor encoder_drop, decoder_drop;
  if (drop_path.defined()) {
    encoder_drop = drop_path.slice(1, 0, 2 * num_encoder_blocks());
    decoder_drop = drop_path.slice(1, 2 * num_encoder_blocks());
  }
  // stage_inputs: (B, H/4, W/4, C), (B, H/8, W/8, 2C), ...
  std::vector<at::Tensor> stem, stage_inputs;
  const at::Tensor latent = encode(embed(image, &stem), encoder_drop, &stage_inputs);  // (B, H/32, W/32, 8C)
  const at::Tensor decoded = decode(latent, decoder_drop, stage_inputs);               // (B, H/4, W/4, C)
  if (pixel_decoder_) return head_->forward(pixel_decoder_->forward(decoded.permute({0, 3, 1, 2}), stem));
  const at::Tensor pixels = final_patch_expanding_->forward(decoded);      // (B, H, W, C)
  const at::Tensor logits = at::linear(pixels, head_->weight.flatten(1));  // (B, H, W, classes)
  return logits.slice(1, 0, image.size(2)).slice(2, 0, image.size(3)).permute({0, 3, 1, 2});
}

}  // namespace vmae::nn
