#pragma once
// The optimizers: ours in what surrounds the update (groups, skipped steps, averages, state that checkpoints
// hold). With optim.name
//   adamw  Loshchilov and Hutter 2019, by ATen's fused kernel; moments exp_avg, exp_avg_sq
//   sgd    momentum, also Nesterov's, with decay added to the gradient, by ATen's fused kernel; moment: momentum
//   lars   You et al. 2017 as SimCLR uses it (Chen et al. 2020): the learning rate of each matrix times
//          trust_coefficient |w| / |g + decay w| (1 where either is 0), norms and biases without that and without
//          decay; moment: velocity, in which the learning rate is
#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vmae/train/train_options.h"

namespace vmae::train {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  const std::vector<at::Tensor>& parameters() const { return parameters_; }
  std::vector<at::Tensor> gradients() const;  // in the order of parameters(); a parameter that got none has zeros

  // With scalars on the parameters' device, without waiting for it.
  // lr: fp32 on a GPU. skip (fp32): where it is 1 nothing changes.
  void step(const at::Tensor& lr, const at::Tensor& skip);
  void step(double lr);
  void clear_gradients();

  // MOMENT.KEY of each moment and parameter: the tensors themselves, to be saved or overwritten in place.
  std::vector<std::pair<std::string, at::Tensor>> state() const;

  // With optim.ema_decay, of each parameter: its KEY with the moving average, likewise; without, empty.
  std::vector<std::pair<std::string, at::Tensor>> averages() const;
  // Exchanges, in place, what parameters and averages hold.
  void swap_averages();

  int64_t step_count() const;  // made, without those that were skipped; waits for the device
  void set_step_count(int64_t steps);

 protected:
  struct Group {  // parameters [begin, end) share these
    size_t begin, end;
    double weight_decay, lr_scale;
    at::TensorList of(const std::vector<at::Tensor>& all) const {
      return at::TensorList(all).slice(begin, end - begin);
    }
  };
  Optimizer(const torch::nn::Module& module, const OptimOptions& options,
            const std::function<double(const std::string&)>& lr_scale, const std::vector<std::string>& moments);
  // gradients: of the group; lr, skip as in step()
  virtual void update(const Group& group, at::TensorList gradients, const at::Tensor& lr, const at::Tensor& skip) = 0;

  const OptimOptions& options() const { return options_; }
  // as many as parameters(), all of them the one count of all
  const std::vector<at::Tensor>& steps() const { return steps_; }
  const std::vector<at::Tensor>& moment(size_t number) const { return moments_[number].second; }

 private:
  OptimOptions options_;
  std::vector<std::string> names_;
  std::vector<at::Tensor> parameters_, steps_, averages_;
  std::vector<std::pair<std::string, std::vector<at::Tensor>>> moments_;  // by name, zeros at first
  std::vector<Group> groups_;
};

// In the order in which modules name them, which is that in which a forward pass uses them.
std::vector<at::Tensor> trained_parameters(const torch::nn::Module& module);

// Of trained_parameters(). lr_scale: factor of the learning rate by a parameter's key; empty: 1 for
// all.
std::unique_ptr<Optimizer> make_optimizer(const torch::nn::Module& module, const OptimOptions& options,
                                          const std::function<double(const std::string&)>& lr_scale = {});

at::Tensor grad_norm(const std::vector<at::Tensor>& gradients);  // global L2 norm, a scalar on their device

// grad_norm(); with max_norm > 0 they are scaled down to it (Pascanu et al. 2013).
at::Tensor clip_grad_norm(const std::vector<at::Tensor>& gradients, double max_norm);

}  // namespace vmae::train
