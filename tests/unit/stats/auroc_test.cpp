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
    EXPECT_NEAR(auroc(sample.scores, sample.labels), auroc_by_pairs(sample, std::vector<uint32_t>(2 + seed, 1)), 1e-14) << seed;
  }
}

TEST(Auroc, OneClassOrNaNHasNone) {
  EXPECT_TRUE(std::isnan(auroc(std::vector<double>{0.1, 0.2}, std::vector<uint8_t>{1, 1})));
  EXPECT_TRUE(std::isnan(auroc(std::vector<double>{0.1, std::nan("")}, std::vector<uint8_t>{0, 1})));
  EXPECT_TRUE(std::isnan(auroc({}, {})));
}

TEST(Auroc, OfTiesIsAHalf) { EXPECT_EQ(auroc(std::vector<double>(5, 0.3), std::vector<uint8_t>{1, 0, 0, 1, 0}), 0.5); }

}  // namespace
}  // namespace vmae::stats
