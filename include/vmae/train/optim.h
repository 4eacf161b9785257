#pragma once
// AdamW (Loshchilov and Hutter 2019) through ATen's fused kernel,
// with its state in plain sight so that checkpoints can hold it.
#include <torch/nn/module.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "vmae/train/train_options.h"

namespace vmae::train {

class AdamW {
 public:
  // All parameters that require a gradient. lr_scale: factor of
  // the learning rate by a parameter's key; empty: 1 for all.
  AdamW(const torch::nn::Module& module, const OptimOptions& options,
        const std::function<double(const std::string&)>& lr_scale = {});
  const std::vector<at::Tensor>& parameters() const { return parameters_; }
  std::vector<at::Tensor> gradients() const;  // in the order of parameters(); a parameter that got none has zeros

  // With scalars on the parameters' device, without waiting for it.
  // lr: fp32 on a GPU. skip (fp32): where it is 1 nothing changes.
  void step(const at::Tensor& lr, const at::Tensor& skip);
  void step(double lr);
  void clear_gradients();

  // exp_avg.KEY, exp_avg_sq.KEY: the tensors themselves, to be saved or overwritten in place.
  std::vector<std::pair<std::string, at::Tensor>> state() const;

  // With optim.ema_decay, of each parameter: its KEY with the moving average, likewise; without, empty.
  std::vector<std::pair<std::string, at::Tensor>> averages() const;
  // Exchanges, in place, what parameters and averages hold.
  void swap_averages();

  int64_t step_count() const;  // made, without those that were skipped; waits for the device
  void set_step_count(int64_t steps);

 private:
  OptimOptions options_;
  std::vector<std::string> names_;
  std::vector<at::Tensor> parameters_, exp_avgs_, exp_avg_sqs_, steps_, averages_;
  struct Group {  // parameters_ [begin, end) share these
    size_t begin, end;
    double weight_decay, lr_scale;
  };
  std::vector<Group> groups_;
};

at::Tensor grad_norm(const std::vector<at::Tensor>& gradients);  // global L2 norm, a scalar on their device

// grad_norm(); with max_norm > 0 they are scaled down to it (Pascanu et al. 2013).
at::Tensor clip_grad_norm(const std::vector<at::Tensor>& gradients, double max_norm);

}  // namespace vmae::train
