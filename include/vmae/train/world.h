#pragma once
// One process or many. Today one: every function below is then the identity. Data-parallel ranks (c10d) will implement the same calls, and the loop stays as it
// is.
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace vmae::train {

class World {
 public:
  int64_t rank() const { return 0; }
  int64_t size() const { return 1; }
  bool is_first() const { return rank() == 0; }

  // Backward of one micro-batch; `synchronise` on the last one of a step, where ranks add up their gradients.
  void backward(const at::Tensor& loss, [[maybe_unused]] bool synchronise) { loss.backward(); }
  double sum(double value) { return value; }  // over ranks
  bool any(bool value) { return value; }      // true on every rank if on one
};

}  // namespace vmae::train
