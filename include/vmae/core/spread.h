#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace vmae {

// Up to `most` of 0 ... count-1, evenly spread: the middle of each of `most` equal parts.
inline std::vector<int64_t> evenly_spread(int64_t count, int64_t most) {
  std::vector<int64_t> chosen;
  const int64_t n = std::min(count, most);
  for (int64_t i = 0; i < n; ++i) chosen.push_back((2 * i + 1) * count / (2 * n));
  return chosen;
}

}  // namespace vmae
