#include "vmae/train/schedule.h"

#include <cmath>
#include <numbers>

namespace vmae::train {

double learning_rate(const Schedule& schedule, int64_t step) {
  if (step < schedule.warmup_steps) return schedule.peak_lr * static_cast<double>(step) / static_cast<double>(schedule.warmup_steps);
  const double done = static_cast<double>(step - schedule.warmup_steps) / static_cast<double>(schedule.total_steps - schedule.warmup_steps);
  return schedule.min_lr + (schedule.peak_lr - schedule.min_lr) * 0.5 * (1.0 + std::cos(std::numbers::pi * done));
}

}  // namespace vmae::train
