#include "vmae/train/optim.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sub.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <map>

#include "vmae/core/text.h"

namespace vmae::train {

Optimizer::Optimizer(const torch::nn::Module& module, const OptimOptions& options,
                     const std::function<double(const std::string&)>& lr_scale, const std::vector<std::string>& moments)
    : options_(options) {
  const at::Tensor step =
      at::zeros({}, trained_parameters(module).front().options().dtype(at::kFloat).requires_grad(false));
  // by (weight decay, lr scale)
  std::map<std::pair<double, double>, std::vector<std::pair<std::string, at::Tensor>>, std::greater<>> grouped;
  for (const auto& item : module.named_parameters()) {
    if (!item.value().requires_grad()) continue;
    const bool decays_all = options.decay_norm_and_bias && options.name != "lars";
    const double decay = decays_all || item.value().dim() > 1 ? options.weight_decay : 0.0;
    grouped[{decay, lr_scale ? lr_scale(item.key()) : 1.0}].emplace_back(item.key(), item.value());
  }
  for (const auto& [rule, members] : grouped) {
    groups_.push_back({parameters_.size(), parameters_.size() + members.size(), rule.first, rule.second});
    for (const auto& [name, parameter] : members) {
      names_.push_back(name);
      parameters_.push_back(parameter);
      steps_.push_back(step);
    }
  }
  for (const std::string& name : moments) {
    moments_.emplace_back(name, std::vector<at::Tensor>());
    for (const auto& parameter : parameters_) moments_.back().second.push_back(at::zeros_like(parameter));
  }
  if (options.ema_decay == 0) return;
  for (const auto& parameter : parameters_) averages_.push_back(parameter.detach().clone());
}

void Optimizer::swap_averages() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < averages_.size(); ++i) {
    const at::Tensor average = averages_[i].clone();
    averages_[i].copy_(parameters_[i]);
    parameters_[i].copy_(average);
  }
}

std::vector<at::Tensor> Optimizer::gradients() const {
  std::vector<at::Tensor> gradients;
  for (const auto& parameter : parameters_)
    gradients.push_back(parameter.grad().defined() ? parameter.grad() : at::zeros_like(parameter));
  return gradients;
}

void Optimizer::step(const at::Tensor& lr, const at::Tensor& skip) {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> all_gradients = gradients();
  steps_.front().add_(1);
  for (const Group& group : groups_) update(group, group.of(all_gradients), lr * group.lr_scale, skip);
  steps_.front().sub_(skip);
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

void Optimizer::step(double lr) {
  const at::TensorOptions on_device(parameters_.front().device());
  step(at::full({}, lr, on_device.dtype(on_device.device().is_cuda() ? at::kFloat : at::kDouble)),
       at::zeros({}, on_device.dtype(at::kFloat)));
}

void Optimizer::clear_gradients() {
  for (auto& parameter : parameters_) parameter.mutable_grad() = at::Tensor();
}

std::vector<std::pair<std::string, at::Tensor>> Optimizer::state() const {
  std::vector<std::pair<std::string, at::Tensor>> state;
  for (const auto& [moment, tensors] : moments_) {
    for (size_t i = 0; i < names_.size(); ++i) state.emplace_back(concat(moment, ".", names_[i]), tensors[i]);
  }
  return state;
}

std::vector<std::pair<std::string, at::Tensor>> Optimizer::averages() const {
  std::vector<std::pair<std::string, at::Tensor>> averages;
  for (size_t i = 0; i < averages_.size(); ++i) averages.emplace_back(names_[i], averages_[i]);
  return averages;
}

int64_t Optimizer::step_count() const { return static_cast<int64_t>(steps_.front().item<double>()); }

void Optimizer::set_step_count(int64_t steps) { steps_.front().fill_(static_cast<double>(steps)); }

namespace {

class AdamW : public Optimizer {
 public:
  AdamW(const torch::nn::Module& module, const OptimOptions& options,
        const std::function<double(const std::string&)>& lr_scale)
      : Optimizer(module, options, lr_scale, {"exp_avg", "exp_avg_sq"}) {}

 private:
  void update(const Group& group, at::TensorList gradients, const at::Tensor& lr, const at::Tensor& skip) override {
    at::_fused_adamw_(group.of(parameters()), gradients, group.of(moment(0)), group.of(moment(1)),
                      /*max_exp_avg_sqs=*/{}, group.of(steps()), lr, options().betas[0], options().betas[1],
                      group.weight_decay, options().eps, /*amsgrad=*/false, /*maximize=*/false,
                      /*grad_scale=*/std::nullopt, /*found_inf=*/skip);
  }
};

class Sgd : public Optimizer {
 public:
  Sgd(const torch::nn::Module& module, const OptimOptions& options,
      const std::function<double(const std::string&)>& lr_scale)
      : Optimizer(module, options, lr_scale, {"momentum"}) {}

 private:
  void update(const Group& group, at::TensorList gradients, const at::Tensor& lr, const at::Tensor& skip) override {
    // the first step needs no rule of its own: its momentum is 0 times the share, plus the gradient
    at::_fused_sgd_(group.of(parameters()), gradients, group.of(moment(0)), group.weight_decay, options().momentum, lr,
                    /*dampening=*/0.0, options().nesterov, /*maximize=*/false, /*is_first_step=*/false,
                    /*grad_scale=*/std::nullopt, /*found_inf=*/skip);
  }
};

class Lars : public Optimizer {
 public:
  Lars(const torch::nn::Module& module, const OptimOptions& options,
       const std::function<double(const std::string&)>& lr_scale)
      : Optimizer(module, options, lr_scale, {"velocity"}) {}

 private:
  void update(const Group& group, at::TensorList gradients, const at::Tensor& lr, const at::Tensor& skip) override {
    const at::Tensor keeps = skip == 1;
    for (size_t i = group.begin; i < group.end; ++i) {
      const at::Tensor &parameter = parameters()[i], &velocity = moment(0)[i];
      const at::Tensor gradient = gradients[i - group.begin] + group.weight_decay * parameter;
      const at::Tensor step = lr.to(parameter.scalar_type()) * trust_ratio(parameter, gradient) * gradient;
      const at::Tensor next = options().momentum * velocity + step;
      const at::Tensor change = options().nesterov ? options().momentum * next + step : next;
      velocity.copy_(at::where(keeps, velocity, next));
      parameter.copy_(at::where(keeps, parameter, parameter - change));
    }
  }

  // norms and biases are not adapted
  at::Tensor trust_ratio(const at::Tensor& parameter, const at::Tensor& gradient) const {
    if (parameter.dim() <= 1) return at::ones({}, gradient.options());
    const at::Tensor of_weight = at::linalg_vector_norm(parameter), of_gradient = at::linalg_vector_norm(gradient);
    return at::where((of_weight > 0) & (of_gradient > 0), options().trust_coefficient * of_weight / of_gradient, 1.0);
  }
};

}  // namespace

std::vector<at::Tensor> trained_parameters(const torch::nn::Module& module) {
  std::vector<at::Tensor> trained;
  for (const at::Tensor& parameter : module.parameters()) {
    if (parameter.requires_grad()) trained.push_back(parameter);
  }
  return trained;
}

std::unique_ptr<Optimizer> make_optimizer(const torch::nn::Module& module, const OptimOptions& options,
                                          const std::function<double(const std::string&)>& lr_scale) {
  if (options.name == "sgd") return std::make_unique<Sgd>(module, options, lr_scale);
  if (options.name == "lars") return std::make_unique<Lars>(module, options, lr_scale);
  return std::make_unique<AdamW>(module, options, lr_scale);
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
