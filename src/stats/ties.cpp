#include "ties.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "vmae/core/error.h"

namespace vmae::stats {

Ties find_ties(std::span<const double> values) {
  if (values.size() > std::numeric_limits<uint32_t>::max()) throw Error(ExitCode::data, concat(values.size(), " values are more than statistics are made for"));
  struct Item {
    double value;
    uint32_t index;
  };
  std::vector<Item> items(values.size());  // sorted with their values: faster than by index
  for (size_t i = 0; i < items.size(); ++i) items[i] = {values[i], static_cast<uint32_t>(i)};
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.value != b.value ? a.value < b.value : a.index < b.index; });
  Ties ties;
  ties.order.reserve(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    ties.order.push_back(items[i].index);
    if (i + 1 == items.size() || items[i].value != items[i + 1].value) ties.ends.push_back(i + 1);
  }
  return ties;
}

void require_scores(std::span<const double> scores, std::span<const uint8_t> labels) {
  if (scores.size() != labels.size()) throw Error(ExitCode::data, concat(scores.size(), " scores, but ", labels.size(), " labels"));
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!std::isfinite(scores[i])) throw Error(ExitCode::data, concat("score ", i, " is ", scores[i], ": scores must be finite"));
    if (labels[i] > 1) throw Error(ExitCode::data, concat("label ", i, " is ", int{labels[i]}, ": labels are 0 or 1"));
  }
}

}  // namespace vmae::stats
