#include "vmae/nn/unet.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>

#include "vmae/nn/init.h"

namespace vmae::nn {

void describe(Options& options, UnetOptions& unet) {
  describe(options, unet.swin);
  options.add("pixel_skip", unet.pixel_skip,
              "swin-unet: a skip from the image itself: its tokens are 4 pixels wide, and two convolutions at full resolution, joined with the expanded "
              "tokens by two more, give it back what is finer");
  options.add("features", unet.features, "unet: channels of each stage; every stage after the first halves height and width", at_least(1));
}

SwinUnetImpl::SwinUnetImpl(const UnetOptions& options) : SwinCodecImpl(options.swin, /*size_multiple=*/1), options_(options) {
  const int64_t dim = options.swin.embed_dim;
  register_encoder();
  register_decoder(/*has_skips=*/true);
  final_patch_expanding_ = register_module("final_patch_expanding", PatchExpanding(dim, dim, patch_size, options.swin.layer_norm_eps));
  if (options.pixel_skip) {
    pixel_skip_ = register_module("pixel_skip", ConvBlock(options.swin.in_channels, dim / 2, 1));
    pixel_join_ = register_module("pixel_join", ConvBlock(dim + dim / 2, dim, 1));
  }
  head_ = register_module("head", torch::nn::Conv2d(torch::nn::Conv2dOptions(dim, options.num_classes, 1).bias(false)));
  init_weights(*this, LinearInit::trunc_normal);
  if (pixel_skip_) {
    init_convolutions(*pixel_skip_);
    init_convolutions(*pixel_join_);
  }
}

at::Tensor SwinUnetImpl::forward(const at::Tensor& image, const at::Tensor& drop_path) {
  at::Tensor encoder_drop, decoder_drop;
  if (drop_path.defined()) {
    encoder_drop = drop_path.slice(1, 0, 2 * num_encoder_blocks());
    decoder_drop = drop_path.slice(1, 2 * num_encoder_blocks());
  }
  std::vector<at::Tensor> stage_inputs;                                         // (B, H/4, W/4, C), (B, H/8, W/8, 2C), ...
  const at::Tensor latent = encode(embed(image), encoder_drop, &stage_inputs);  // (B, H/32, W/32, 8C)
  const at::Tensor decoded = decode(latent, decoder_drop, stage_inputs);        // (B, H/4, W/4, C)
  at::Tensor pixels = final_patch_expanding_->forward(decoded);                 // (B, H, W, C)
  pixels = pixels.slice(1, 0, image.size(2)).slice(2, 0, image.size(3));
  if (pixel_skip_) {
    const at::Tensor fine = pixel_skip_->forward(image);  // (B, C / 2, H, W)
    pixels = pixel_join_->forward(at::cat({pixels.permute({0, 3, 1, 2}), fine}, 1)).permute({0, 2, 3, 1});
  }
  const at::Tensor logits = at::linear(pixels, head_->weight.flatten(1));  // (B, H, W, classes)
  return logits.permute({0, 3, 1, 2});
}

}  // namespace vmae::nn
