#pragma once
// A model with what it learns: what differs between pretraining,
// segmentation and classification in the one training loop (trainer.h).
#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "vmae/data/loader.h"
#include "vmae/image/image.h"
#include "vmae/ranks/world.h"
#include "vmae/train/run_log.h"

namespace vmae::train {

// For people to look at.
struct Panel {
  std::string kind;  // "reconstruction", "overlay", "prediction"
  io::Image picture;
};

// Functions are called on the loop's thread.
class Task {
 public:
  virtual ~Task() = default;
  virtual torch::nn::Module& module() = 0;

  // Random numbers of the batch (masks, drop path), a row per sample, on the CPU: pure functions of its samples' seeds.
  virtual std::vector<at::Tensor> draws(const data::Batch& batch) = 0;
  // A scalar, of the batch of all ranks, of which this rank has a part: sums over
  // samples go through `total`. Differentiable; called under autocast in training
  // mode; operations on tensors alone, for they may be recorded (step_graph.h).
  virtual at::Tensor loss(const data::Batch& batch, const RankSum& total) = 0;
  // Whether loss() is not that of all ranks but this rank's part of it, without `total`: one that is a sum over samples
  // needs no word of other ranks between forward and backward pass.
  virtual bool loss_is_own_part() const { return false; }

  // In evaluation mode, without gradients. On every rank, with the
  // same result; the first metric decides which epoch is best.
  virtual bool can_validate() const = 0;
  virtual Metrics validate() = 0;
  virtual bool lower_is_better() const { return true; }
  // Weights of the best epoch become best.safetensors; else the last ones are the result.
  virtual bool keeps_best() const { return true; }
  // Likewise; on rank 0 alone.
  virtual Panel panel() = 0;
};

}  // namespace vmae::train
