#include "vmae/stats/bootstrap.h"

#include <gtest/gtest.h>

#include <numeric>

#include "simulate.h"
#include "support/errors.h"

namespace vmae::stats {
namespace {

using test::weighted_mean;
using Strata = std::vector<uint32_t>;
using Names = std::vector<std::string>;

// What was drawn, resample by resample.
std::vector<std::vector<uint32_t>> draws(const Units& units, const BootstrapOptions& options) {
  const size_t n = units.unit_of_case.size();
  const auto copy = [](std::span<const uint32_t> weights, std::span<double> out) {
    std::copy(weights.begin(), weights.end(), out.begin());
  };
  const Bootstrap result = bootstrap(units, n, copy, options);
  std::vector<std::vector<uint32_t>> drawn(static_cast<size_t>(options.resamples), std::vector<uint32_t>(n));
  for (size_t r = 0; r < drawn.size(); ++r) {
    for (size_t c = 0; c < n; ++c) drawn[r][c] = static_cast<uint32_t>(result.resampled[c][r]);
  }
  return drawn;
}

Bootstrap of_mean(const std::vector<double>& values, const BootstrapOptions& options = {}) {
  return bootstrap(
      units_of(values.size(), {}, {}), 1, [&](auto weights, auto out) { out[0] = weighted_mean(values, weights); },
      options);
}

TEST(Units, OfCasesPatientsAndStrata) {
  const Units cases = units_of(3, {}, {});
  EXPECT_EQ(cases.unit_of_case, (Strata{0, 1, 2}));
  EXPECT_EQ(cases.stratum_of_unit, (Strata{0, 0, 0}));
  EXPECT_FALSE(cases.is_clustered());
  const Units patients = units_of(7, Names{"b", "a", "b", "", "c", "", "a"}, Strata{7, 7, 9, 9, 9, 7, 7});
  EXPECT_EQ(patients.unit_of_case, (Strata{0, 1, 0, 2, 3, 4, 1}));
  EXPECT_EQ(patients.stratum_of_unit, (Strata{0, 1, 2, 2, 1}));  // b is in 7 and 9: a kind of its own
  EXPECT_TRUE(patients.is_clustered());
  EXPECT_EQ(test::error_of([] { units_of(3, Names{"a"}, {}); }).code(), ExitCode::data);
  EXPECT_EQ(test::error_of([] { units_of(3, {}, Strata{1, 2}); }).code(), ExitCode::data);
}

TEST(Bootstrap, DrawsWholePatientsAndKeepsStrata) {
  const Names patients{"a", "b", "a", "c", "d", "d", "e", "a"};
  const Strata strata{0, 0, 0, 1, 1, 1, 1, 0};  // a, b; c, d, e
  for (const auto& weights : draws(units_of(8, patients, strata), {.resamples = 200})) {
    EXPECT_TRUE(weights[0] == weights[2] && weights[0] == weights[7] && weights[4] == weights[5]);
    EXPECT_EQ(weights[0] + weights[1], 2U);
    EXPECT_EQ(weights[3] + weights[4] + weights[6], 3U);
  }
}

// Every unit is drawn as often as any other, and counts vary as those of a multinomial distribution.
TEST(Bootstrap, DrawsEvenly) {
  for (const size_t n : {1, 2, 7, 50}) {
    const auto all = draws(units_of(n, {}, {}), {.resamples = 20000, .accelerates = false});
    for (size_t c = 0; c < n; ++c) {
      double sum = 0, squares = 0;
      for (const auto& weights : all) {
        sum += weights[c];
        squares += weights[c] * weights[c];
      }
      const double mean = sum / 20000, variance = squares / 20000 - mean * mean;
      EXPECT_NEAR(mean, 1, 0.035);
      EXPECT_NEAR(variance, 1 - 1 / static_cast<double>(n), 0.08);
    }
  }
}

TEST(Bootstrap, IsTheSameForAnyNumberOfThreads) {
  Random random(5);
  const test::Scored sample = test::scored(random, 301, 0.3, 1, 20);
  const Strata strata(sample.labels.begin(), sample.labels.end());
  Names patients;
  for (size_t i = 0; i < sample.scores.size(); ++i) patients.push_back(concat("patient ", i / 3));
  const Ranking ranking = test::ranking_of(sample.scores, sample.labels);
  const Statistics statistics = [&](auto weights, auto out) {
    out[0] = ranking.auroc(weights);
    out[1] = weighted_mean(sample.scores, weights);
  };
  for (const Units& units : {units_of(301, {}, {}), units_of(301, {}, strata), units_of(301, patients, strata)}) {
    const Bootstrap one = bootstrap(units, 2, statistics, {.resamples = 333, .seed = 11, .threads = 1});
    for (const int threads : {2, 4}) {
      const Bootstrap more = bootstrap(units, 2, statistics, {.resamples = 333, .seed = 11, .threads = threads});
      EXPECT_EQ(more.resampled, one.resampled);
      EXPECT_EQ(more.acceleration, one.acceleration);
    }
    const Bootstrap fewer = bootstrap(units, 2, statistics, {.resamples = 100, .seed = 11, .threads = 1});
    EXPECT_TRUE(std::equal(fewer.resampled[0].begin(), fewer.resampled[0].end(), one.resampled[0].begin()));
    EXPECT_NE(bootstrap(units, 2, statistics, {.resamples = 333, .seed = 12}).resampled, one.resampled);
  }
}

TEST(Bootstrap, GroupsOfManyUnitsGiveAboutTheSameAcceleration) {
  Random random(9);
  std::vector<double> values;
  for (int i = 0; i < 5000; ++i) values.push_back(std::exp(test::normal(random)));
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / 5000;
  double cubes = 0, squares = 0;  // leaving one out moves the mean by (value - mean) / (n - 1)
  for (const double value : values) {
    cubes += std::pow(value - mean, 3);
    squares += std::pow(value - mean, 2);
  }
  const double by_one = cubes / (6 * std::pow(squares, 1.5));
  double by_groups = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const double a = of_mean(values, {.resamples = 1, .seed = seed}).acceleration[0];
    EXPECT_NEAR(a, by_one, 0.008);
    by_groups += a / 20;
  }
  EXPECT_GT(by_one, 0.008);
  EXPECT_NEAR(by_groups, by_one, 0.002);
}

TEST(Bootstrap, AnExceptionOfTheStatisticEndsIt) {
  const Statistics fails = [](auto weights, auto) {
    if (weights[0] > 1) throw Error(ExitCode::data, "no such statistic");
  };
  EXPECT_TRUE(test::contains(test::error_of([&] { bootstrap(units_of(10, {}, {}), 1, fails, {}); }).what(),
                             "no such statistic"));
}

}  // namespace
}  // namespace vmae::stats
