#pragma once
#include <algorithm>
#include <cstddef>
#include <span>

namespace vmae::stats {

// Of values that are sorted and not empty, as numpy's default: linear between order statistics. share in [0, 1].
inline double quantile(std::span<const double> sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = std::min(sorted.size() - 1, static_cast<size_t>(place)),
             above = std::min(sorted.size() - 1, below + 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace vmae::stats
