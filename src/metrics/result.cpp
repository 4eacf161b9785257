#include "vmae/metrics/result.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "vmae/core/text.h"
#include "vmae/stats/paired_tests.h"

namespace vmae::metrics {

bool is_whole(const std::string& class_name) {
  return class_name == "mean" || class_name == "macro" || class_name == "micro" || class_name == "all";
}

void correct_for_number(std::vector<Comparison>& comparisons) {
  std::map<std::string, std::vector<Test*>> families;
  for (Comparison& comparison : comparisons) {
    for (Test& test : comparison.tests) {
      // "Wilcoxon signed-rank (exact)" and "(normal)" are one method.
      const std::string method = test.method.substr(0, test.method.find(" ("));
      const std::string rows = is_whole(comparison.class_name) ? comparison.class_name : "classes";
      families[join({comparison.metric, rows, method}, "\n")].push_back(&test);
    }
  }
  for (auto& [key, tests] : families) {
    std::vector<double> p;
    for (const Test* test : tests) p.push_back(test->p);
    const std::vector<double> corrected = stats::holm(p);
    for (size_t i = 0; i < tests.size(); ++i) tests[i]->p_holm = corrected[i];
  }
}

void remark_on_bias(Estimate& estimate) {
  if (estimate.intervals.empty() ||
      (estimate.value >= estimate.intervals[0].low && estimate.value <= estimate.intervals[0].high))
    return;
  if (std::isnan(estimate.value) || std::isnan(estimate.intervals[0].low)) return;
  estimate.remark +=
      concat(estimate.remark.empty() ? "" : "; ", "lies outside of its interval: the bootstrap is biased here");
}

std::vector<stats::Interval> intervals_of(const stats::Bootstrap& bootstrap, size_t statistic,
                                          const StatisticsOptions& options) {
  std::vector<stats::Interval> both{stats::percentile_interval(bootstrap, statistic, options.level),
                                    stats::bca_interval(bootstrap, statistic, options.level)};
  if (options.interval == "BCa") std::swap(both[0], both[1]);
  return both;
}

}  // namespace vmae::metrics
