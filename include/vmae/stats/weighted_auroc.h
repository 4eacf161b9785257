#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace vmae::stats {

// The AUROC of cases that count several times or not at all, as in resamples: sorted once, then O(n) for every set of weights, without allocation. Wins are
// counted in integers, so the result is that of auroc() on the cases written out. It is fastest if the cases come in ascending order of their scores.
class WeightedAuroc {
 public:
  // scores: finite; labels: 0 or 1, as many. Throws Error(data).
  WeightedAuroc(std::span<const double> scores, std::span<const uint8_t> labels);
  // weights: one per case. NaN if a class has no weight. The sum of all weights is below 2^32. Several threads may call it at once.
  double operator()(std::span<const uint32_t> weights) const;

 private:
  std::vector<uint32_t> sweep_;      // 2 * case + label, ascending by score, of equal scores the negatives first
  std::vector<uint32_t> tied_;       // the same, of the groups of equal scores that hold both classes, one group after the other
  std::vector<size_t> tied_middle_;  // where the positives of each begin
  std::vector<size_t> tied_ends_;    // where each ends
};

}  // namespace vmae::stats
