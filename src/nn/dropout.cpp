#include "vmae/nn/dropout.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>

#include <cmath>

namespace vmae::nn {

namespace {

constexpr int64_t k32Bits = 0xFFFFFFFF;

// Every bit of the 32 of each value depends on all others, in place: shifts, and products by odd numbers below 2^31.
at::Tensor& mix(at::Tensor& values) {
  for (const int64_t factor : {0x7feb352d, 0x45d9f3b, 0x2c1b3c6d}) {
    values.bitwise_xor_(values.bitwise_right_shift(16));
    values.mul_(factor).bitwise_and_(k32Bits);
  }
  return values.bitwise_xor_(values.bitwise_right_shift(15));
}

}  // namespace

at::Tensor dropout_mask(const at::Tensor& draws, int64_t count, double rate) {
  constexpr int64_t kAway = 0x9e3779b9;  // a mix of 0 is 0
  at::Tensor key = draws.mul(0x1.0p24).to(at::kLong).add_(kAway).bitwise_and_(k32Bits).view({-1, 1});
  at::Tensor place = at::arange(count, key.options()).view({1, -1});
  // mixed first, so that two samples' masks are not one mask shifted
  at::Tensor hash = mix(place).add(mix(key)).bitwise_and_(k32Bits);
  return mix(hash).ge_(std::llround(rate * 0x1.0p32)).to(at::kBool);
}

at::Tensor dropout(const at::Tensor& x, const at::Tensor& draws, double rate) {
  if (!draws.defined() || rate == 0.0) return x;
  const at::Tensor kept = dropout_mask(draws, x.numel() / x.size(0), rate).view(x.sizes());
  return x * kept.to(x.scalar_type()).mul_(1.0 / (1.0 - rate));
}

}  // namespace vmae::nn
