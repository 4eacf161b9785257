#pragma once
// Order and ties, which all rank statistics begin with.
#include <cstdint>
#include <span>
#include <vector>

namespace vmae::stats {

// Indices from the smallest value to the largest, and where each
// group of equal values ends in that order. No value is NaN.
struct Ties {
  std::vector<uint32_t> order;
  std::vector<size_t> ends;

  // f(members): the indices of one group, in ascending order of values.
  template <class F>
  void for_each_group(const F& f) const {
    size_t begin = 0;
    for (const size_t end : ends) {
      f(std::span<const uint32_t>(order).subspan(begin, end - begin));
      begin = end;
    }
  }
};

Ties find_ties(std::span<const double> values);

// Throws Error(data) if the numbers differ, a score is not finite, or a label is neither 0 nor 1.
void require_scores(std::span<const double> scores, std::span<const uint8_t> labels);

}  // namespace vmae::stats
