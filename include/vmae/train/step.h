#pragma once
// One optimizer step: forward, backward, clipping, update. Operations on tensors of the
// device alone, without waiting for it, so that a whole step can be recorded (step_graph.h).
#include "vmae/ranks/world.h"
#include "vmae/train/optim.h"
#include "vmae/train/plan.h"
#include "vmae/train/precision.h"
#include "vmae/train/task.h"
#include "vmae/train/transfer.h"

namespace vmae::train {

// What a step came to, the same on every rank.
struct StepResult {
  double loss = 0, grad_norm = 0;  // before clipping
  bool is_finite = true;           // false: nothing was changed, neither weights nor moments
  bool stops = false;              // some rank was asked to stop
  bool saves = false;              // rank 0 wants to save
  double loss_scale = 1;           // after the step
};

// A result on its way to the host.
class ComingResult {
 public:
  explicit ComingResult(const at::Tensor& result) : values_(result) {}  // of Step::finish()
  StepResult read() const;                                              // waits

 private:
  ComingTensor values_;
};

// What a rank wants of all, summed over them with every step: as numbers on the device.
struct StepRequests {
  bool stop = false, save = false;
};

class Step {
 public:
  Step(Task& task, Optimizer& optimizer, LossScale& loss_scale, const Plan& plan, World& world);

  void begin();
  // Forward and backward of a micro-batch that is `share` of the step's samples; the gradients of all of them add up.
  void add(const data::Batch& batch, double share, bool is_last);
  // Clips (optim.clip_grad_norm) and updates; changes nothing where loss or gradient is not finite, or not `updates`.
  // Neither do the running statistics of batch norms then, which every forward pass since begin() has moved.
  // lr: for Optimizer::step(); requests: as on_device() gives them. The result is on the device.
  at::Tensor finish(const at::Tensor& lr, const at::Tensor& requests, bool updates = true);

  // Of forward and backward pass, as the first one was (ArithmeticCount); 0 before.
  double flop_per_sample() const { return flop_per_sample_; }

  at::Tensor on_device(double lr) const;
  at::Tensor on_device(StepRequests requests) const;

 private:
  Task& task_;
  Optimizer& optimizer_;
  LossScale& loss_scale_;
  Plan plan_;
  World& world_;
  at::Tensor loss_;  // so far
  double flop_per_sample_ = 0;
  std::vector<at::Tensor> statistics_, statistics_before_;  // of batch norms: the module's, and as begin() found them
};

}  // namespace vmae::train
