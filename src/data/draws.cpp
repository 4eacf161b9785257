#include "vmae/data/draws.h"

#include <ATen/ops/empty.h>

namespace vmae::data {

at::Tensor uniform_draws(const std::vector<uint64_t>& seeds, Stream stream, int64_t count) {
  at::Tensor draws = at::empty({static_cast<int64_t>(seeds.size()), count}, at::kFloat);
  float* out = draws.mutable_data_ptr<float>();
  for (const uint64_t seed : seeds) {
    Random random(derive_seed(seed, stream));
    // 24 bits: exact in float, below 1
    for (int64_t i = 0; i < count; ++i) *out++ = static_cast<float>(random.bits() >> 40) * 0x1.0p-24F;
  }
  return draws;
}

}  // namespace vmae::data
