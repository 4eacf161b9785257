#include <gtest/gtest.h>

#include "simulate.h"
#include "support/errors.h"
#include "vmae/stats/bootstrap.h"

namespace vmae::stats {
namespace {

using test::weighted_mean;
using Strata = std::vector<uint32_t>;
const double undefined = std::nan("");

Bootstrap resampled_mean(const std::vector<double>& values) {
  return bootstrap(units_of(values.size(), {}, {}), 1,
                   [&](auto weights, auto out) { out[0] = weighted_mean(values, weights); }, {});
}

// B = 5 resamples of a statistic.
Bootstrap given(double estimate, std::vector<double> resampled, double acceleration = 0) {
  return {{estimate}, {std::move(resampled)}, {acceleration}, 9};
}

TEST(Intervals, OfGivenResamplesAreThoseOfNumpy) {
  const auto all = test::golden("bootstrap_intervals.json");
  for (const auto& set : all["given"]) {
    const auto values = set["values"].get<std::vector<double>>();
    const double acceleration = resampled_mean(values).acceleration[0];
    EXPECT_NEAR(acceleration, set["acceleration"].get<double>(), 1e-12);
    const Bootstrap bootstrap = given(set["estimate"], set["resampled"], acceleration);
    const Interval percentile = percentile_interval(bootstrap, 0, set["level"]),
                   bca = bca_interval(bootstrap, 0, set["level"]);
    EXPECT_NEAR(percentile.low, set["percentile"][0].get<double>(), 1e-12);
    EXPECT_NEAR(percentile.high, set["percentile"][1].get<double>(), 1e-12);
    EXPECT_NEAR(bca.low, set["bca"][0].get<double>(), 1e-10);
    EXPECT_NEAR(bca.high, set["bca"][1].get<double>(), 1e-10);
    EXPECT_EQ(bca.method, "BCa");
    EXPECT_EQ(bca.num_resamples, 199);
    EXPECT_EQ(bca.remark, "");
  }
}

// The difference between the means of two strata, as scipy's bootstrap of two samples; equal up to chance.
TEST(Intervals, OfTwoStrataAreThoseOfScipy) {
  const auto all = test::golden("bootstrap_intervals.json");
  for (const auto& set : all["scipy"]) {
    auto values = set["x"].get<std::vector<double>>();
    const auto y = set["y"].get<std::vector<double>>();
    const size_t nx = values.size();
    Strata strata(nx, 0);
    strata.insert(strata.end(), y.size(), 1);
    values.insert(values.end(), y.begin(), y.end());
    const std::span<const double> both = values;
    const auto difference = [&](std::span<const uint32_t> weights, std::span<double> out) {
      out[0] = weighted_mean(both.first(nx), weights.first(nx)) - weighted_mean(both.subspan(nx), weights.subspan(nx));
    };
    const Bootstrap result = bootstrap(units_of(values.size(), {}, strata), 1, difference, {.resamples = 100000});
    EXPECT_NEAR(result.acceleration[0], set["acceleration"].get<double>(), 1e-12);
    const double close = 0.06 * set["standard_error"].get<double>();
    const Interval percentile = percentile_interval(result, 0), bca = bca_interval(result, 0);
    EXPECT_NEAR(percentile.low, set["percentile"][0].get<double>(), close);
    EXPECT_NEAR(percentile.high, set["percentile"][1].get<double>(), close);
    EXPECT_NEAR(bca.low, set["bca"][0].get<double>(), close);
    EXPECT_NEAR(bca.high, set["bca"][1].get<double>(), close);
    EXPECT_GT(std::abs(bca.high - percentile.high), 4 * close);  // else it would not matter which
  }
}

TEST(Intervals, PValue) {
  EXPECT_DOUBLE_EQ(bootstrap_p(given(1, {1, 2, 3, 4}), 0), 2.0 / 5);
  EXPECT_DOUBLE_EQ(bootstrap_p(given(1, {1, -2, 3, 4, undefined, 5, 6, 7, 8, 9}), 0), 4.0 / 10);
  EXPECT_DOUBLE_EQ(bootstrap_p(given(-1, {-1, -2, 0, -4}), 0), 4.0 / 5);
  EXPECT_EQ(bootstrap_p(given(0, {0, 0, 0}), 0), 1);
  EXPECT_TRUE(std::isnan(bootstrap_p(given(0, {}), 0)));
  EXPECT_TRUE(std::isnan(bootstrap_p(given(0, {undefined}), 0)));
}

TEST(Intervals, BcaFallsBackToPercentile) {
  const std::vector<double> values{1, 2, 3, 4, 5};
  const auto expect_fallback = [&](const Bootstrap& bootstrap, const std::string& reason) {
    const Interval interval = bca_interval(bootstrap, 0), percentile = percentile_interval(bootstrap, 0);
    EXPECT_EQ(interval.method, "percentile");
    EXPECT_EQ(interval.low, percentile.low);
    EXPECT_EQ(interval.high, percentile.high);
    EXPECT_EQ(interval.remark, "percentile instead of BCa: " + reason);
  };
  expect_fallback(given(0, values), "all resamples lie on one side of the estimate");
  expect_fallback(given(6, values), "all resamples lie on one side of the estimate");
  expect_fallback(given(3, values, undefined), "no acceleration");
  expect_fallback(given(3, values, 0.6), "the acceleration is 0.6");
  Bootstrap without = given(3, values);
  without.acceleration.clear();
  expect_fallback(without, "no acceleration");
}

TEST(Intervals, Degenerate) {
  const auto expect_both = [](const Bootstrap& bootstrap, double low, double high, const std::string& remark) {
    for (const Interval& interval : {percentile_interval(bootstrap, 0), bca_interval(bootstrap, 0)}) {
      EXPECT_TRUE(std::isnan(low) ? std::isnan(interval.low) : interval.low == low) << remark << " " << interval.low;
      EXPECT_TRUE(std::isnan(high) ? std::isnan(interval.high) : interval.high == high)
          << remark << " " << interval.high;
      EXPECT_EQ(interval.remark, remark);
    }
  };
  expect_both(resampled_mean({}), undefined, undefined, "no cases");
  expect_both(resampled_mean({0.7}), 0.7, 0.7, "one unit only: nothing to resample");
  expect_both(resampled_mean({0.5, 0.5, 0.5}), 0.5, 0.5, "the same in every resample");
  expect_both(given(undefined, {1, 2}), undefined, undefined, "not defined for this sample");
  expect_both(given(1, {undefined, undefined}), undefined, undefined, "not defined in any resample");
  expect_both(given(1, {}), undefined, undefined, "no resamples");
  expect_both(given(2, {2, undefined, 2}), 2, 2,
              "1 of 3 resamples are left out: not defined; the same in every resample");
  const Interval some = percentile_interval(given(2, {1, undefined, 3}), 0);
  EXPECT_EQ(some.num_resamples, 2);
  EXPECT_NEAR(some.low, 1.05, 1e-12);
  EXPECT_EQ(some.remark, "1 of 3 resamples are left out: not defined");
  EXPECT_EQ(test::error_of([] { percentile_interval(given(2, {1, 3}), 0, 0); }).code(), ExitCode::usage);
  EXPECT_EQ(test::error_of([] { bca_interval(given(2, {1, 3}), 0, undefined); }).code(), ExitCode::usage);
}

// The only positive is a stratum of its own: it is always there, and adds
// nothing to the acceleration. Without strata it is missing from some resamples.
TEST(Intervals, OfAStratumOfOneUnit) {
  const std::vector<double> scores{0.1, 0.5, 0.3, 0.9, 0.6};
  const std::vector<uint8_t> labels{0, 0, 0, 0, 1};
  const Ranking ranking = test::ranking_of(scores, labels);
  const Statistics statistics = [&](auto weights, auto out) { out[0] = ranking.auroc(weights); };
  const Bootstrap stratified = bootstrap(units_of(5, {}, Strata{0, 0, 0, 0, 1}), 1, statistics, {});
  EXPECT_EQ(bca_interval(stratified, 0).method, "BCa");
  EXPECT_EQ(bca_interval(stratified, 0).num_resamples, 1000);
  const Bootstrap plain = bootstrap(units_of(5, {}, {}), 1, statistics, {});
  EXPECT_TRUE(std::isnan(plain.acceleration[0]));
  EXPECT_TRUE(test::contains(percentile_interval(plain, 0).remark, "of 1000 resamples are left out: not defined"));
  const Bootstrap only_ones = bootstrap(units_of(5, {}, Strata{0, 1, 2, 3, 4}), 1, statistics, {});
  EXPECT_EQ(bca_interval(only_ones, 0).low, 0.75);
  EXPECT_EQ(bca_interval(only_ones, 0).remark, "the same in every resample");
}

}  // namespace
}  // namespace vmae::stats
