#include "vmae/train/schedule.h"

#include <cmath>
#include <numbers>

namespace vmae::train {

double learning_rate(const Schedule& schedule, double done) {
  const auto warmup = static_cast<double>(schedule.warmup_steps), total = static_cast<double>(schedule.total_steps);
  if (done < warmup) return schedule.peak_lr * done / warmup;
  const double share = (done - warmup) / (total - warmup);
  return schedule.min_lr + (schedule.peak_lr - schedule.min_lr) * 0.5 * (1.0 + std::cos(std::numbers::pi * share));
}

}  // namespace vmae::train
