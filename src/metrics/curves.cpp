#include "vmae/metrics/curves.h"

#include <algorithm>
#include <cmath>

#include "vmae/stats/ranking.h"

namespace vmae::metrics {

namespace {

using stats::Ranking;

constexpr size_t kNumGrid = 101;
double grid_at(size_t i) { return static_cast<double>(i) / (kNumGrid - 1); }

// Sensitivity at every false positive rate of the grid: the curve's
// highest point at or left of it, joined by straight lines.
void roc_on_grid(const std::vector<Ranking::Step>& steps, std::span<double> out) {
  std::fill(out.begin(), out.end(), std::nan(""));
  if (steps.empty() || steps.back().true_positives == 0 || steps.back().false_positives == 0) return;
  const double positives = steps.back().true_positives, negatives = steps.back().false_positives;
  size_t at = 0;
  double ahead = -1;  // counts of cases up to here are not beyond grid_at(at), however that is rounded
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].false_positives < ahead) continue;
    const Ranking::Step before = i > 0 ? steps[i - 1] : Ranking::Step{};
    const double x0 = before.false_positives / negatives, y0 = before.true_positives / positives;
    const double x1 = steps[i].false_positives / negatives, y1 = steps[i].true_positives / positives;
    for (; at < kNumGrid && grid_at(at) < x1; ++at) out[at] = y0 + (y1 - y0) * (grid_at(at) - x0) / (x1 - x0);
    ahead = grid_at(at) * negatives - 0.5;
  }
  for (; at < kNumGrid; ++at) out[at] = 1;
}

// Precision at every recall of the grid: that of the first threshold which reaches it (the steps of average precision).
void precision_on_grid(const std::vector<Ranking::Step>& steps, std::span<double> out) {
  std::fill(out.begin(), out.end(), std::nan(""));
  if (steps.empty() || steps.back().true_positives == 0) return;
  const double positives = steps.back().true_positives;
  size_t at = 0;
  double ahead = -1;
  for (const Ranking::Step& step : steps) {
    if (step.true_positives < ahead || step.true_positives + step.false_positives == 0) continue;
    for (; at < kNumGrid && grid_at(at) <= step.true_positives / positives; ++at)
      out[at] = step.true_positives / (step.true_positives + step.false_positives);
    ahead = grid_at(at) * positives - 0.5;
  }
}

}  // namespace

Curves curves_of(const ClassificationStudy& study, size_t model, size_t c, const StatisticsOptions& options) {
  const Ranking ranking(study.scores[model][c], study.labels[c]);
  Curves curves;
  const auto positives = static_cast<double>(ranking.num_positive()),
             negatives = static_cast<double>(ranking.num_negative());
  if (positives == 0 || negatives == 0) return curves;
  curves.prevalence = positives / (positives + negatives);
  const auto on_grid = [&](std::span<const uint32_t> weights, std::span<double> out) {
    const std::vector<Ranking::Step> drawn = ranking.steps(weights);
    roc_on_grid(drawn, out.first(kNumGrid));
    precision_on_grid(drawn, out.last(kNumGrid));
  };
  std::vector<uint32_t> strata;
  if (study.kind != LabelKind::multi_label) strata.assign(study.labels[c].begin(), study.labels[c].end());
  const stats::Bootstrap bootstrap = stats::bootstrap(
      stats::units_of(study.cases.size(), study.patients, strata), 2 * kNumGrid, on_grid,
      {.resamples = options.resamples, .seed = options.seed, .threads = options.threads, .accelerates = false});
  for (size_t i = 0; i < kNumGrid; ++i) {
    const stats::Interval roc = stats::percentile_interval(bootstrap, i, options.level),
                          precision = stats::percentile_interval(bootstrap, kNumGrid + i, options.level);
    curves.roc_band.push_back({grid_at(i), bootstrap.estimate[i], roc.low, roc.high});
    curves.precision_recall_band.push_back(
        {grid_at(i), bootstrap.estimate[kNumGrid + i], precision.low, precision.high});
  }
  return curves;
}

std::vector<CalibrationPoint> calibration_of(const ClassificationStudy& study, const Decisions& decisions, size_t c,
                                             const StatisticsOptions& options) {
  const auto shares = [&](std::span<const uint32_t> weights, std::span<double> out) {
    const std::vector<CalibrationBin> bins = decisions.calibration(c, weights);
    for (size_t i = 0; i < bins.size(); ++i)
      out[i] = bins[i].count > 0 ? bins[i].correct_sum / bins[i].count : std::nan("");
  };
  const stats::Bootstrap bootstrap = stats::bootstrap(
      stats::units_of(study.cases.size(), study.patients, {}), kNumCalibrationBins, shares,
      {.resamples = options.resamples, .seed = options.seed, .threads = options.threads, .accelerates = false});
  const std::vector<CalibrationBin> bins = decisions.calibration(c, std::vector<uint32_t>(study.cases.size(), 1));
  std::vector<CalibrationPoint> points;
  for (size_t i = 0; i < bins.size(); ++i) {
    if (bins[i].count == 0) continue;
    const stats::Interval interval = stats::percentile_interval(bootstrap, i, options.level);
    points.push_back({static_cast<int64_t>(bins[i].count), bins[i].confidence_sum / bins[i].count,
                      bins[i].correct_sum / bins[i].count, interval.low, interval.high});
  }
  return points;
}

}  // namespace vmae::metrics
