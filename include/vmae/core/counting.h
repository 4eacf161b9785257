#pragma once
// Work on many files that may take minutes, told to whoever shows it: code that looks at files knows no progress bar.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "vmae/core/clock.h"

namespace vmae {

struct Counted {
  std::string what;  // "masks"
  int64_t done = 0, total = 0;
  double elapsed_s = 0;
  bool is_over = false;  // nothing more of this will come
};

class Counting {
 public:
  Counting(std::string what, int64_t total);
  ~Counting();  // tells that it is over
  Counting(const Counting&) = delete;
  Counting& operator=(const Counting&) = delete;
  void add(int64_t n = 1);  // any thread; tells at most ten times a second

 private:
  Counted counted() const;

  std::string what_;
  int64_t total_;
  std::atomic<int64_t> done_{0};
  std::atomic<Clock::rep> told_at_;
  Clock::time_point start_;
};

// Called by one thread at a time. Empty: nobody listens.
void set_counting_listener(std::function<void(const Counted&)> listener);

}  // namespace vmae
