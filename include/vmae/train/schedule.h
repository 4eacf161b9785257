#pragma once
// The learning rate as a pure function of how much of the training is done.
#include <cstdint>

namespace vmae::train {

struct Schedule {
  double peak_lr = 1e-4;
  double min_lr = 0.0;
  int64_t warmup_steps = 0;
  int64_t total_steps = 1;
  double poly_power = 0.0;      // 0: a cosine
  int64_t steps_per_epoch = 0;  // of poly: the rate changes between epochs alone; 0: with every update
};

// Linear from 0 over warmup_steps, then half a cosine from peak_lr down to min_lr at total_steps (method.md: per
// iteration). `done` counts updates already made, so the first update of a warm-up has learning rate 0. It is
// not whole where a run was resumed with another batch size in the middle of an epoch (plan.h: steps_done()).
// With poly_power not the cosine, but (1 - share)^power of the way, where `share` lags one update behind: TransUNet's
// code sets the rate after each update from the number of those before it, so the first two have the whole rate.
// With steps_per_epoch it does not lag, and all updates of an epoch have the rate of its beginning, as nnU-Net's: lr (1
// - epoch / epochs)^power where the run ends with an epoch.
double learning_rate(const Schedule& schedule, double done);

}  // namespace vmae::train
