#pragma once
// fp32, bf16 and fp16: what `auto` means on a device, autocast as a scope, and the loss scale that fp16 needs.
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace vmae::train {

enum class Precision { fp32, bf16, fp16 };

// auto: bf16 on a GPU that has it and on CPUs with AVX512_BF16 or
// AMX, else fp32 (bf16 on an AVX2-only CPU is slower than fp32).
Precision resolve_precision(const std::string& name, at::Device device);
const char* to_string(Precision precision);

// Autocast while in scope; its cache of cast weights is cleared at the end, before the optimizer changes them.
class Autocast {
 public:
  Autocast(at::DeviceType device, Precision precision);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  at::DeviceType device_;
  bool active_, enabled_before_ = false;
  at::ScalarType type_before_ = at::kFloat;
};

// Dynamic loss scaling (Micikevicius et al. 2018) for fp16; with fp32 and bf16 the scale is 1 and nothing happens.
// Doubles after 2000 good steps, halves and skips the step after a gradient that overflowed.
class LossScale {
 public:
  LossScale(Precision precision, at::Device device);
  at::Tensor scale(const at::Tensor& loss) const;
  void unscale(const std::vector<at::Tensor>& gradients) const;  // divides them by the scale
  // once after every step: 1 if it was skipped, else 0; a scalar on the device
  void update(const at::Tensor& skipped);
  bool active() const { return active_; }
  at::Tensor tensor(at::Device device) const;  // the scale, as a scalar on the device

  double value() const;
  int64_t good_steps() const;
  void restore(double value, int64_t good_steps);

 private:
  bool active_;
  at::Tensor scale_, good_steps_;
};

}  // namespace vmae::train
