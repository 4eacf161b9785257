#include "vmae/train/optim.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sub.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <map>

namespace vmae::train {

AdamW::AdamW(const torch::nn::Module& module, const OptimOptions& options,
             const std::function<double(const std::string&)>& lr_scale)
    : options_(options) {
  // by (weight decay, lr scale)
  std::map<std::pair<double, double>, std::vector<std::pair<std::string, at::Tensor>>, std::greater<>> grouped;
  for (const auto& item : module.named_parameters()) {
    if (!item.value().requires_grad()) continue;
    const double decay = options.decay_norm_and_bias || item.value().dim() > 1 ? options.weight_decay : 0.0;
    grouped[{decay, lr_scale ? lr_scale(item.key()) : 1.0}].emplace_back(item.key(), item.value());
  }
  for (const auto& [rule, members] : grouped) {
    groups_.push_back({parameters_.size(), parameters_.size() + members.size(), rule.first, rule.second});
    for (const auto& [name, parameter] : members) {
      names_.push_back(name);
      parameters_.push_back(parameter);
      exp_avgs_.push_back(at::zeros_like(parameter));
      exp_avg_sqs_.push_back(at::zeros_like(parameter));
      steps_.push_back(at::zeros({}, parameter.options().dtype(at::kFloat).requires_grad(false)));
    }
  }
  if (options.ema_decay == 0) return;
  for (const auto& parameter : parameters_) averages_.push_back(parameter.detach().clone());
}

void AdamW::swap_averages() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < averages_.size(); ++i) {
    const at::Tensor average = averages_[i].clone();
    averages_[i].copy_(parameters_[i]);
    parameters_[i].copy_(average);
  }
}

std::vector<at::Tensor> AdamW::gradients() const {
  std::vector<at::Tensor> gradients;
  for (const auto& parameter : parameters_)
    gradients.push_back(parameter.grad().defined() ? parameter.grad() : at::zeros_like(parameter));
  return gradients;
}

void AdamW::step(const at::Tensor& lr, const at::Tensor& skip) {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> all_gradients = gradients();
  at::_foreach_add_(steps_, 1.0);
  for (const Group& group : groups_) {
    auto part = [&](const std::vector<at::Tensor>& all) {
      return at::TensorList(all).slice(group.begin, group.end - group.begin);
    };
    at::_fused_adamw_(part(parameters_), part(all_gradients), part(exp_avgs_), part(exp_avg_sqs_),
                      /*max_exp_avg_sqs=*/{}, part(steps_), lr * group.lr_scale, options_.betas[0], options_.betas[1],
                      group.weight_decay, options_.eps, /*amsgrad=*/false, /*maximize=*/false,
                      /*grad_scale=*/std::nullopt, /*found_inf=*/skip);
  }
  at::_foreach_sub_(steps_, std::vector<at::Tensor>(steps_.size(), skip));
  if (averages_.empty()) return;
  const at::Tensor share =
      (9.0 / (10.0 + steps_.front().to(at::kDouble))).clamp_min(1.0 - options_.ema_decay).to(at::kFloat) * (1 - skip);
  if (share.is_cpu()) {
    at::_foreach_lerp_(averages_, parameters_, std::vector<at::Tensor>(averages_.size(), share));
  } else {  // the same; lerp with a weight as a tensor would be one kernel per parameter
    const std::vector<at::Tensor> changes = at::_foreach_sub(parameters_, averages_);
    at::_foreach_mul_(changes, share);
    at::_foreach_add_(averages_, changes);
  }
}

void AdamW::step(double lr) {
  const at::TensorOptions on_device(parameters_.front().device());
  step(at::full({}, lr, on_device.dtype(on_device.device().is_cuda() ? at::kFloat : at::kDouble)),
       at::zeros({}, on_device.dtype(at::kFloat)));
}

void AdamW::clear_gradients() {
  for (auto& parameter : parameters_) parameter.mutable_grad() = at::Tensor();
}

std::vector<std::pair<std::string, at::Tensor>> AdamW::state() const {
  std::vector<std::pair<std::string, at::Tensor>> state;
  for (size_t i = 0; i < names_.size(); ++i) state.emplace_back("exp_avg." + names_[i], exp_avgs_[i]);
  for (size_t i = 0; i < names_.size(); ++i) state.emplace_back("exp_avg_sq." + names_[i], exp_avg_sqs_[i]);
  return state;
}

std::vector<std::pair<std::string, at::Tensor>> AdamW::averages() const {
  std::vector<std::pair<std::string, at::Tensor>> averages;
  for (size_t i = 0; i < averages_.size(); ++i) averages.emplace_back(names_[i], averages_[i]);
  return averages;
}

int64_t AdamW::step_count() const { return static_cast<int64_t>(steps_.front().item<double>()); }

void AdamW::set_step_count(int64_t steps) {
  for (auto& step : steps_) step.fill_(static_cast<double>(steps));
}

at::Tensor grad_norm(const std::vector<at::Tensor>& gradients) {
  return at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients, 2)));
}

at::Tensor clip_grad_norm(const std::vector<at::Tensor>& gradients, double max_norm) {
  at::Tensor norm = grad_norm(gradients);
  if (max_norm > 0)
    at::_foreach_mul_(gradients, (max_norm / norm.to(at::kDouble)).clamp_max(1.0).to(norm.scalar_type()));
  return norm;
}

}  // namespace vmae::train
