#include "vmae/nn/unet.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>

#include <algorithm>

#include "vmae/nn/init.h"

namespace vmae::nn {

void describe(Options& options, UnetOptions& unet) {
  describe(options, unet.swin);
  options.add("pixel_skip", unet.pixel_skip,
              "swin-unet: instead of expanding its tokens, which are 4 pixels wide, at once: two steps of upsampling with skips from convolutions of the image "
              "at half and at full resolution, as in a plain U-Net");
  options.add("features", unet.features, "unet: channels of each stage; every stage after the first halves height and width", at_least(1));
}

PixelSkipImpl::PixelSkipImpl(int64_t in_channels, int64_t token_channels) : out_channels_(std::clamp<int64_t>(token_channels / 2, 4, 32)) {
  const int64_t fine = out_channels_, coarse = 2 * fine;
  encoder_ = register_module("encoder", torch::nn::ModuleList(ConvBlock(in_channels, fine, 1), ConvBlock(fine, coarse, 2)));
  const auto up = [](int64_t in, int64_t out) { return torch::nn::ConvTranspose2d(torch::nn::ConvTranspose2dOptions(in, out, 2).stride(2)); };
  upsamplings_ = register_module("upsamplings", torch::nn::ModuleList(up(token_channels, coarse), up(coarse, fine)));
  decoder_ = register_module("decoder", torch::nn::ModuleList(ConvBlock(2 * coarse, coarse, 1), ConvBlock(2 * fine, fine, 1)));
}

at::Tensor PixelSkipImpl::forward(const at::Tensor& image, const at::Tensor& tokens) {
  const at::Tensor fine = encoder_[0]->as<ConvBlock>()->forward(image), coarse = encoder_[1]->as<ConvBlock>()->forward(fine);
  at::Tensor x = tokens;
  for (size_t i = 0; i < 2; ++i) {
    const at::Tensor& skip = i == 0 ? coarse : fine;
    x = upsamplings_[i]->as<torch::nn::ConvTranspose2d>()->forward(x).slice(2, 0, skip.size(2)).slice(3, 0, skip.size(3));
    x = decoder_[i]->as<ConvBlock>()->forward(at::cat({x, skip}, 1));
  }
  return x;
}

SwinUnetImpl::SwinUnetImpl(const UnetOptions& options) : SwinCodecImpl(options.swin, /*size_multiple=*/1), options_(options) {
  const int64_t dim = options.swin.embed_dim;
  register_encoder();
  register_decoder(/*has_skips=*/true);
  int64_t head_dim = dim;
  if (options.pixel_skip) {
    pixel_skip_ = register_module("pixel_skip", PixelSkip(options.swin.in_channels, dim));
    head_dim = pixel_skip_->out_channels();
  } else {
    final_patch_expanding_ = register_module("final_patch_expanding", PatchExpanding(dim, dim, patch_size, options.swin.layer_norm_eps));
  }
  head_ = register_module("head", torch::nn::Conv2d(torch::nn::Conv2dOptions(head_dim, options.num_classes, 1).bias(false)));
  init_weights(*this, LinearInit::trunc_normal);
  if (pixel_skip_) init_convolutions(*pixel_skip_);
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
  if (pixel_skip_) return head_->forward(pixel_skip_->forward(image, decoded.permute({0, 3, 1, 2})));
  const at::Tensor pixels = final_patch_expanding_->forward(decoded);      // (B, H, W, C)
  const at::Tensor logits = at::linear(pixels, head_->weight.flatten(1));  // (B, H, W, classes)
  return logits.slice(1, 0, image.size(2)).slice(2, 0, image.size(3)).permute({0, 3, 1, 2});
}

}  // namespace vmae::nn
