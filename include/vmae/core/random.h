#pragma once
// Counter-based randomness: every random number of a run is a pure function of (seed, what it is for, epoch, index),
// so it does not depend on threads, on ranks, or on where a run was resumed.
#include <cstdint>

namespace vmae {

// SplitMix64's finaliser (Steele, Lea, Flood 2014): a bijection of 64 bits with good avalanche.
constexpr uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// One 64-bit key from several: derive_seed(run_seed, stream, epoch, index).
template <class... Rest>
constexpr uint64_t derive_seed(uint64_t first, Rest... rest) {
  uint64_t seed = mix64(first);
  ((seed = mix64(seed ^ static_cast<uint64_t>(rest))), ...);
  return seed;
}

// What a stream of random numbers is for; part of every key, so that streams never coincide.
enum class Stream : uint64_t {
  shuffle = 1,
  augment = 2,
  mask = 3,
  drop_path = 4,
  validation_mask = 5,
  split = 6,
  init = 7,
  mixture = 8,
  bootstrap = 9,
  second_view = 10,
  view_changes = 11
};

// A short sequence of random numbers from one key.
class Random {
 public:
  explicit Random(uint64_t key) : key_(key) {}
  uint64_t bits() { return mix64(key_ + 0x9e3779b97f4a7c15ULL * counter_++); }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1.0p-53; }  // [0, 1)
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  bool chance(double probability) { return uniform() < probability; }
  uint64_t below(uint64_t n) { return static_cast<uint64_t>((static_cast<Wide>(bits()) * n) >> 64); }  // [0, n)

 private:
  __extension__ using Wide = unsigned __int128;
  uint64_t key_;
  uint64_t counter_ = 0;
};

}  // namespace vmae
