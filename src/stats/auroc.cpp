#include "vmae/stats/auroc.h"

#include <algorithm>
#include <cmath>

#include "ties.h"

namespace vmae::stats {

double auroc(std::span<const double> scores, std::span<const uint8_t> labels) {
  if (std::any_of(scores.begin(), scores.end(), [](double score) { return std::isnan(score); })) return std::nan("");
  uint64_t positives = 0, negatives = 0, twice_wins = 0;
  find_ties(scores).for_each_group([&](std::span<const uint32_t> group) {
    uint64_t tied_positives = 0;
    for (const uint32_t i : group) tied_positives += labels[i];
    const uint64_t tied_negatives = group.size() - tied_positives;
    twice_wins += tied_positives * (2 * negatives + tied_negatives);
    positives += tied_positives;
    negatives += tied_negatives;
  });
  if (positives == 0 || negatives == 0) return std::nan("");
  return static_cast<double>(twice_wins) / (2 * static_cast<double>(positives) * static_cast<double>(negatives));
}

}  // namespace vmae::stats
