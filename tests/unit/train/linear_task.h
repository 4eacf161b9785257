#pragma once
// The smallest task: a linear map of the pixels, whose mean square is to become small.
#include <torch/nn/modules/linear.h>

#include <cmath>

#include "vmae/train/task.h"

namespace vmae::train {

class LinearTask : public Task {
 public:
  explicit LinearTask(int64_t pixels, double factor = 1) : factor_(factor) {
    torch::manual_seed(3);
    layer_ = torch::nn::Linear(pixels, 4);
  }
  torch::nn::Module& module() override { return *layer_; }
  std::vector<at::Tensor> draws(const data::Batch&) override { return {}; }
  at::Tensor loss(const data::Batch& batch, const RankSum&) override {
    return outputs(batch).square().mean() * factor_;
  }
  bool can_validate() const override { return true; }
  Metrics validate() override { return {{"loss", layer_->weight.square().mean().item<double>()}}; }
  Panel panel() override { return {"weights", io::Image{2, 2, 1, std::vector<float>(4), 255}}; }

 protected:
  at::Tensor outputs(const data::Batch& batch) { return layer_->forward(batch.image.flatten(1)); }

 private:
  torch::nn::Linear layer_{nullptr};
  double factor_;
};

}  // namespace vmae::train
