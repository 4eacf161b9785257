// One sweep over the items from high scores to low, without a branch. With the positives
// of a group of equal scores first, every negative has lost to those before its group and
// half to those up to itself: twice that is their sum. Average precision needs a division
// where a group with positives ends; these places are gathered, and divided together.
#include "vmae/stats/ranking.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "ties.h"
#include "vmae/core/error.h"

namespace vmae::stats {
namespace {

// of a group: its first item; its last, if it has positives
constexpr uint32_t kPositiveBit = 1U << 31, kBeginsBit = 1U << 30, kClosesBit = 1U << 29;
constexpr uint32_t kCaseBits = kClosesBit - 1;

// all bits of a positive, none of a negative
uint64_t mask_of(uint32_t item) { return static_cast<uint64_t>(int64_t{static_cast<int32_t>(item)} >> 63); }

}  // namespace

Ranking::Ranking(std::span<const double> scores, std::span<const int8_t> labels,
                 std::span<const uint32_t> case_of_item) {
  if (scores.size() != labels.size())
    throw Error(ExitCode::data, concat(scores.size(), " scores, but ", labels.size(), " labels"));
  if (!case_of_item.empty() && case_of_item.size() != scores.size())
    throw Error(ExitCode::internal, concat(scores.size(), " scores, but ", case_of_item.size(), " cases"));
  std::vector<double> known;
  std::vector<uint32_t> marked;  // case and positive_bit of each
  for (size_t i = 0; i < scores.size(); ++i) {
    if (labels[i] < -1 || labels[i] > 1)
      throw Error(ExitCode::data, concat("label ", i, " is ", int{labels[i]}, ": labels are 0 or 1, or -1"));
    const size_t which = case_of_item.empty() ? i : case_of_item[i];
    if (which > kCaseBits) throw Error(ExitCode::data, concat(which, " cases are too many"));
    num_cases_ = std::max(num_cases_, which + 1);
    if (labels[i] < 0) continue;
    if (!std::isfinite(scores[i]))
      throw Error(ExitCode::data, concat("score ", i, " is ", scores[i], ": scores must be finite"));
    known.push_back(scores[i]);
    marked.push_back(static_cast<uint32_t>(which) | (labels[i] == 1 ? kPositiveBit : 0));
    num_positive_ += labels[i];
  }

  const Ties ties = find_ties(known);
  items_.reserve(known.size());
  group_scores_.reserve(ties.ends.size());
  for (size_t group = ties.ends.size(); group-- > 0;) {
    const size_t begin = items_.size(), first = group == 0 ? 0 : ties.ends[group - 1];
    const std::span<const uint32_t> members = std::span(ties.order).subspan(first, ties.ends[group] - first);
    for (const uint32_t bit : {kPositiveBit, uint32_t{0}}) {
      for (const uint32_t i : members) {
        if ((marked[i] & kPositiveBit) == bit) items_.push_back(marked[i]);
      }
    }
    const bool has_positives = (items_[begin] & kPositiveBit) != 0;
    items_[begin] |= kBeginsBit;
    if (has_positives) items_.back() |= kClosesBit;
    group_scores_.push_back(known[members[0]]);
  }
}

void Ranking::require(std::span<const uint32_t> weights) const {
  if (weights.size() < num_cases_)
    throw Error(ExitCode::internal, concat(weights.size(), " weights of ", num_cases_, " cases"));
}

template <bool has_auroc, bool has_average_precision>
Ranking::Values Ranking::sweep(std::span<const uint32_t> weights) const {
  require(weights);
  constexpr size_t kBlock = 512;
  struct Place {
    uint32_t positives, all;  // at or above
  };
  std::array<Place, has_average_precision ? kBlock : 1> places;
  std::array<uint32_t, kBlock> gathered;
  const uint32_t* const weight = weights.data();
  uint64_t all = 0, positives = 0, above = 0, twice_wins = 0;  // above: positives of higher scores
  double precisions = 0, counted = 0;
  for (size_t begin = 0; begin < items_.size(); begin += kBlock) {
    size_t num_places = 0;
    const std::span<const uint32_t> items = std::span(items_).subspan(begin, std::min(kBlock, items_.size() - begin));
    for (size_t k = 0; k < items.size(); ++k) gathered[k] = weight[items[k] & kCaseBits];
    for (size_t k = 0; k < items.size(); ++k) {
      const uint32_t item = items[k];
      const uint64_t w = gathered[k], w_positive = w & mask_of(item);
      if constexpr (has_auroc) above = (item & kBeginsBit) != 0 ? positives : above;
      positives += w_positive;
      all += w;
      if constexpr (has_auroc) twice_wins += (w - w_positive) * (above + positives);
      if constexpr (has_average_precision) {
        places[num_places] = {static_cast<uint32_t>(positives), static_cast<uint32_t>(all)};
        num_places += item / kClosesBit & 1;
      }
    }
    if constexpr (has_average_precision) {
      for (const Place& place : std::span(places).first(num_places)) {
        const auto p = static_cast<double>(place.positives);
        precisions += (p - counted) * p / std::max(static_cast<double>(place.all), 1.0);
        counted = p;
      }
    }
  }
  const auto p = static_cast<double>(positives), n = static_cast<double>(all - positives);
  return {p > 0 && n > 0 ? static_cast<double>(twice_wins) / (2 * p * n) : std::nan(""),
          p > 0 ? precisions / p : std::nan("")};
}

double Ranking::auroc(std::span<const uint32_t> weights) const { return sweep<true, false>(weights).auroc; }
double Ranking::average_precision(std::span<const uint32_t> weights) const {
  return sweep<false, true>(weights).average_precision;
}
Ranking::Values Ranking::values(std::span<const uint32_t> weights) const { return sweep<true, true>(weights); }

std::vector<Ranking::Step> Ranking::steps(std::span<const uint32_t> weights) const {
  require(weights);
  std::vector<Step> steps(group_scores_.size());
  size_t group = 0;
  uint64_t positives = 0, all = 0;
  for (const uint32_t item : items_) {
    group += item / kBeginsBit & 1;
    positives += weights[item & kCaseBits] & mask_of(item);
    all += weights[item & kCaseBits];
    steps[group - 1] = {group_scores_[group - 1], static_cast<double>(positives), static_cast<double>(all - positives)};
  }
  return steps;
}

}  // namespace vmae::stats
