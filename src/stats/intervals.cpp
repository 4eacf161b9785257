#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>

#include "vmae/core/error.h"
#include "vmae/stats/bootstrap.h"
#include "vmae/stats/quantile.h"

namespace vmae::stats {
namespace {

void add(std::string& remark, const std::string& more) { remark += (remark.empty() ? "" : "; ") + more; }

struct Sorted {
  std::vector<double> values;  // those defined
  Interval interval;           // method, count and remark; ends if is_done
  bool is_done = false;
};

std::string why_no_interval(const Bootstrap& bootstrap, double estimate, const std::vector<double>& resampled) {
  if (bootstrap.num_units == 0) return "no cases";
  if (std::isnan(estimate)) return "not defined for this sample";
  return resampled.empty() ? "no resamples" : "not defined in any resample";
}

Sorted sort_defined(const Bootstrap& bootstrap, size_t statistic, const std::string& method, double level) {
  if (!(level > 0 && level < 1)) throw Error(ExitCode::usage, concat("a level of ", level, " is not between 0 and 1"));
  const std::vector<double>& all = bootstrap.resampled.at(statistic);
  const double estimate = bootstrap.estimate.at(statistic);
  Sorted sorted;
  std::copy_if(all.begin(), all.end(), std::back_inserter(sorted.values),
               [](double value) { return !std::isnan(value); });
  std::sort(sorted.values.begin(), sorted.values.end());
  Interval& interval = sorted.interval;
  interval = {std::nan(""), std::nan(""), method, static_cast<int64_t>(sorted.values.size())};
  const size_t undefined = all.size() - sorted.values.size();
  if (bootstrap.num_units == 0 || std::isnan(estimate) || sorted.values.empty()) {
    sorted.is_done = true;
    interval.remark = why_no_interval(bootstrap, estimate, all);
    return sorted;
  }
  if (undefined > 0)
    add(interval.remark, concat(undefined, " of ", all.size(), " resamples are left out: not defined"));
  if (sorted.values.front() == sorted.values.back()) {
    sorted.is_done = true;
    interval.low = interval.high = sorted.values.front();
    add(interval.remark,
        bootstrap.num_units == 1 ? "one unit only: nothing to resample" : "the same in every resample");
  }
  return sorted;
}

Interval percentile_of(Sorted sorted, double level) {
  sorted.interval.low = quantile(sorted.values, (1 - level) / 2);
  sorted.interval.high = quantile(sorted.values, (1 + level) / 2);
  return sorted.interval;
}

Interval percentile_instead(Sorted sorted, double level, const std::string& reason) {
  sorted.interval.method = "percentile";
  add(sorted.interval.remark, concat("percentile instead of BCa: ", reason));
  return percentile_of(std::move(sorted), level);
}

}  // namespace

Interval percentile_interval(const Bootstrap& bootstrap, size_t statistic, double level) {
  Sorted sorted = sort_defined(bootstrap, statistic, "percentile", level);
  return sorted.is_done ? sorted.interval : percentile_of(std::move(sorted), level);
}

Interval bca_interval(const Bootstrap& bootstrap, size_t statistic, double level) {
  Sorted sorted = sort_defined(bootstrap, statistic, "BCa", level);
  if (sorted.is_done) return sorted.interval;
  const std::vector<double>& values = sorted.values;
  const auto [first, last] = std::equal_range(values.begin(), values.end(), bootstrap.estimate[statistic]);
  // those equal count half
  const auto twice_below = static_cast<double>((first - values.begin()) + (last - values.begin()));
  const double share = twice_below / (2 * static_cast<double>(values.size()));
  if (share == 0 || share == 1)
    return percentile_instead(std::move(sorted), level, "all resamples lie on one side of the estimate");
  const double a = statistic < bootstrap.acceleration.size() ? bootstrap.acceleration[statistic] : std::nan("");
  if (std::isnan(a)) return percentile_instead(std::move(sorted), level, "no acceleration");
  const boost::math::normal normal;
  const double bias = boost::math::quantile(normal, share), z = boost::math::quantile(normal, (1 + level) / 2);
  if (1 - a * (bias - z) <= 0 || 1 - a * (bias + z) <= 0)
    return percentile_instead(std::move(sorted), level, concat("the acceleration is ", a));
  const auto corrected = [&](double at) {
    return boost::math::cdf(normal, bias + (bias + at) / (1 - a * (bias + at)));
  };
  sorted.interval.low = quantile(values, corrected(-z));
  sorted.interval.high = quantile(values, corrected(z));
  return sorted.interval;
}

double bootstrap_p(const Bootstrap& bootstrap, size_t statistic) {
  double defined = 0, low = 0, high = 0;
  for (const double value : bootstrap.resampled.at(statistic)) {
    defined += std::isnan(value) ? 0 : 1;
    low += value <= 0 ? 1 : 0;
    high += value >= 0 ? 1 : 0;
  }
  if (defined == 0 || std::isnan(bootstrap.estimate.at(statistic))) return std::nan("");
  return std::min(1.0, 2 * (1 + std::min(low, high)) / (defined + 1));
}

}  // namespace vmae::stats
