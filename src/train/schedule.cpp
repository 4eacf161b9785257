#include "vmae/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace vmae::train {

double learning_rate(const Schedule& schedule, double done) {
  const auto warmup = static_cast<double>(schedule.warmup_steps), total = static_cast<double>(schedule.total_steps);
  if (done < warmup) return schedule.peak_lr * done / warmup;
  const double after = done - warmup, length = total - warmup;
  const double left = schedule.poly_power > 0 ? std::pow(1.0 - std::max(0.0, after - 1.0) / length, schedule.poly_power)
                                              : 0.5 * (1.0 + std::cos(std::numbers::pi * after / length));
  return schedule.min_lr + (schedule.peak_lr - schedule.min_lr) * left;
}

}  // namespace vmae::train
