#include "vmae/nn/simclr.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <limits>

#include "no_autocast.h"
#include "vmae/nn/init.h"

namespace vmae::nn {

namespace {

constexpr double kBatchNormEps = 1e-5;

// The same numbers, of whose gradient `share` passes on.
at::Tensor with_share(const at::Tensor& parameter, double share) {
  if (share == 1.0 || !parameter.defined()) return parameter;
  const at::Tensor value = parameter.detach();
  return value + (parameter - value) * share;
}

class BatchNormImpl : public torch::nn::Module {
 public:
  BatchNormImpl(int64_t dim, bool has_shift) {
    weight_ = register_parameter("weight", at::ones({dim}));
    if (has_shift) bias_ = register_parameter("bias", at::zeros({dim}));
  }
  at::Tensor forward(const at::Tensor& x, double share) {
    return at::batch_norm(x, with_share(weight_, share), with_share(bias_, share), /*running_mean=*/{},
                          /*running_var=*/{}, /*training=*/true, /*momentum=*/0.0, kBatchNormEps,
                          /*cudnn_enabled=*/true);
  }

 private:
  at::Tensor weight_, bias_;
};
TORCH_MODULE(BatchNorm);

class ProjectionLayerImpl : public torch::nn::Module {
 public:
  ProjectionLayerImpl(int64_t in, int64_t out, bool is_last) {
    linear_ = register_module("linear", torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(false)));
    norm_ = register_module("norm", BatchNorm(out, /*has_shift=*/!is_last));
  }
  at::Tensor forward(const at::Tensor& x, double share) {
    return norm_->forward(at::linear(x, with_share(linear_->weight, share)), share);
  }

 private:
  torch::nn::Linear linear_{nullptr};
  BatchNorm norm_{nullptr};
};
TORCH_MODULE(ProjectionLayer);

// (2 N, 2 N): cosine similarities of all projections, -infinity of each with itself and with others of its image but
// its partner. images: as for nt_xent().
at::Tensor similarities(const at::Tensor& a, const at::Tensor& b, const at::Tensor& images) {
  const at::Tensor rows = at::cat({a, b}).to(at::kFloat);
  const at::Tensor unit = rows / rows.norm(2, /*dim=*/1, /*keepdim=*/true).clamp_min(1e-12);
  const int64_t n = a.size(0);
  const at::Tensor number = at::arange(2 * n, a.options().dtype(at::kLong));
  const at::Tensor image = images.defined() ? images : number.slice(0, 0, n);
  const at::Tensor is_same = (image.unsqueeze(1) == image).repeat({2, 2}),
                   is_partner = (number - number.unsqueeze(1)).abs() == n;
  return at::matmul(unit, unit.t()).masked_fill(is_same & ~is_partner, -std::numeric_limits<float>::infinity());
}

// Where each projection's partner is: row i of a and of b.
at::Tensor partners(const at::Tensor& a) {
  const int64_t n = a.size(0);
  const at::Tensor own = at::arange(n, a.options().dtype(at::kLong));
  return at::cat({own + n, own});
}

}  // namespace

ProjectionHeadImpl::ProjectionHeadImpl(int64_t dim, const ContrastOptions& options) {
  layers_ = register_module("layers", torch::nn::ModuleList());
  for (int64_t i = 0; i < options.projection_layers; ++i) {
    const bool is_last = i + 1 == options.projection_layers;
    layers_->push_back(ProjectionLayer(dim, is_last ? options.projection_dim : dim, is_last));
  }
}

at::Tensor ProjectionHeadImpl::forward(const at::Tensor& rows, double gradient_share) {
  // in float32, whatever the network's precision: similarities over the temperature have no digits to spare
  const NoAutocast in_float32(rows.device().type());
  at::Tensor x = rows.to(at::kFloat);
  for (size_t i = 0; i < layers_->size(); ++i) {
    if (i > 0) x = x.relu();
    x = layers_[i]->as<ProjectionLayer>()->forward(x, gradient_share);
  }
  return x;
}

SimclrImpl::SimclrImpl(const SimclrOptions& options)
    : SwinEncoderImpl(options.swin, /*size_multiple=*/1), options_(options) {
  const int64_t dim = options.swin.embed_dim << 3;
  register_encoder();
  norm_ = register_module("norm",
                          torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim}).eps(options.swin.layer_norm_eps)));
  projection_ = register_module("projection", ProjectionHead(dim, options.contrast));
  init_weights(*this, LinearInit::xavier_uniform);
}

at::Tensor SimclrImpl::last_norm(const at::Tensor& tokens) { return norm_->forward(tokens); }

at::Tensor SimclrImpl::project(const at::Tensor& features, double gradient_share) {
  return projection_->forward(features, gradient_share);
}

at::Tensor nt_xent(const at::Tensor& a, const at::Tensor& b, double temperature, const at::Tensor& images) {
  const NoAutocast in_float32(a.device().type());
  return 2.0 * at::cross_entropy_loss(similarities(a, b, images) / temperature, partners(a));
}

at::Tensor num_found(const at::Tensor& a, const at::Tensor& b, const at::Tensor& images) {
  const NoAutocast in_float32(a.device().type());
  return (similarities(a, b, images).argmax(1) == partners(a)).sum();
}

}  // namespace vmae::nn
