#pragma once
// SimCLR (Chen et al. 2020, version 2's projection head) around the Swin encoder:
// two views of an image are to be more alike than those of different images.
#include <torch/nn/modules/container/modulelist.h>

#include "vmae/nn/swin.h"

namespace vmae::nn {

// `projection_layers` linear layers without bias, each followed by batch norm (the last without shift), ReLU between.
// Batch norm always takes the statistics of the rows that it is given, in evaluation too: nothing is kept of others.
class ProjectionHeadImpl : public torch::nn::Module {
 public:
  ProjectionHeadImpl(int64_t dim, const ContrastOptions& options);
  // (N, dim) -> (N, projection_dim) float32. gradient_share: of the gradient of its own parameters, not of the rows':
  // 1 / ranks where every rank computes the same rows, so that the sum over the ranks is the gradient.
  at::Tensor forward(const at::Tensor& rows, double gradient_share = 1.0);

 private:
  torch::nn::ModuleList layers_;
};
TORCH_MODULE(ProjectionHead);

class SimclrImpl : public SwinEncoderImpl {
 public:
  explicit SimclrImpl(const SimclrOptions& options);  // freshly initialised from torch's default generator

  // features() are what fine-tuning starts from, and what is projected: (N, 8 embed_dim) -> (N, projection_dim).
  at::Tensor project(const at::Tensor& features, double gradient_share = 1.0);

  int64_t num_draws() const { return 2 * num_encoder_blocks(); }  // of drop path, of each view
  const SimclrOptions& options() const { return options_; }

 protected:
  at::Tensor last_norm(const at::Tensor& tokens) override;

 private:
  SimclrOptions options_;
  torch::nn::LayerNorm norm_{nullptr};
  ProjectionHead projection_{nullptr};
};
TORCH_MODULE(Simclr);

// Normalised temperature-scaled cross-entropy (NT-Xent): of each of the 2 N projections, which of the 2 N - 1 others
// is that of the same image. a, b (N, d): the two views, row by row; in float32. The mean over view a plus the mean
// over view b, as the authors' code: twice the mean over all. 0 for a single image. images (N): who is who; rows of one
// image, which come where passes over the data repeat within a batch, are not told from each other. Undefined: N
// images.
at::Tensor nt_xent(const at::Tensor& a, const at::Tensor& b, double temperature, const at::Tensor& images = {});

// Of how many of the 2 N projections the most similar other one is that of the same image: a scalar, 0 to 2 N.
at::Tensor num_found(const at::Tensor& a, const at::Tensor& b, const at::Tensor& images = {});

}  // namespace vmae::nn
