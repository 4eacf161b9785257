#pragma once
// One optimizer step: forward, backward, clipping, update. Operations on tensors of the
// device alone, without waiting for it, so that a whole step can be recorded (step_graph.h).
#include "vmae/ranks/world.h"
#include "vmae/train/optim.h"
#include "vmae/train/plan.h"
#include "vmae/train/precision.h"
#include "vmae/train/task.h"

namespace vmae::train {

// What a step came to, the same on every rank.
struct StepResult {
  double loss = 0, grad_norm = 0;  // before clipping
  bool is_finite = true;           // false: nothing was changed, neither weights nor moments
  bool stops = false;              // some rank was asked to stop
};
StepResult read(const at::Tensor& result);  // of finish(); waits for the device

class Step {
 public:
  Step(Task& task, AdamW& optimizer, LossScale& loss_scale, const Plan& plan, World& world);

  void begin();
  // Forward and backward of a micro-batch that is `share` of the step's samples; the gradients of all of them add up.
  void add(const data::Batch& batch, double share, bool is_last);
  // Clips (optim.clip_grad_norm) and updates; changes nothing where loss or gradient is not finite. lr: for
  // AdamW::step(). stops: 1 if this rank was asked to stop, else 0; a scalar on the device, as is the result.
  at::Tensor finish(const at::Tensor& lr, const at::Tensor& stops);

  at::Tensor scalar(double value) const;  // lr and stops, on the device

 private:
  Task& task_;
  AdamW& optimizer_;
  LossScale& loss_scale_;
  Plan plan_;
  World& world_;
  at::Tensor loss_;  // so far
};

}  // namespace vmae::train
