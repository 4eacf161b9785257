#pragma once
// Tests of paired values, two-sided.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace vmae::stats {

struct TestResult {
  std::string method;    // "paired t-test", "Wilcoxon signed-rank (exact)", "Wilcoxon signed-rank (normal)"
  int64_t n = 0;         // pairs that were used
  double statistic = 0;  // t, or W = min(W+, W-)
  double p = 0;          // NaN where there is no answer; the remark says why
  std::string remark{};
};

// a and b: equally many finite values (else Error(data)); a[i] and b[i] are of the same case. Fewer than two pairs: p
// NaN. All differences equal up to rounding: if they are 0, t = 0 and p = 1, else t infinite and p = 0. With remark.
TestResult paired_t_test(std::span<const double> a, std::span<const double> b);

// As scipy.stats.wilcoxon(zero_method="wilcox", correction=False, method="auto"): zero differences are left
// out; exact for up to 50 pairs without ties and zeros and for up to 13 pairs in any case, else normal with
// the variance corrected for ties. No difference is left: p = 1 with a remark; no pairs: p NaN.
TestResult wilcoxon_signed_rank(std::span<const double> a, std::span<const double> b);

// Holm's step-down correction (1979), in the order given; NaN stays NaN and is not counted.
std::vector<double> holm(std::span<const double> p_values);

}  // namespace vmae::stats
