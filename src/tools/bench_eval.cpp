// `vmae bench --eval`: one calculation of `vmae eval` on made-up
// cases. scripts/python/bench_eval.py makes the same ones.
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>

#include "vmae/core/clock.h"
#include "vmae/core/machine.h"
#include "vmae/metrics/surface.h"
#include "vmae/stats/delong.h"
#include "vmae/stats/ranking.h"
#include "vmae/tools/bench_eval.h"

namespace vmae::run {

namespace {

// The k-th number in [0, 1) (SplitMix64).
double uniform(uint64_t k) {
  uint64_t bits = (k + 1) * 0x9e3779b97f4a7c15;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
  return static_cast<double>((bits ^ (bits >> 31)) >> 11) * 0x1p-53;
}

// One case in ten is positive.
struct Finding {
  std::vector<int8_t> labels;
  std::vector<double> scores, other_scores;

  Finding(uint64_t finding, uint64_t cases) {
    for (uint64_t k = 3 * finding * cases; k < 3 * (finding + 1) * cases; k += 3) {
      labels.push_back(uniform(k) < 0.1 ? 1 : 0);
      scores.push_back(0.7 * uniform(k + 1) + 0.3 * labels.back());
      other_scores.push_back(0.5 * scores.back() + 0.5 * uniform(k + 2));
    }
  }
};

// An ellipsoid about (x, y, z), like a liver.
std::vector<uint8_t> ellipsoid(const metrics::Grid& grid, int64_t x, int64_t y, int64_t z, int64_t size) {
  std::vector<uint8_t> labels;
  labels.reserve(static_cast<size_t>(grid.num_voxels()));
  for (int64_t k = 0; k < grid.size[2]; ++k) {
    for (int64_t j = 0; j < grid.size[1]; ++j) {
      for (int64_t i = 0; i < grid.size[0]; ++i)
        labels.push_back(2 * (i - x) * (i - x) + 3 * (j - y) * (j - y) + 5 * (k - z) * (k - z) < size ? 1 : 0);
    }
  }
  return labels;
}

}  // namespace

void bench_eval(const EvalBenchArguments& arguments, std::ostream& out) {
  std::vector<Finding> findings;
  std::vector<uint8_t> prediction, truth;
  const metrics::Grid grid{{512, 512, 300}, {0.75, 0.75, 1.5}};
  if (arguments.what == "hd95") {
    prediction = ellipsoid(grid, 255, 246, 153, 25000);
    truth = ellipsoid(grid, 260, 240, 150, 24000);
  } else {
    for (int64_t f = 0; f < (arguments.what == "findings" ? arguments.findings : 1); ++f)
      findings.emplace_back(static_cast<uint64_t>(f), static_cast<uint64_t>(arguments.cases));
  }
  const auto start = Clock::now();
  double value = 0, low = std::nan(""), high = low;
  if (arguments.what == "hd95") {
    value = metrics::hd95_pooled(metrics::surface_distances(prediction, truth, 1, grid));
  } else if (arguments.what == "delong") {
    const stats::AurocComparison test =
        stats::delong_test(findings[0].scores, findings[0].other_scores,
                           std::vector<uint8_t>(findings[0].labels.begin(), findings[0].labels.end()));
    value = test.z;
    low = test.interval.low;
    high = test.interval.high;
  } else {  // the AUROC of one finding, or of several and their mean
    std::vector<stats::Ranking> rankings;
    for (const Finding& finding : findings) rankings.emplace_back(finding.scores, finding.labels);
    const auto statistics = [&](std::span<const uint32_t> weights, std::span<double> values) {
      values.back() = 0;
      for (size_t f = 0; f < rankings.size(); ++f) {
        values[f] = rankings[f].auroc(weights);
        if (values.size() > rankings.size()) values.back() += values[f] / static_cast<double>(rankings.size());
      }
    };
    const size_t num_statistics = rankings.size() + (arguments.what == "findings" ? 1 : 0);
    const stats::Bootstrap bootstrap = stats::bootstrap(
        stats::units_of(static_cast<size_t>(arguments.cases), {}, {}), num_statistics, statistics,
        {.resamples = arguments.resamples, .threads = static_cast<int>(arguments.threads), .accelerates = false});
    const stats::Interval interval = stats::percentile_interval(bootstrap, num_statistics - 1);
    value = bootstrap.estimate.back();
    low = interval.low;
    high = interval.high;
  }
  const double seconds = seconds_since(start);
  const nlohmann::ordered_json result = {{"seconds", seconds},
                                         {"value", value},
                                         {"low", low},
                                         {"high", high},
                                         {"peak_rss_mb", static_cast<double>(peak_resident_bytes()) / 1048576.0}};
  out << result.dump() << "\n";
}

}  // namespace vmae::run
