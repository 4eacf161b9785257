#include "vmae/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace vmae::train {

namespace {

// Of the updates behind the warm-up, those that the rate has noticed.
double noticed_by_poly(const Schedule& schedule, double done) {
  const auto warmup = static_cast<double>(schedule.warmup_steps), epoch = static_cast<double>(schedule.steps_per_epoch);
  const double noticed = schedule.steps_per_epoch > 0 ? std::floor(done / epoch) * epoch : done - 1.0;
  return std::max(0.0, noticed - warmup);
}

}  // namespace

double learning_rate(const Schedule& schedule, double done) {
  const auto warmup = static_cast<double>(schedule.warmup_steps), total = static_cast<double>(schedule.total_steps);
  if (done < warmup) return schedule.peak_lr * done / warmup;
  const double after = done - warmup, length = total - warmup;
  const double left = schedule.poly_power > 0
                          ? std::pow(1.0 - noticed_by_poly(schedule, done) / length, schedule.poly_power)
                          : 0.5 * (1.0 + std::cos(std::numbers::pi * after / length));
  return schedule.min_lr + (schedule.peak_lr - schedule.min_lr) * left;
}

}  // namespace vmae::train
