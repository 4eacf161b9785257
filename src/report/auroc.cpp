#include "vmae/report/auroc.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace vmae {

double auroc(std::span<const double> scores, std::span<const uint8_t> labels) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] < scores[b]; });
  double rank_sum = 0, positives = 0;
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin;
    double tied_positives = 0;
    for (; end < order.size() && scores[order[end]] == scores[order[begin]]; ++end) tied_positives += labels[order[end]];
    rank_sum += tied_positives * (static_cast<double>(begin + end + 1) / 2);  // the mean of ranks begin + 1 to end
    positives += tied_positives;
    begin = end;
  }
  const double negatives = static_cast<double>(scores.size()) - positives;
  if (positives == 0 || negatives == 0) return std::nan("");
  return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives);
}

}  // namespace vmae
