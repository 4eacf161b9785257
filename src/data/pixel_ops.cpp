// Written so that the compiler can use vector instructions: no calls, no aliases, sums and
// extremes in eight lanes. Without fused multiply-add, so results do not depend on the processor.
#include "pixel_ops.h"

#include <algorithm>

namespace vmae::data {
namespace {

constexpr int64_t kLanes = 8;

template <class T>
void map_values(const T* __restrict from, int64_t n, int64_t stride, const LinearMap& map, float* __restrict to) {
  const LinearMap m = map;
  const auto apply = [m](T stored) {
    float value = static_cast<float>(stored) * m.factor + m.offset;
    value = value < m.low ? m.low : value;
    return value > m.high ? m.high : value;
  };
  if (stride == 1) {
    for (int64_t i = 0; i < n; ++i) to[i] = apply(from[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = apply(from[i * stride]);
  }
}

}  // namespace

void look_up(const uint8_t* __restrict from, int64_t n, int64_t stride, bool reversed, const float* __restrict table,
             float* __restrict to) {
  if (reversed) {
    const uint8_t* last = from + (n - 1) * stride;
    for (int64_t i = 0; i < n; ++i) to[i] = table[last[-i * stride]];
  } else if (stride == 1) {
    for (int64_t i = 0; i < n; ++i) to[i] = table[from[i]];
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = table[from[i * stride]];
  }
}

void map_linear(const uint16_t* from, int64_t n, int64_t stride, const LinearMap& map, float* to) {
  map_values(from, n, stride, map, to);
}
void map_linear(const int16_t* from, int64_t n, int64_t stride, const LinearMap& map, float* to) {
  map_values(from, n, stride, map, to);
}

void normalise(const float* from, int64_t n, float mean, float scale, float* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = (from[i] - mean) * scale;
}

Extremes extremes_of(const float* values, int64_t n) {
  float low[kLanes], high[kLanes];
  for (int64_t lane = 0; lane < kLanes; ++lane) low[lane] = high[lane] = values[0];
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const float value = values[i + lane];
      low[lane] = value < low[lane] ? value : low[lane];
      high[lane] = value > high[lane] ? value : high[lane];
    }
  }
  for (; i < n; ++i) {
    low[0] = std::min(low[0], values[i]);
    high[0] = std::max(high[0], values[i]);
  }
  return {*std::min_element(low, low + kLanes), *std::max_element(high, high + kLanes)};
}

double mean_of(const float* values, int64_t n) {
  double sum[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) sum[lane] += static_cast<double>(values[i + lane]);
  }
  for (; i < n; ++i) sum[0] += static_cast<double>(values[i]);
  double total = 0;
  for (const double part : sum) total += part;
  return total / static_cast<double>(n);
}

}  // namespace vmae::data
