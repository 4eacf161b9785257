#pragma once
// A few functions exactly as NumPy computes them, bit for bit: nnU-Net's fingerprints and plans are made with these.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace vmae::nnunet {

// numpy.random.RandomState(seed).
class RandomState {
 public:
  explicit RandomState(uint32_t seed) : engine_(seed) {}

  // take(index) for each of randint(0, count, n), which choice(..., replace=True) takes its indices from: bits above
  // the highest one of count - 1 are cut off, and what is still too large is drawn again. count: 1 to 2^32.
  template <class Take>
  void draw_indices(uint64_t count, size_t n, const Take& take) {
    const auto largest = static_cast<uint32_t>(count - 1);
    for (size_t i = 0; i < n; ++i) take(up_to(largest));
  }

  // choice(count, n, replace=False): the first n of all indices shuffled.
  std::vector<uint32_t> draw_different(uint32_t count, size_t n);

 private:
  uint32_t up_to(uint32_t largest) {
    if (largest == 0) return 0;  // nothing is drawn
    const uint32_t mask = UINT32_MAX >> std::countl_zero(largest);
    uint32_t number = 0;
    do {
      number = static_cast<uint32_t>(engine_()) & mask;
    } while (number > largest);
    return number;
  }

  std::mt19937 engine_;
};

// numpy.sum of n numbers at(0), at(1), ...: eight sums side by side in blocks of up to 128, halves added.
template <class T, class At>
T pairwise_sum(const At& at, size_t begin, size_t n) {
  constexpr size_t kLanes = 8, kBlock = 128;
  if (n < kLanes) {
    T sum = 0;
    for (size_t i = 0; i < n; ++i) sum += at(begin + i);
    return sum;
  }
  if (n <= kBlock) {
    T lanes[kLanes];
    for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] = at(begin + lane);
    const size_t whole = n - n % kLanes;
    for (size_t i = kLanes; i < whole; i += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += at(begin + i + lane);
    }
    T sum = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
    for (size_t i = whole; i < n; ++i) sum += at(begin + i);
    return sum;
  }
  const size_t half = n / 2 - n / 2 % kLanes;
  const T first = pairwise_sum<T>(at, begin, half);
  return first + pairwise_sum<T>(at, begin + half, n - half);
}

// numpy.percentile between neighbours a <= b, at the share `t` of the way from one to the other.
template <class T>
double interpolate(T a, T b, double t) {
  const T difference = b - a;
  return t < 0.5 ? a + difference * t : b - difference * (1 - t);
}

double percentile(std::vector<double> values, double percent);  // of at least one value
double median(std::vector<double> values);                      // of at least one value

// round() of Python: half to even. Beyond 2^62, where it would not fit, 2^62; of NaN -2^62.
int64_t round_half_even(double value);

}  // namespace vmae::nnunet
