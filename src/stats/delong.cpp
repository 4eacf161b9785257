// The placement of a positive is the number of negatives it wins over, that of a
// negative the number of positives that win over it; doubled, with ties counting half,
// they are integers, so sums are exact and a variance is 0 only where there is none.
#include "vmae/stats/delong.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <vector>

#include "ties.h"
#include "vmae/core/error.h"

namespace vmae::stats {
namespace {

struct Placements {
  std::vector<double> positive, negative;  // doubled, in the order of the cases
};

Placements placements_of(std::span<const double> scores, std::span<const uint8_t> labels) {
  require_scores(scores, labels);
  std::vector<double> placement(scores.size());
  const auto all_positives = static_cast<size_t>(std::count(labels.begin(), labels.end(), 1));
  size_t positives = 0, negatives = 0;
  find_ties(scores).for_each_group([&](std::span<const uint32_t> group) {
    size_t tied_positives = 0;
    for (const uint32_t i : group) tied_positives += labels[i];
    const size_t tied_negatives = group.size() - tied_positives;
    const size_t beaten = 2 * negatives + tied_negatives, beaten_by = 2 * (all_positives - positives) - tied_positives;
    for (const uint32_t i : group) placement[i] = static_cast<double>(labels[i] == 1 ? beaten : beaten_by);
    positives += tied_positives;
    negatives += tied_negatives;
  });
  Placements placements;
  for (size_t i = 0; i < scores.size(); ++i)
    (labels[i] == 1 ? placements.positive : placements.negative).push_back(placement[i]);
  return placements;
}

struct Moments {
  double mean = 0, variance_of_mean = 0;
};

// Of placements (or of differences of them), each a share of `pairs` other cases.
Moments moments_of(const std::vector<double>& doubled, size_t pairs) {
  const auto n = static_cast<double>(doubled.size()), scale = 2 * static_cast<double>(pairs);
  double sum = 0, squares = 0;
  for (const double value : doubled) sum += value;
  for (const double value : doubled) squares += (value - sum / n) * (value - sum / n);
  return {sum / n / scale, squares / (n - 1) / n / (scale * scale)};
}

Auroc auroc_of(const Placements& placements) {
  const size_t positives = placements.positive.size(), negatives = placements.negative.size();
  Auroc result{std::nan(""), std::nan(""), static_cast<int64_t>(positives), static_cast<int64_t>(negatives)};
  if (positives == 0 || negatives == 0) {
    result.remark = concat("no ", positives == 0 ? "positive" : "negative", " case");
    return result;
  }
  const Moments positive = moments_of(placements.positive, negatives),
                negative = moments_of(placements.negative, positives);
  result.auc = positive.mean;
  if (positives == 1 || negatives == 1) {
    result.remark = concat("only one ", positives == 1 ? "positive" : "negative", " case: no variance");
    return result;
  }
  result.variance = positive.variance_of_mean + negative.variance_of_mean;
  if (result.variance == 0)
    result.remark = result.auc == 1 || result.auc == 0 ? "perfect separation: the variance is 0" : "the variance is 0";
  return result;
}

double quantile_of(double level) {
  if (!(level > 0 && level < 1)) throw Error(ExitCode::usage, concat("a level of ", level, " is not between 0 and 1"));
  return boost::math::quantile(boost::math::normal(), 0.5 + level / 2);
}

std::vector<double> minus(std::vector<double> a, const std::vector<double>& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}

}  // namespace

Auroc delong(std::span<const double> scores, std::span<const uint8_t> labels) {
  return auroc_of(placements_of(scores, labels));
}

Interval delong_interval(const Auroc& auroc, double level) {
  const double half = quantile_of(level) * std::sqrt(auroc.variance);
  if (std::isnan(half)) return {std::nan(""), std::nan(""), "DeLong", 0, auroc.remark};
  return {std::max(0.0, auroc.auc - half), std::min(1.0, auroc.auc + half), "DeLong", 0, auroc.remark};
}

AurocComparison delong_test(std::span<const double> scores_a, std::span<const double> scores_b,
                            std::span<const uint8_t> labels, double level) {
  const double quantile = quantile_of(level);
  const Placements a = placements_of(scores_a, labels), b = placements_of(scores_b, labels);
  const Auroc auroc_a = auroc_of(a), auroc_b = auroc_of(b),
              delta = auroc_of({minus(a.positive, b.positive), minus(a.negative, b.negative)});
  AurocComparison result{auroc_a.auc, auroc_b.auc, delta.auc, delta.variance};
  if (std::isnan(delta.variance)) {
    result.z = result.p = std::nan("");
    result.remark = delta.remark;
  } else if (delta.variance == 0) {
    const bool is_equal = delta.auc == 0;
    result.z = is_equal ? 0 : std::copysign(INFINITY, delta.auc);
    result.p = is_equal ? 1 : 0;
    result.remark = is_equal ? "both models rank every case alike" : "the difference has no variance";
  } else {
    result.z = delta.auc / std::sqrt(delta.variance);
    result.p = 2 * boost::math::cdf(boost::math::normal(), -std::abs(result.z));
  }
  const double half = quantile * std::sqrt(delta.variance);
  result.interval = {delta.auc - half, delta.auc + half, "DeLong", 0, result.remark};
  return result;
}

}  // namespace vmae::stats
