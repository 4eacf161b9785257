#pragma once
// The bootstrap (Efron and Tibshirani 1993) for any statistic of a weighted sample. Cases
// are resampled one by one, or in units (all cases of a patient), within strata. Resample
// r is a function of (seed, r) alone, so results depend neither on threads nor on order.
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace vmae::stats {

// What is drawn: unit u stands for all cases c with unit_of_case[c] == u.
// From each stratum as many units are drawn, with replacement, as it has.
struct Units {
  std::vector<uint32_t> unit_of_case;
  std::vector<uint32_t> stratum_of_unit;
  int64_t num_units() const { return static_cast<int64_t>(stratum_of_unit.size()); }
  bool is_clustered() const { return unit_of_case.size() != stratum_of_unit.size(); }
};

// patients: one name per case, or empty: each case is a unit of its own, as is a case without a name.
// strata: one number per case, or empty: one stratum. A patient whose cases lie in several strata makes
// a stratum of its own kind: that of its set of strata. Throws Error(data) if the numbers differ.
Units units_of(size_t num_cases, std::span<const std::string> patients, std::span<const uint32_t> strata);

// weights[c]: how often case c was drawn (all ones: the sample itself). Writes
// every statistic; NaN where it is not defined. Called by several threads at once.
using Statistics = std::function<void(std::span<const uint32_t> weights, std::span<double> out)>;

struct BootstrapOptions {
  int64_t resamples = 1000;
  uint64_t seed = 0;
  int threads = 0;          // 0: usable_threads()
  bool accelerates = true;  // compute what BCa needs
};

struct Bootstrap {
  std::vector<double> estimate;  // of the sample itself, one per statistic
  // [statistic][resample], in the order of resamples; NaN where not defined
  std::vector<std::vector<double>> resampled;
  std::vector<double> acceleration;  // [statistic], BCa's a; empty unless asked for, NaN where not defined
  int64_t num_units = 0;
};

// Acceleration: jackknife over units within strata (Davison and Hinkley 1997, eq. 5.27-5.31; a stratum of one unit adds
// nothing); of more than 2,000 units, over about 500 groups of units, chosen by the seed (a is then off by 0.001 to
// 0.004, which moves a limit by some 0.01 standard errors). No cases: all is NaN. An exception in `statistics` ends it.
Bootstrap bootstrap(const Units& units, size_t num_statistics, const Statistics& statistics,
                    const BootstrapOptions& options);

struct Interval {
  double low = 0, high = 0;   // NaN where there is none; the remark says why
  std::string method;         // "percentile", "BCa", "DeLong", "t"
  int64_t num_resamples = 0;  // of those, defined; 0: no resampling
  std::string remark{};
};

// Quantiles as numpy's default (linear between order statistics). Undefined resamples are left out, and
// the remark counts them. One unit or a constant statistic: an interval of one point, with a remark.
Interval percentile_interval(const Bootstrap& bootstrap, size_t statistic, double level = 0.95);
// Efron 1987. Falls back to percentile, with a remark, where the bias
// correction is infinite or the acceleration undefined or too large.
Interval bca_interval(const Bootstrap& bootstrap, size_t statistic, double level = 0.95);

// Two-sided p-value of the hypothesis that the statistic (a difference) is zero: 2 min((1 + #{<= 0})
// / (B + 1), (1 + #{>= 0}) / (B + 1)), at most 1, of the B defined resamples. NaN if there are none.
double bootstrap_p(const Bootstrap& bootstrap, size_t statistic);

}  // namespace vmae::stats
