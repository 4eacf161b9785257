#include "vmae/train/step.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <optional>

#include "vmae/cuda/range.h"
#include "vmae/train/arithmetic.h"

namespace vmae::train {

Step::Step(Task& task, Optimizer& optimizer, LossScale& loss_scale, const Plan& plan, World& world)
    : task_(task), optimizer_(optimizer), loss_scale_(loss_scale), plan_(plan), world_(world) {
  for (const auto& buffer : task.module().named_buffers()) {
    const std::string& key = buffer.key();
    if (!key.ends_with("running_mean") && !key.ends_with("running_var") && !key.ends_with("num_batches_tracked"))
      continue;
    statistics_.push_back(buffer.value());
    statistics_before_.push_back(buffer.value().clone());
  }
}

namespace {

// Of this rank; of images that are no batch's, 1.
double batch_size_of(const data::Batch& batch) { return static_cast<double>(std::max<size_t>(1, batch.seeds.size())); }

}  // namespace

void Step::begin() {
  for (size_t i = 0; i < statistics_.size(); ++i) statistics_before_[i].copy_(statistics_[i]);
  optimizer_.clear_gradients();
  loss_.reset();
}

void Step::add(const data::Batch& batch, double share, bool is_last) {
  std::optional<ArithmeticCount> counting;
  if (flop_per_sample_ == 0) counting.emplace();
  at::Tensor loss;
  {
    const cuda::Range range("forward");
    const Autocast autocast(plan_.device.type(), plan_.precision);
    loss = task_.loss(batch, world_.total(batch.counts)) * share;
  }
  const cuda::Range range("backward");
  world_.backward(loss_scale_.scale(loss), /*synchronise=*/is_last);
  loss_ = loss_.defined() ? loss_ + loss.detach() : loss.detach();
  if (counting) flop_per_sample_ = static_cast<double>(ArithmeticCount::flop()) / batch_size_of(batch);
}

at::Tensor Step::finish(const at::Tensor& lr, const at::Tensor& requests, bool updates) {
  const at::NoGradGuard no_grad;
  const cuda::Range range("update");
  const bool is_part = task_.loss_is_own_part();
  at::Tensor of_all = at::cat({requests.to(at::kDouble), loss_.to(at::kDouble).view({1})});
  world_.sum(of_all);  // before anything is decided by the loss: all ranks must decide alike
  const at::Tensor wanted = of_all.slice(0, 0, requests.size(0)),
                   loss = is_part ? of_all[requests.size(0)] : loss_.to(at::kDouble);
  const std::vector<at::Tensor> gradients = optimizer_.gradients();
  loss_scale_.unscale(gradients);
  const at::Tensor norm = clip_grad_norm(gradients, plan_.optim.clip_grad_norm);
  const at::Tensor is_finite = (loss.isfinite() & norm.isfinite()).to(at::kFloat);
  const at::Tensor skip = updates ? 1 - is_finite : at::ones_like(is_finite);
  optimizer_.step(lr, skip);
  for (size_t i = 0; i < statistics_.size(); ++i)
    statistics_[i].copy_(at::where(skip > 0, statistics_before_[i], statistics_[i]));
  optimizer_.clear_gradients();
  if (updates) loss_scale_.update(skip);
  const at::Tensor own = at::stack(
      {loss, norm.to(at::kDouble), is_finite.to(at::kDouble), loss_scale_.tensor(loss_.device()).to(at::kDouble)});
  return at::cat({own, wanted});
}

// fused AdamW wants its learning rate in fp32 on a GPU; on a CPU it takes all digits.
at::Tensor Step::on_device(double lr) const {
  return at::full({}, lr, at::TensorOptions(plan_.device).dtype(plan_.device.is_cuda() ? at::kFloat : at::kDouble));
}

at::Tensor Step::on_device(StepRequests requests) const {
  at::Tensor values = at::zeros({2}, at::TensorOptions(plan_.device).dtype(at::kFloat));
  if (requests.stop) values[0].fill_(1);
  if (requests.save) values[1].fill_(1);
  return values;
}

StepResult ComingResult::read() const {
  const at::Tensor values = values_.read();
  const double* value = values.const_data_ptr<double>();
  return {.loss = value[0],
          .grad_norm = value[1],
          .is_finite = value[2] == 1,
          .stops = value[4] > 0,
          .saves = value[5] > 0,
          .loss_scale = value[3]};
}

}  // namespace vmae::train
