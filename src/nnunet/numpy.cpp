#include "vmae/nnunet/numpy.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace vmae::nnunet {

void RandomState::indices(uint64_t count, std::vector<uint32_t>& to) {
  const auto largest = static_cast<uint32_t>(count - 1);
  if (largest == 0) {  // nothing is drawn
    std::fill(to.begin(), to.end(), 0U);
    return;
  }
  const uint32_t mask = UINT32_MAX >> std::countl_zero(largest);
  for (uint32_t& index : to) {
    do {
      index = static_cast<uint32_t>(engine_()) & mask;
    } while (index > largest);
  }
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

int64_t round_half_even(double value) { return static_cast<int64_t>(std::nearbyint(value)); }

}  // namespace vmae::nnunet
