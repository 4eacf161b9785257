#pragma once
// The keys of the training loop (trainer.h) and of the optimizer (optim.h).
#include <concepts>
#include <cstdint>
#include <string>
#include <vector>

#include "vmae/core/options.h"

namespace vmae::train {

struct TrainOptions {
  int64_t epochs = 800;
  int64_t steps_per_epoch = 0;
  int64_t min_steps_per_epoch = 0;
  int64_t max_steps = 0;
  int64_t batch_size = 640;
  int64_t micro_batch = 0;
  std::string precision = "auto";
  int64_t log_every = 20;
  int64_t validate_every = 1;
  int64_t draw_every = 10;
  int64_t early_stop = 0;
  int64_t keep_every = 0;
  int64_t save_every_steps = 0;
  double save_every_minutes = 15.0;
  std::string gradient_compression = "none";
  bool cuda_graph = false;
};
void describe(Options& options, TrainOptions& train);

struct OptimOptions {
  std::string name = "adamw";
  double lr = 1e-4;
  double min_lr = 0.0;
  std::string schedule = "cosine";
  double poly_power = 0.9;
  int64_t warmup_epochs = 10;
  double weight_decay = 0.05;
  std::vector<double> betas{0.9, 0.95};
  double eps = 1e-8;
  double momentum = 0.9;
  bool nesterov = false;
  double trust_coefficient = 0.001;
  bool decay_norm_and_bias = true;
  double clip_grad_norm = 0.0;
  double ema_decay = 0.0;
};
void describe(Options& options, OptimOptions& optim);
// Of what derives from it this would leave keys out: that needs a describe() of its own.
template <std::derived_from<OptimOptions> Derived>
requires(!std::same_as<Derived, OptimOptions>) void describe(Options& options, Derived& optim) = delete;

}  // namespace vmae::train
