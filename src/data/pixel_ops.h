#pragma once
// Plain loops over pixels, apart from everything else so that they are compiled with -O3 (CMakeLists.txt).
#include <cstdint>

#include "vmae/data/intensity.h"

namespace vmae::data {

// to[i] = table[from[i * stride]], or from the last to the first if `reversed`.
void look_up(const uint8_t* from, int64_t n, int64_t stride, bool reversed, const float* table, float* to);

// to[i] = clamp(from[i * stride] * factor + offset, low, high)
struct LinearMap {
  float factor, offset, low, high;
};
void map_linear(const uint16_t* from, int64_t n, int64_t stride, const LinearMap& map, float* to);
void map_linear(const int16_t* from, int64_t n, int64_t stride, const LinearMap& map, float* to);

// to[i] = (from[i] - mean) * scale; `to` may be `from`.
void normalise(const float* from, int64_t n, float mean, float scale, float* to);

struct Extremes {
  float low, high;
};
Extremes extremes_of(const float* values, int64_t n);  // n >= 1
double mean_of(const float* values, int64_t n);

}  // namespace vmae::data
