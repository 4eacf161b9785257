#pragma once
// Shows what code below counts (core/counting.h): a progress bar on a terminal, a line now and then in a log.
#include <chrono>
#include <memory>

#include "vmae/core/clock.h"
#include "vmae/core/counting.h"
#include "vmae/report/progress.h"

namespace vmae::run {

class CountingBar {
 public:
  // Listens from here on. silent_s: what takes less is not shown; line_s: seconds between two lines.
  explicit CountingBar(double silent_s = 1, double line_s = 30);
  ~CountingBar();  // no longer
  CountingBar(const CountingBar&) = delete;
  CountingBar& operator=(const CountingBar&) = delete;

 private:
  void show(const Counted& counted);

  std::unique_ptr<ProgressBar> bar_;
  double silent_s_, line_s_, next_line_s_;
};

}  // namespace vmae::run
