#include "vmae/stats/paired_tests.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <numeric>

#include "ties.h"
#include "vmae/core/error.h"

namespace vmae::stats {
namespace {

std::vector<double> differences_of(std::span<const double> a, std::span<const double> b) {
  if (a.size() != b.size()) throw Error(ExitCode::data, concat(a.size(), " values cannot be paired with ", b.size()));
  std::vector<double> differences(a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i]))
      throw Error(ExitCode::data, concat("pair ", i, " is (", a[i], ", ", b[i], "): values must be finite"));
    differences[i] = a[i] - b[i];
  }
  return differences;
}

// What subtraction may have left of equal differences.
double rounding_of(std::span<const double> a, std::span<const double> b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max({largest, std::abs(a[i]), std::abs(b[i])});
  return 4 * std::numeric_limits<double>::epsilon() * largest;
}

// P(W <= w) without a difference: the share of the 2^n choices of signs, by the
// number of subsets of the ranks with each sum. Ranks (ascending) and w are
// doubled, so that they are integers with ties too. n <= 50: the counts are exact.
double exact_cdf(const std::vector<size_t>& ranks, size_t w) {
  std::vector<double> subsets(std::accumulate(ranks.begin(), ranks.end(), size_t{0}) + 1);
  subsets[0] = 1;
  for (const size_t rank : ranks) {
    for (size_t sum = subsets.size() - 1; sum >= rank; --sum) subsets[sum] += subsets[sum - rank];
  }
  return std::ldexp(std::accumulate(subsets.begin(), subsets.begin() + static_cast<std::ptrdiff_t>(w) + 1, 0.0),
                    -static_cast<int>(ranks.size()));
}

}  // namespace

TestResult paired_t_test(std::span<const double> a, std::span<const double> b) {
  const std::vector<double> differences = differences_of(a, b);
  const auto n = static_cast<double>(differences.size());
  TestResult result{"paired t-test", static_cast<int64_t>(differences.size()), std::nan(""), std::nan("")};
  if (differences.size() < 2) {
    result.remark = "fewer than two pairs";
    return result;
  }
  const auto [low, high] = std::minmax_element(differences.begin(), differences.end());
  const double rounding = rounding_of(a, b), mean = std::accumulate(differences.begin(), differences.end(), 0.0) / n;
  if (*high - *low <= rounding) {
    const bool is_zero = std::abs(mean) <= rounding;
    result.statistic = is_zero ? 0 : std::copysign(INFINITY, mean);
    result.p = is_zero ? 1 : 0;
    result.remark = is_zero ? "no pair differs" : "all pairs differ by the same amount";
    return result;
  }
  double squares = 0;
  for (const double difference : differences) squares += (difference - mean) * (difference - mean);
  result.statistic = mean / std::sqrt(squares / (n - 1) / n);
  result.p = 2 * boost::math::cdf(boost::math::students_t(n - 1), -std::abs(result.statistic));
  return result;
}

TestResult wilcoxon_signed_rank(std::span<const double> a, std::span<const double> b) {
  std::vector<double> differences = differences_of(a, b);
  const size_t given = differences.size();
  std::erase(differences, 0.0);
  const size_t n = differences.size();
  TestResult result{"Wilcoxon signed-rank (normal)", static_cast<int64_t>(n), 0, 1};
  if (n == 0) {
    result.remark = given == 0 ? "no pairs" : "no pair differs";
    if (given == 0) result.statistic = result.p = std::nan("");
    return result;
  }
  std::vector<double> magnitudes(n);
  std::transform(differences.begin(), differences.end(), magnitudes.begin(),
                 [](double difference) { return std::abs(difference); });
  std::vector<size_t> ranks;  // doubled
  size_t positive = 0;        // their sum over positive differences
  double tied = 0;            // sum of t^3 - t over groups of t equal magnitudes
  find_ties(magnitudes).for_each_group([&](std::span<const uint32_t> group) {
    const size_t rank = 2 * ranks.size() + group.size() + 1;
    for (const uint32_t i : group) positive += differences[i] > 0 ? rank : 0;
    ranks.insert(ranks.end(), group.size(), rank);
    const auto size = static_cast<double>(group.size());
    tied += size * size * size - size;
  });
  const size_t smaller = std::min(positive, n * (n + 1) - positive);
  const auto count = static_cast<double>(n);
  result.statistic = static_cast<double>(smaller) / 2;
  if (given <= 13 || (given <= 50 && n == given && tied == 0)) {
    result.method = "Wilcoxon signed-rank (exact)";
    result.p = std::min(1.0, 2 * exact_cdf(ranks, smaller));
  } else {
    const double variance = count * (count + 1) * (2 * count + 1) / 24 - tied / 48;
    const double z = (result.statistic - count * (count + 1) / 4) / std::sqrt(variance);  // at most 0
    result.p = 2 * boost::math::cdf(boost::math::normal(), z);
  }
  if (n < given)
    result.remark = concat(given - n, given - n == 1 ? " pair does not differ and is" : " pairs do not differ and are",
                           " left out");
  return result;
}

std::vector<double> holm(std::span<const double> p_values) {
  std::vector<size_t> order;
  for (size_t i = 0; i < p_values.size(); ++i) {
    if (!std::isnan(p_values[i])) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return p_values[i] < p_values[j]; });
  std::vector<double> corrected(p_values.begin(), p_values.end());
  double largest = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    largest = std::max(largest, std::min(1.0, static_cast<double>(order.size() - rank) * p_values[order[rank]]));
    corrected[order[rank]] = largest;
  }
  return corrected;
}

}  // namespace vmae::stats
