#include "vmae/train/step.h"

#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>

namespace vmae::train {

Step::Step(Task& task, AdamW& optimizer, LossScale& loss_scale, const Plan& plan, World& world)
    : task_(task), optimizer_(optimizer), loss_scale_(loss_scale), plan_(plan), world_(world) {}

void Step::begin() {
  optimizer_.clear_gradients();
  loss_.reset();
}

void Step::add(const data::Batch& batch, double share, bool is_last) {
  at::Tensor loss;
  {
    const Autocast autocast(plan_.device.type(), plan_.precision);
    loss = task_.loss(batch, world_.total(batch.counts)) * share;
  }
  world_.backward(loss_scale_.scale(loss), /*synchronise=*/is_last);
  loss_ = loss_.defined() ? loss_ + loss.detach() : loss.detach();
}

at::Tensor Step::finish(const at::Tensor& lr, const at::Tensor& stops) {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> gradients = optimizer_.gradients();
  loss_scale_.unscale(gradients);
  const at::Tensor norm = clip_grad_norm(gradients, plan_.optim.clip_grad_norm);
  const at::Tensor is_finite = (loss_.isfinite() & norm.isfinite()).to(at::kFloat), skip = 1 - is_finite;
  optimizer_.step(lr, skip);
  optimizer_.clear_gradients();
  loss_scale_.update(skip);
  at::Tensor all_stops = stops.clone();
  world_.sum(all_stops);
  return at::stack({loss_.to(at::kDouble), norm.to(at::kDouble), is_finite.to(at::kDouble), all_stops.to(at::kDouble)});
}

// fused AdamW wants its learning rate in fp32 on a GPU; on a CPU it takes all digits.
at::Tensor Step::scalar(double value) const {
  return at::full({}, value, at::TensorOptions(plan_.device).dtype(plan_.device.is_cuda() ? at::kFloat : at::kDouble));
}

StepResult read(const at::Tensor& result) {
  const at::Tensor values = result.cpu();
  const double* value = values.const_data_ptr<double>();
  return {.loss = value[0], .grad_norm = value[1], .is_finite = value[2] == 1, .stops = value[3] > 0};
}

}  // namespace vmae::train
