// One sweep over the cases in ascending order, without a branch: a negative adds its weight to those passed, a positive wins over all passed. Within a group of
// equal scores the negatives come first, so that its positives have won over them too; half of these wins is taken back group by group.
#include "vmae/stats/weighted_auroc.h"

#include <cmath>

#include "ties.h"
#include "vmae/core/error.h"

namespace vmae::stats {

WeightedAuroc::WeightedAuroc(std::span<const double> scores, std::span<const uint8_t> labels) {
  require_scores(scores, labels);
  if (scores.size() >= uint64_t{1} << 31) throw Error(ExitCode::data, concat(scores.size(), " cases are too many"));
  sweep_.reserve(scores.size());
  find_ties(scores).for_each_group([&](std::span<const uint32_t> group) {
    const size_t begin = sweep_.size();
    for (const uint32_t i : group) {
      if (labels[i] == 0) sweep_.push_back(2 * i);
    }
    const size_t middle = sweep_.size();
    for (const uint32_t i : group) {
      if (labels[i] == 1) sweep_.push_back(2 * i + 1);
    }
    if (middle == begin || middle == sweep_.size()) return;
    tied_middle_.push_back(tied_.size() + middle - begin);
    tied_.insert(tied_.end(), sweep_.begin() + static_cast<std::ptrdiff_t>(begin), sweep_.end());
    tied_ends_.push_back(tied_.size());
  });
}

double WeightedAuroc::operator()(std::span<const uint32_t> weights) const {
  if (weights.size() != sweep_.size()) throw Error(ExitCode::internal, concat(weights.size(), " weights of ", sweep_.size(), " cases"));
  const uint32_t* const weight = weights.data();
  uint64_t all = 0, negatives = 0, wins = 0;
  for (const uint32_t entry : sweep_) {
    const uint64_t w = weight[entry >> 1], if_positive = -static_cast<uint64_t>(entry & 1);
    all += w;
    negatives += w & ~if_positive;
    wins += (w & if_positive) * negatives;
  }
  const uint64_t positives = all - negatives;
  if (positives == 0 || negatives == 0) return std::nan("");

  uint64_t ties = 0;
  size_t i = 0;
  for (size_t group = 0; group < tied_ends_.size(); ++group) {
    uint64_t tied_negatives = 0, tied_positives = 0;
    for (; i < tied_middle_[group]; ++i) tied_negatives += weight[tied_[i] >> 1];
    for (; i < tied_ends_[group]; ++i) tied_positives += weight[tied_[i] >> 1];
    ties += tied_negatives * tied_positives;
  }
  return static_cast<double>(2 * wins - ties) / (2 * static_cast<double>(positives) * static_cast<double>(negatives));
}

}  // namespace vmae::stats
