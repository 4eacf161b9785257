#include "vmae/nn/classifier.h"

#include "vmae/nn/init.h"

namespace vmae::nn {

SwinClassifierImpl::SwinClassifierImpl(const ClassifierOptions& options)
    : SwinEncoderImpl(options.swin, /*size_multiple=*/1), options_(options) {
  const int64_t dim = options.swin.embed_dim << 3;
  register_encoder();
  if (options.swin.conv_stem) register_conv_stem();
  norm_ = register_module("norm",
                          torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim}).eps(options.swin.layer_norm_eps)));
  head_ = register_module("head", torch::nn::Linear(dim, options.num_classes));
  init_weights(*this, LinearInit::trunc_normal);
  init_conv_stem();
}

at::Tensor SwinClassifierImpl::last_norm(const at::Tensor& tokens) { return norm_->forward(tokens); }

at::Tensor SwinClassifierImpl::forward(const at::Tensor& image, const at::Tensor& drop_path) {
  return head_->forward(features(image, drop_path));
}

}  // namespace vmae::nn
