#include "vmae/train/precision.h"

#include <ATen/autocast_mode.h>
#include <ATen/ops/_amp_update_scale.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include "vmae/core/error.h"
#include "vmae/core/machine.h"
#include "vmae/train/device.h"

namespace vmae::train {

Precision resolve_precision(const std::string& name, at::Device device) {
  if (name == "fp32") return Precision::fp32;
  if (name == "bf16") return Precision::bf16;
  if (name == "fp16") return Precision::fp16;
  if (device.is_cuda()) return cuda_has_bf16(device) ? Precision::bf16 : Precision::fp16;
  const InstructionSets cpu = instruction_sets();
  return cpu.avx512_bf16 || cpu.amx_bf16 ? Precision::bf16 : Precision::fp32;
}

const char* to_string(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return "fp32";
    case Precision::bf16:
      return "bf16";
    case Precision::fp16:
      return "fp16";
  }
  return "";
}

Autocast::Autocast(at::DeviceType device, Precision precision)
    : device_(device), active_(precision != Precision::fp32) {
  if (!active_) return;
  enabled_before_ = at::autocast::is_autocast_enabled(device_);
  type_before_ = at::autocast::get_autocast_dtype(device_);
  at::autocast::set_autocast_enabled(device_, true);
  at::autocast::set_autocast_dtype(device_, precision == Precision::bf16 ? at::kBFloat16 : at::kHalf);
  at::autocast::increment_nesting();
}

Autocast::~Autocast() {
  if (!active_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, enabled_before_);
  at::autocast::set_autocast_dtype(device_, type_before_);
}

namespace {
constexpr double kInitialScale = 65536.0, kGrowth = 2.0, kBackoff = 0.5;
constexpr int64_t kGrowthInterval = 2000;
}  // namespace

LossScale::LossScale(Precision precision, at::Device device) : active_(precision == Precision::fp16) {
  if (!active_) return;
  scale_ = at::full({1}, kInitialScale, at::TensorOptions(device).dtype(at::kFloat));
  good_steps_ = at::zeros({1}, at::TensorOptions(device).dtype(at::kInt));
}

at::Tensor LossScale::scale(const at::Tensor& loss) const { return active_ ? at::mul(loss, scale_).squeeze() : loss; }

void LossScale::unscale(const std::vector<at::Tensor>& gradients) const {
  if (active_) at::_foreach_mul_(gradients, scale_.squeeze().reciprocal());
}

void LossScale::update(const at::Tensor& skipped) {
  if (active_) at::_amp_update_scale_(scale_, good_steps_, skipped.view({1}), kGrowth, kBackoff, kGrowthInterval);
}

at::Tensor LossScale::tensor(at::Device device) const {
  return active_ ? scale_.squeeze() : at::ones({}, at::TensorOptions(device).dtype(at::kFloat));
}

double LossScale::value() const { return active_ ? scale_.item<double>() : 1.0; }
int64_t LossScale::good_steps() const { return active_ ? good_steps_.item<int64_t>() : 0; }

void LossScale::restore(double value, int64_t good_steps) {
  if (!active_) return;
  scale_.fill_(value);
  good_steps_.fill_(good_steps);
}

}  // namespace vmae::train
