// How often intervals of 95 % hold the truth, over 500 simulated
// samples with a known one (the count itself is uncertain by 1 %).
#include <gtest/gtest.h>

#include <functional>

#include "simulate.h"
#include "vmae/stats/bootstrap.h"
#include "vmae/stats/delong.h"

namespace vmae::stats {
namespace {

using test::weighted_mean;
constexpr uint64_t num_samples = 500;
constexpr int64_t resamples = 600;

struct Coverage {
  std::string name;
  double percentile = 0, bca = 0;
};

// resample(seed): a bootstrap of one simulated sample; the first statistic counts.
Coverage coverage_of(const std::string& name, double truth, const std::function<Bootstrap(uint64_t)>& resample) {
  Coverage coverage{name};
  for (uint64_t seed = 0; seed < num_samples; ++seed) {
    const Bootstrap result = resample(seed);
    const auto holds = [&](const Interval& interval) {
      return interval.low <= truth && truth <= interval.high ? 100.0 / num_samples : 0;
    };
    coverage.percentile += holds(percentile_interval(result, 0));
    coverage.bca += holds(bca_interval(result, 0));
  }
  ::testing::Test::RecordProperty(name + "_percentile", std::to_string(coverage.percentile));
  ::testing::Test::RecordProperty(name + "_bca", std::to_string(coverage.bca));
  return coverage;
}

void expect_covers(const Coverage& coverage) {
  for (const double percent : {coverage.percentile, coverage.bca}) {
    EXPECT_GE(percent, 92) << coverage.name;
    EXPECT_LE(percent, 97) << coverage.name;
  }
}

TEST(Coverage, MeanOfSkewedDice) {
  expect_covers(coverage_of("dice", 6.0 / 7, [](uint64_t seed) {
    Random random(derive_seed(seed, 100));
    std::vector<double> dice(50);
    for (double& value : dice) value = std::pow(random.uniform(), 1.0 / 6);  // Beta(6, 1): mean 6/7, skewness -1.3
    const Statistics mean = [&](auto weights, auto out) { out[0] = weighted_mean(dice, weights); };
    return bootstrap(units_of(50, {}, {}), 1, mean, {.resamples = resamples, .seed = seed, .threads = 1});
  }));
}

test::Scored sample_of_100(uint64_t seed) {
  Random random(derive_seed(seed, 200));
  return test::scored(random, 100, 0.4, 1);
}
const double auroc_of_effect_1 = std::erfc(-0.5) / 2;  // Phi(1 / sqrt 2)

TEST(Coverage, Auroc) {
  expect_covers(coverage_of("auroc", auroc_of_effect_1, [](uint64_t seed) {
    const test::Scored sample = sample_of_100(seed);
    const Ranking ranking = test::ranking_of(sample.scores, sample.labels);
    const std::vector<uint32_t> strata(sample.labels.begin(), sample.labels.end());
    return bootstrap(units_of(100, {}, strata), 1, [&](auto weights, auto out) { out[0] = ranking.auroc(weights); },
                     {.resamples = resamples, .seed = seed, .threads = 1});
  }));
}

TEST(Coverage, DeLong) {
  double covered = 0;
  for (uint64_t seed = 0; seed < num_samples; ++seed) {
    const test::Scored sample = sample_of_100(seed);
    const Interval interval = delong_interval(delong(sample.scores, sample.labels));
    covered += interval.low <= auroc_of_effect_1 && auroc_of_effect_1 <= interval.high ? 100.0 / num_samples : 0;
  }
  RecordProperty("delong", std::to_string(covered));
  EXPECT_GE(covered, 92);
  EXPECT_LE(covered, 97);
}

// 60 patients of 1 to 6 cases; half of the variance lies between patients.
struct Clustered {
  std::vector<double> values;
  std::vector<std::string> patients;
};

Clustered clustered(uint64_t seed) {
  Random random(derive_seed(seed, 300));
  Clustered sample;
  for (int patient = 0; patient < 60; ++patient) {
    const double effect = test::normal(random);
    for (uint64_t n = 1 + random.below(6); n > 0; --n) {
      sample.values.push_back(0.8 + 0.05 * (effect + test::normal(random)));
      sample.patients.push_back(std::to_string(patient));
    }
  }
  return sample;
}

Coverage coverage_of_clusters(bool by_patient) {
  return coverage_of(by_patient ? "clustered" : "ignored", 0.8, [&](uint64_t seed) {
    const Clustered sample = clustered(seed);
    const Units units =
        units_of(sample.values.size(),
                 by_patient ? std::span<const std::string>(sample.patients) : std::span<const std::string>(), {});
    const Statistics mean = [&](auto weights, auto out) { out[0] = weighted_mean(sample.values, weights); };
    return bootstrap(units, 1, mean, {.resamples = resamples, .seed = seed, .threads = 1});
  });
}

TEST(Coverage, ClusteredCases) { expect_covers(coverage_of_clusters(true)); }

TEST(Coverage, IgnoringClustersCoversTooLittle) {
  const Coverage coverage = coverage_of_clusters(false);
  EXPECT_LT(coverage.percentile, 85);
  EXPECT_LT(coverage.bca, 85);
}

}  // namespace
}  // namespace vmae::stats
