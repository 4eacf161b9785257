#pragma once
// The steps of a dry run: the first warms up, the others are timed
// until their mean can be trusted, or it has taken long enough.
#include <algorithm>

#include "vmae/core/clock.h"
#include "vmae/core/counting.h"
#include "vmae/train/plan.h"

namespace vmae::train {

class Trial {
 public:
  explicit Trial(const Plan& plan)
      : counting("images of the dry run's steps",
                 (1 + std::min(kMostSteps, plan.total_steps - 1)) * plan.train.batch_size),
        long_step_s_(plan.long_step_s) {}

  void add_step() {
    if (num_steps_++ == 0) first_s_ = seconds();
    if (num_steps_ == 1) begin_ = Clock::now();
    timed_s_ = num_steps_ == 1 ? 0 : seconds();
  }
  bool is_enough() const {
    return timed_steps() >= kMostSteps || (timed_steps() >= kEnoughSteps && timed_s_ >= kEnoughSeconds) ||
           timed_s_ >= kMostSeconds || first_s_ >= long_step_s_;
  }
  // The first step alone takes so long that a part of it must do.
  bool is_too_long() const { return num_steps_ == 0 && seconds() >= long_step_s_; }
  void cut_short(int64_t samples, int64_t step_samples) {
    made_samples_ = samples;
    made_ = static_cast<double>(samples) / static_cast<double>(step_samples);
  }

  int64_t timed_steps() const { return num_steps_ - 1; }
  double made() const { return made_; }                   // of the step that was cut short
  int64_t made_samples() const { return made_samples_; }  // likewise; 0: none was
  double step_s() const { return num_steps_ > 1 ? timed_s_ / static_cast<double>(timed_steps()) : first_s_ / made_; }

  Counting counting;

 private:
  static constexpr int64_t kMostSteps = 10, kEnoughSteps = 3;
  static constexpr double kEnoughSeconds = 5, kMostSeconds = 30;
  double seconds() const { return seconds_since(begin_); }

  Clock::time_point begin_ = Clock::now();
  int64_t num_steps_ = 0;
  double long_step_s_, first_s_ = 0, timed_s_ = 0, made_ = 1;
  int64_t made_samples_ = 0;
};

}  // namespace vmae::train
