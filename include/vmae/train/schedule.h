#pragma once
// The learning rate as a pure function of how much of the training is done.
#include <cstdint>

namespace vmae::train {

struct Schedule {
  double peak_lr = 1e-4;
  double min_lr = 0.0;
  int64_t warmup_steps = 0;
  int64_t total_steps = 1;
};

// Linear from 0 over warmup_steps, then half a cosine from peak_lr down to min_lr at total_steps (method.md: per
// iteration). `done` counts updates already made, so the first update of a warm-up has learning rate 0. It is
// not whole where a run was resumed with another batch size in the middle of an epoch (plan.h: steps_done()).
double learning_rate(const Schedule& schedule, double done);

}  // namespace vmae::train
