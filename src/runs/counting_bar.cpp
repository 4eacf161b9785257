#include "vmae/runs/counting_bar.h"

#include "vmae/core/log.h"
#include "vmae/core/text.h"

namespace vmae::run {

CountingBar::CountingBar(double silent_s, double line_s) : silent_s_(silent_s), line_s_(line_s), next_line_s_(line_s) {
  set_counting_listener([this](const Counted& counted) { show(counted); });
}

CountingBar::~CountingBar() { set_counting_listener({}); }

void CountingBar::show(const Counted& counted) {
  if (counted.is_over) {
    if (bar_) bar_->update({counted.what, counted.done, counted.done, {}});
    bar_.reset();
    next_line_s_ = line_s_;
    return;
  }
  if (counted.elapsed_s < silent_s_) return;
  if (stderr_is_terminal()) {
    if (!bar_) bar_ = std::make_unique<ProgressBar>(true);
    bar_->update({counted.what, counted.done, counted.total, {}});
    return;
  }
  if (counted.elapsed_s < next_line_s_ || counted.done == 0) return;
  next_line_s_ = counted.elapsed_s + line_s_;
  const double left_s =
      counted.elapsed_s * static_cast<double>(counted.total - counted.done) / static_cast<double>(counted.done);
  log::info(
      concat(counted.what, ": ", counted.done, " of ", counted.total, ", about ", human_seconds(left_s), " left"));
}

}  // namespace vmae::run
