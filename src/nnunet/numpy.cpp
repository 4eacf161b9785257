#include "vmae/nnunet/numpy.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace vmae::nnunet {

std::vector<uint32_t> RandomState::draw_different(uint32_t count, size_t n) {
  std::vector<uint32_t> indices(count);
  std::iota(indices.begin(), indices.end(), 0U);
  for (uint32_t last = count; last-- > 1;) std::swap(indices[last], indices[up_to(last)]);
  indices.resize(n);
  indices.shrink_to_fit();
  return indices;
}

double percentile(std::vector<double> values, double percent) {
  std::sort(values.begin(), values.end());
  const double place = static_cast<double>(values.size() - 1) * (percent / 100);
  const auto below = static_cast<size_t>(std::floor(place));
  const size_t above = std::min(below + 1, values.size() - 1);
  return interpolate(values[below], values[above], place - static_cast<double>(below));
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

int64_t round_half_even(double value) {
  constexpr int64_t kLimit = int64_t{1} << 62;
  if (value >= static_cast<double>(kLimit)) return kLimit;
  return value > -static_cast<double>(kLimit) ? static_cast<int64_t>(std::nearbyint(value)) : -kLimit;
}

}  // namespace vmae::nnunet
