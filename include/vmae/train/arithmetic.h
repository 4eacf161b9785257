#pragma once
// How much arithmetic a stretch of work is, to set its speed beside what the hardware could do.
#include <ATen/record_function.h>

#include <cstdint>

namespace vmae::train {

// FLOP of the matrix products and convolutions that LibTorch makes for this thread, also in its backward passes, from
// construction on: an addition and a multiplication each counted, by the shapes of what its operators are given. One
// counts at a time. Products that are called by name under autocast (at::bmm) would count twice; at::linear and
// at::matmul do not.
class ArithmeticCount {
 public:
  ArithmeticCount();
  ~ArithmeticCount();
  ArithmeticCount(const ArithmeticCount&) = delete;
  ArithmeticCount& operator=(const ArithmeticCount&) = delete;
  static int64_t flop();  // so far

 private:
  at::CallbackHandle callback_;
};

}  // namespace vmae::train
