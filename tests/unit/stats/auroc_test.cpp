#include "vmae/stats/auroc.h"

#include <gtest/gtest.h>

#include "simulate.h"

namespace vmae::stats {
namespace {

using test::scored, test::Scored;

TEST(Auroc, IsTheShareOfPairs) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Random random(seed);
    const Scored sample = scored(random, 2 + seed, 0.3, 1, seed % 3 == 0 ? 0 : 3 * (seed % 3));
    EXPECT_NEAR(auroc(sample.scores, sample.labels), auroc_by_pairs(sample, std::vector<uint32_t>(2 + seed, 1)), 1e-14)
        << seed;
  }
}

TEST(Auroc, OneClassOrNaNHasNone) {
  EXPECT_TRUE(std::isnan(auroc(std::vector<double>{0.1, 0.2}, std::vector<uint8_t>{1, 1})));
  EXPECT_TRUE(std::isnan(auroc(std::vector<double>{0.1, std::nan("")}, std::vector<uint8_t>{0, 1})));
  EXPECT_TRUE(std::isnan(auroc({}, {})));
}

TEST(Auroc, OfTiesIsAHalf) { EXPECT_EQ(auroc(std::vector<double>(5, 0.3), std::vector<uint8_t>{1, 0, 0, 1, 0}), 0.5); }

// Sorted by digits: signs, sizes, zeros of both signs, infinities.
TEST(Auroc, OfManyAndOddScores) {
  Random random(4);
  Scored sample = scored(random, 1500, 0.3, 1);
  for (double& score : sample.scores) score *= std::pow(10, static_cast<double>(random.below(80)) - 40);
  for (size_t i = 0; i < 100; ++i) sample.scores[random.below(1500)] = i % 2 == 0 ? 0.0 : -0.0;
  for (size_t i = 0; i < 20; ++i) sample.scores[random.below(1500)] = i % 2 == 0 ? INFINITY : -INFINITY;
  EXPECT_NEAR(auroc(sample.scores, sample.labels), auroc_by_pairs(sample, std::vector<uint32_t>(1500, 1)), 1e-13);
  std::vector<uint8_t> labels(700);
  for (size_t i = 0; i < 700; ++i) labels[i] = i % 3 == 0 ? 1 : 0;
  EXPECT_EQ(auroc(std::vector<double>(700, -0.25), labels), 0.5);
}

}  // namespace
}  // namespace vmae::stats
