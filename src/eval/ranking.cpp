#include "vmae/eval/ranking.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace vmae::eval {

Ranking::Ranking(std::span<const double> scores, std::span<const int8_t> labels, std::span<const uint32_t> case_of_item) {
  std::vector<uint32_t> order;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (labels[i] >= 0) order.push_back(static_cast<uint32_t>(i));
  }
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return scores[a] != scores[b] ? scores[a] > scores[b] : a < b; });
  items_.reserve(order.size());
  for (size_t k = 0; k < order.size(); ++k) {
    const uint32_t i = order[k];
    const bool ends_tie = k + 1 == order.size() || scores[order[k + 1]] != scores[i];
    items_.push_back({case_of_item.empty() ? i : case_of_item[i], static_cast<uint8_t>(labels[i]), static_cast<uint8_t>(ends_tie)});
    scores_.push_back(scores[i]);
    num_positive_ += labels[i];
  }
}

Ranking::Values Ranking::values(std::span<const uint32_t> weights) const {
  // Whole numbers: exact. doubled_wins: twice the number of (positive, negative) pairs in which the positive is higher, ties counting half.
  uint64_t positives = 0, negatives = 0, tied_positives = 0, tied_negatives = 0, doubled_wins = 0;
  double precision_sum = 0;
  for (const Item& item : items_) {
    const uint64_t weight = weights[item.which];
    tied_positives += item.is_positive ? weight : 0;
    tied_negatives += item.is_positive ? 0 : weight;
    if (!item.ends_tie) continue;
    doubled_wins += tied_negatives * (2 * positives + tied_positives);
    positives += tied_positives;
    negatives += tied_negatives;
    if (tied_positives > 0) precision_sum += static_cast<double>(tied_positives) * static_cast<double>(positives) / static_cast<double>(positives + negatives);
    tied_positives = tied_negatives = 0;
  }
  const auto p = static_cast<double>(positives), n = static_cast<double>(negatives);
  return {p > 0 && n > 0 ? static_cast<double>(doubled_wins) / (2 * p * n) : std::nan(""), p > 0 ? precision_sum / p : std::nan("")};
}

std::vector<Ranking::Step> Ranking::steps(std::span<const uint32_t> weights) const {
  std::vector<Step> steps;
  double positives = 0, negatives = 0;
  for (size_t i = 0; i < items_.size(); ++i) {
    (items_[i].is_positive ? positives : negatives) += weights[items_[i].which];
    if (items_[i].ends_tie) steps.push_back({scores_[i], positives, negatives});
  }
  return steps;
}

}  // namespace vmae::eval
