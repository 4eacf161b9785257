#pragma once
// One line on a terminal (standard error) that says how far a run is; log lines appear above it.
//   epoch 3/20 [=======>             ]  37% loss 0.412  images/s 512  wait 1%  2 min 03 s, 3 min 29 s left
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "vmae/core/clock.h"

namespace vmae {

struct ProgressState {
  std::string label;                                        // "epoch 3/20"
  int64_t done = 0;                                         // of the whole run
  int64_t total = 0;                                        // 0: unknown
  std::vector<std::pair<std::string, std::string>> fields;  // name, text
};

bool stderr_is_terminal();

// The line, at most `columns` wide. `started_at`: what was done when
// the clock started, so that a resumed run's time left is right.
std::string progress_line(const ProgressState& state, int64_t started_at, double elapsed_s, int columns);

// At most one enabled bar at a time; any thread may log meanwhile. Not enabled: every call does nothing.
class ProgressBar {
 public:
  explicit ProgressBar(bool enabled);
  ~ProgressBar();  // finish()
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(const ProgressState& state);  // draws at most 10 times a second, and always when all is done
  void clear();                             // takes the line away until the next update
  void finish();                            // draws the last state and leaves it there; the bar is then off

 private:
  void draw();

  bool enabled_;
  std::mutex mutex_;
  ProgressState state_;
  int64_t started_at_ = -1;
  bool is_visible_ = false;
  Clock::time_point start_, last_draw_;
};

}  // namespace vmae
