#include "vmae/nn/dropout.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>

#include <array>
#include <cmath>

namespace vmae::nn {

namespace {

constexpr int64_t k32Bits = 0xFFFFFFFF;
constexpr int64_t kAway = 0x9e3779b9;  // a mix of 0 is 0
constexpr std::array<uint32_t, 3> kFactors{0x7feb352d, 0x45d9f3b, 0x2c1b3c6d};

// Every bit of the 32 of each value depends on all others: shifts, and products by odd numbers below 2^31.
uint32_t mixed(uint32_t value) {
  for (const uint32_t factor : kFactors) {
    value ^= value >> 16;
    value *= factor;
  }
  return value ^ (value >> 15);
}

// The same of whole tensors, in place.
at::Tensor& mix(at::Tensor& values) {
  for (const int64_t factor : kFactors) {
    values.bitwise_xor_(values.bitwise_right_shift(16));
    values.mul_(factor).bitwise_and_(k32Bits);
  }
  return values.bitwise_xor_(values.bitwise_right_shift(15));
}

// The same in one pass over the places, instead of twenty over numbers of 64 bits.
at::Tensor mask_on_cpu(const at::Tensor& draws, int64_t count, double rate) {
  const at::Tensor uniform = draws.to(at::kFloat).contiguous();
  at::Tensor mask = at::empty({draws.numel(), count}, draws.options().dtype(at::kBool));
  const float* draw = uniform.const_data_ptr<float>();
  bool* kept = mask.mutable_data_ptr<bool>();
  const int64_t least = std::llround(rate * 0x1.0p32);
  constexpr int64_t kAtOnce = 1 << 16;
  for (int64_t sample = 0; sample < draws.numel(); ++sample) {
    const uint32_t key = mixed(static_cast<uint32_t>(static_cast<int64_t>(draw[sample] * 0x1.0p24F) + kAway));
    bool* row = kept + sample * count;
    at::parallel_for(0, count, kAtOnce, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) row[i] = mixed(mixed(static_cast<uint32_t>(i)) + key) >= least;
    });
  }
  return mask;
}

}  // namespace

at::Tensor dropout_mask(const at::Tensor& draws, int64_t count, double rate) {
  if (draws.is_cpu()) return mask_on_cpu(draws, count, rate);
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
