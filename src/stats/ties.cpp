#include "ties.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "vmae/core/error.h"

namespace vmae::stats {

namespace {

struct Item {
  uint64_t key;
  uint32_t index;
};

// Of numbers in the order of the values; 0 and -0 are one.
uint64_t key_of(double value) {
  const auto bits = std::bit_cast<uint64_t>(value + 0.0);
  return bits >> 63 != 0 ? ~bits : bits | uint64_t{1} << 63;
}

// By digits, the lowest first, keeping the order of equal ones: several
// times as fast as comparing. Digits that all keys share are skipped.
void sort_items(std::vector<Item>& items) {
  constexpr int kDigitBits = 11, kNumDigits = 6;
  constexpr size_t kNumValues = size_t{1} << kDigitBits;
  const auto digit = [](uint64_t key, int d) { return key >> (d * kDigitBits) & (kNumValues - 1); };
  std::vector<std::array<uint32_t, kNumValues>> begins(kNumDigits);
  for (const Item& item : items) {
    for (int d = 0; d < kNumDigits; ++d) ++begins[static_cast<size_t>(d)][digit(item.key, d)];
  }
  std::vector<Item> sorted(items.size());
  for (int d = 0; d < kNumDigits; ++d) {
    auto& begin = begins[static_cast<size_t>(d)];
    if (begin[digit(items[0].key, d)] == items.size()) continue;
    std::exclusive_scan(begin.begin(), begin.end(), begin.begin(), uint32_t{0});
    for (const Item& item : items) sorted[begin[digit(item.key, d)]++] = item;
    items.swap(sorted);
  }
}

}  // namespace

Ties find_ties(std::span<const double> values) {
  constexpr size_t kFew = 500;
  if (values.size() > std::numeric_limits<uint32_t>::max())
    throw Error(ExitCode::data, concat(values.size(), " values are more than statistics are made for"));
  std::vector<Item> items(values.size());
  for (size_t i = 0; i < items.size(); ++i) items[i] = {key_of(values[i]), static_cast<uint32_t>(i)};
  if (items.size() > kFew)
    sort_items(items);
  else
    std::sort(items.begin(), items.end(),
              [](const Item& a, const Item& b) { return a.key != b.key ? a.key < b.key : a.index < b.index; });
  Ties ties;
  ties.order.reserve(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    ties.order.push_back(items[i].index);
    if (i + 1 == items.size() || items[i].key != items[i + 1].key) ties.ends.push_back(i + 1);
  }
  return ties;
}

void require_scores(std::span<const double> scores, std::span<const uint8_t> labels) {
  if (scores.size() != labels.size())
    throw Error(ExitCode::data, concat(scores.size(), " scores, but ", labels.size(), " labels"));
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!std::isfinite(scores[i]))
      throw Error(ExitCode::data, concat("score ", i, " is ", scores[i], ": scores must be finite"));
    if (labels[i] > 1) throw Error(ExitCode::data, concat("label ", i, " is ", int{labels[i]}, ": labels are 0 or 1"));
  }
}

}  // namespace vmae::stats
