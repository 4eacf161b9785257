// Written so that the compiler can use vector instructions: no calls, no aliases, sums and extremes in lanes. Without
// fused multiply-add, so results do not depend on the processor.
#include "augment_values.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>

#include "vmae/core/random.h"
#include "vmae/nnunet/numpy.h"

namespace vmae::nnunet {
namespace {

// Numbers side by side, with the operators that compilers have for them: of minima and maxima in plain loops GCC 12
// makes no vector instructions.
using FourFloats = float __attribute__((vector_size(4 * sizeof(float))));
using TwoDoubles = double __attribute__((vector_size(2 * sizeof(double))));

struct Statistics {
  double mean, std;
  float low, high;
};

Statistics statistics_of(const float* values, int64_t n) {
  FourFloats low = FourFloats{} + values[0], high = low;
  TwoDoubles sums[2]{}, squares[2]{};
  const int64_t whole = n - n % 4;
  for (int64_t i = 0; i < whole; i += 4) {
    FourFloats four;
    std::memcpy(&four, values + i, sizeof four);
    low = four < low ? four : low;
    high = four > high ? four : high;
    const TwoDoubles first{four[0], four[1]}, second{four[2], four[3]};
    sums[0] += first;
    sums[1] += second;
    squares[0] += first * first;
    squares[1] += second * second;
  }
  double sum = sums[0][0] + sums[0][1] + sums[1][0] + sums[1][1];
  double square = squares[0][0] + squares[0][1] + squares[1][0] + squares[1][1];
  float least = std::min({low[0], low[1], low[2], low[3]}), most = std::max({high[0], high[1], high[2], high[3]});
  for (int64_t i = whole; i < n; ++i) {
    const double value = values[i];
    sum += value;
    square += value * value;
    least = std::min(least, values[i]);
    most = std::max(most, values[i]);
  }
  const auto count = static_cast<double>(n);
  const double mean = sum / count;
  return {mean, std::sqrt(std::max(0.0, square - sum * mean) / count), least, most};
}

// Of normal numbers from 2^-126, and -127 of 0; to within 1e-7 times the result or 1.
inline float log2_of(float value) {
  constexpr uint32_t kMantissaBits = 23;
  constexpr auto kRootOfHalf = std::bit_cast<uint32_t>(static_cast<float>(std::numbers::sqrt2 / 2));
  // value = 2^whole * rest, with rest from sqrt(1/2) to sqrt(2)
  const auto bits = std::bit_cast<uint32_t>(value);
  const int32_t whole = static_cast<int32_t>(bits - kRootOfHalf) >> kMantissaBits;
  const float rest = std::bit_cast<float>(bits - (static_cast<uint32_t>(whole) << kMantissaBits));
  // ln(rest) = 2 artanh((rest - 1) / (rest + 1))
  const float t = (rest - 1) / (rest + 1), t2 = t * t;
  const float artanh = t * (1 + t2 * (1.0F / 3 + t2 * (1.0F / 5 + t2 * (1.0F / 7 + t2 * (1.0F / 9)))));
  return static_cast<float>(whole) + static_cast<float>(2 * std::numbers::log2e) * artanh;
}

// share^exponent, for shares from 0 to 1, to within 1e-6.
inline float power(float share, float exponent) {
  constexpr int32_t kMantissaBits = 23, kBias = 127;
  constexpr float kSmallest = 1 - kBias;
  const float product = exponent * log2_of(share), log2 = product > kSmallest ? product : kSmallest;
  const auto whole = static_cast<int32_t>(log2 - 0.5F);  // the nearest to log2, which isn't above 0
  const float x = (log2 - static_cast<float>(whole)) * static_cast<float>(std::numbers::ln2);
  const float e_to_x =
      1 + x * (1 + x * (1.0F / 2 + x * (1.0F / 6 + x * (1.0F / 24 + x * (1.0F / 120 + x * (1.0F / 720))))));
  return e_to_x * std::bit_cast<float>((whole + kBias) << kMantissaBits);
}

// Of angles from 0 to a right angle, to within 1e-7.
inline float cosine(float x) {
  const float x2 = x * x;
  return 1 - x2 * (1.0F / 2 - x2 * (1.0F / 24 - x2 * (1.0F / 720 - x2 * (1.0F / 40320 - x2 * (1.0F / 3628800)))));
}
inline float sine(float x) {
  const float x2 = x * x;
  return x *
         (1 - x2 * (1.0F / 6 - x2 * (1.0F / 120 - x2 * (1.0F / 5040 - x2 * (1.0F / 362880 - x2 * (1.0F / 39916800))))));
}

// Of `to` pixels the i-th among `from`, whose edges coincide.
float place_among(int64_t from, int64_t to, int64_t i) {
  const float scale = static_cast<float>(from) / static_cast<float>(to);
  return std::max(0.0F, scale * (static_cast<float>(i) + 0.5F) - 0.5F);
}

int64_t nearest_among(int64_t from, int64_t to, int64_t i) {
  return std::min(static_cast<int64_t>(std::floor(place_among(from, to, i) + 0.5F)), from - 1);
}

BetweenPixels between_pixels(int64_t from, int64_t to, int64_t i) {
  const float place = place_among(from, to, i);
  const int64_t index = std::min(static_cast<int64_t>(place), from - 1);
  return {index, std::min(index + 1, from - 1), place - static_cast<float>(index)};
}

int64_t reflected(int64_t i, int64_t size) {
  if (size == 1) return 0;
  while (i < 0 || i >= size) i = i < 0 ? -i : 2 * (size - 1) - i;
  return i;
}

constexpr int kMostReach = 3;

// Weights of the middle and of the pixels up to `reach` away from it.
struct Kernel {
  int reach;
  float weights[kMostReach + 1] = {};
  explicit Kernel(double std) {
    constexpr double kWidthInStds = 6;
    const double width = kWidthInStds * std + 0.5;
    int64_t taps = round_half_even(width);
    if (taps % 2 == 0) taps += width >= static_cast<double>(taps) ? 1 : -1;
    reach = std::min(static_cast<int>(taps / 2), kMostReach);
    double gauss[kMostReach + 1], sum = 0;
    for (int i = 0; i <= reach; ++i) {
      gauss[i] = std::exp(-0.5 * (i / std) * (i / std));
      sum += i == 0 ? gauss[i] : 2 * gauss[i];
    }
    for (int i = 0; i <= reach; ++i) weights[i] = static_cast<float>(gauss[i] / sum);
  }
};

// to[i] = middle[i] times the kernel's middle weight, plus its neighbours: before[k][i] and behind[k][i] are k + 1
// away.
template <int kReach>
void convolve(const float* middle, const float* const* before, const float* const* behind, int64_t n,
              const Kernel& kernel, float* __restrict to) {
  for (int64_t i = 0; i < n; ++i) {
    float sum = kernel.weights[0] * middle[i];
    for (int k = 0; k < kReach; ++k) sum += kernel.weights[k + 1] * (before[k][i] + behind[k][i]);
    to[i] = sum;
  }
}

void convolve(const float* middle, const float* const* before, const float* const* behind, int64_t n,
              const Kernel& kernel, float* to) {
  switch (kernel.reach) {
    case 0:
      return convolve<0>(middle, before, behind, n, kernel, to);
    case 1:
      return convolve<1>(middle, before, behind, n, kernel, to);
    case 2:
      return convolve<2>(middle, before, behind, n, kernel, to);
    default:
      return convolve<kMostReach>(middle, before, behind, n, kernel, to);
  }
}

}  // namespace

void add_noise(float* values, int64_t n, double std, uint64_t seed) {
  constexpr int64_t kPairs = 128;  // at once
  constexpr uint32_t kShareMask = (1U << 24) - 1, kSign = 1U << 31;
  const auto variance = static_cast<float>(std * std);
  constexpr auto kStep = static_cast<float>(std::numbers::pi / 2 * 0x1.0p-24);
  constexpr auto kMinusTwoLn2 = static_cast<float>(-2 * std::numbers::ln2);
  Random random(seed);
  uint32_t high[kPairs], low[kPairs];
  float noise[2 * kPairs];
  for (int64_t begin = 0; begin < n; begin += 2 * kPairs) {
    for (int64_t i = 0; i < kPairs; ++i) {
      const uint64_t bits = random.bits();
      high[i] = static_cast<uint32_t>(bits >> 40);
      low[i] = static_cast<uint32_t>(bits);
    }
    for (int64_t i = 0; i < kPairs; ++i) {
      const float share = static_cast<float>(static_cast<int32_t>(high[i] + 1)) * 0x1.0p-24F;
      const float angle = static_cast<float>(static_cast<int32_t>(low[i] & kShareMask)) * kStep;
      const float square = kMinusTwoLn2 * log2_of(share);
      const float radius = std::sqrt(variance * (square > 0 ? square : 0));
      const float across = radius * cosine(angle), up = radius * sine(angle);
      noise[2 * i] = std::bit_cast<float>(std::bit_cast<uint32_t>(across) ^ (low[i] & kSign));
      noise[2 * i + 1] = std::bit_cast<float>(std::bit_cast<uint32_t>(up) ^ (low[i] << 1 & kSign));
    }
    const int64_t count = std::min(2 * kPairs, n - begin);
    for (int64_t i = 0; i < count; ++i) values[begin + i] += noise[i];
  }
}

void blur(float* plane, const std::array<int64_t, 2>& size, const std::array<double, 2>& std, ValueBuffers& buffers) {
  const Kernel down(std[0]), across(std[1]);
  const auto [height, width] = size;
  buffers.plane.assign(plane, plane + height * width);
  buffers.row.resize(static_cast<size_t>(width + int64_t{2} * kMostReach));
  const float* from = buffers.plane.data();
  float* row = buffers.row.data() + kMostReach;
  const float *before[kMostReach], *behind[kMostReach];
  for (int64_t r = 0; r < height; ++r) {
    for (int k = 0; k < kMostReach; ++k) {
      before[k] = from + reflected(r - k - 1, height) * width;
      behind[k] = from + reflected(r + k + 1, height) * width;
    }
    convolve(from + r * width, before, behind, width, down, row);
    for (int k = 0; k < kMostReach; ++k) {
      row[-k - 1] = row[reflected(-k - 1, width)];
      row[width + k] = row[reflected(width + k, width)];
      before[k] = row - k - 1;
      behind[k] = row + k + 1;
    }
    convolve(row, before, behind, width, across, plane + r * width);
  }
}

void multiply(float* values, int64_t n, double factor) {
  const auto by = static_cast<float>(factor);
  for (int64_t i = 0; i < n; ++i) values[i] *= by;
}

void change_contrast(float* values, int64_t n, double factor) {
  const Statistics statistics = statistics_of(values, n);
  const auto mean = static_cast<float>(statistics.mean), by = static_cast<float>(factor);
  const float low = statistics.low, high = statistics.high;
  for (int64_t i = 0; i < n; ++i) {
    float value = (values[i] - mean) * by + mean;
    value = value < low ? low : value;
    values[i] = value > high ? high : value;
  }
}

void lower_resolution(float* plane, const std::array<int64_t, 2>& size, double scale, ValueBuffers& buffers) {
  const auto [height, width] = size;
  const auto smaller = [&](int64_t n) {
    return std::max<int64_t>(1, round_half_even(static_cast<double>(n) * static_cast<float>(scale)));
  };
  const int64_t low_height = smaller(height), low_width = smaller(width);
  buffers.plane.resize(static_cast<size_t>(low_height * width));
  float* low = buffers.plane.data();  // few rows, each as wide as those of the plane again
  buffers.columns.clear();
  for (int64_t i = 0; i < width; ++i) {
    const BetweenPixels place = between_pixels(low_width, width, i);
    buffers.columns.push_back(
        {nearest_among(width, low_width, place.index), nearest_among(width, low_width, place.next), place.weight});
  }
  for (int64_t r = 0; r < low_height; ++r) {
    const float* from = plane + nearest_among(height, low_height, r) * width;
    float* to = low + r * width;
    const BetweenPixels* columns = buffers.columns.data();
    for (int64_t i = 0; i < width; ++i) {
      const auto& [index, next, weight] = columns[i];
      to[i] = from[index] + weight * (from[next] - from[index]);
    }
  }
  for (int64_t r = 0; r < height; ++r) {
    const BetweenPixels rows = between_pixels(low_height, height, r);
    const float *top = low + rows.index * width, *bottom = low + rows.next * width;
    float* to = plane + r * width;
    for (int64_t i = 0; i < width; ++i) to[i] = top[i] + rows.weight * (bottom[i] - top[i]);
  }
}

void change_gamma(float* values, int64_t n, double exponent, bool inverted) {
  constexpr double kSmallestRange = 1e-7, kSmallestStd = 1e-7;
  const Statistics before = statistics_of(values, n);
  const double range = static_cast<double>(before.high) - before.low;
  const auto per_range = static_cast<float>(1 / std::max(range, kSmallestRange));
  const float origin = inverted ? before.high : before.low, to_power = static_cast<float>(exponent);
  for (int64_t i = 0; i < n; ++i) values[i] = power(std::abs(values[i] - origin) * per_range, to_power);
  const Statistics after = statistics_of(values, n);
  const double stretch = range * before.std / std::max(range * after.std, kSmallestStd);
  const auto factor = static_cast<float>(inverted ? -stretch : stretch), mean_after = static_cast<float>(after.mean),
             mean = static_cast<float>(before.mean);
  for (int64_t i = 0; i < n; ++i) values[i] = (values[i] - mean_after) * factor + mean;
}

}  // namespace vmae::nnunet
