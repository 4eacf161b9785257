#include "vmae/stats/auroc.h"

#include <gtest/gtest.h>

#include "simulate.h"
#include "support/errors.h"
#include "vmae/stats/weighted_auroc.h"

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

TEST(WeightedAuroc, IsTheShareOfWeightedPairs) {
  for (uint64_t seed = 0; seed < 120; ++seed) {
    Random random(seed);
    const size_t n = 2 + seed % 60;
    const Scored sample = scored(random, n, seed % 2 == 0 ? 0.5 : 0.1, 1, 3 * (seed % 4));
    const WeightedAuroc weighted(sample.scores, sample.labels);
    std::vector<uint32_t> weights(n);
    for (auto& weight : weights) weight = static_cast<uint32_t>(random.below(4));
    weights[0] = weights[1] = 1;  // both classes
    EXPECT_NEAR(weighted(weights), auroc_by_pairs(sample, weights), 1e-14) << seed;

    Scored written_out;
    for (size_t i = 0; i < n; ++i) {
      written_out.scores.insert(written_out.scores.end(), weights[i], sample.scores[i]);
      written_out.labels.insert(written_out.labels.end(), weights[i], sample.labels[i]);
    }
    EXPECT_EQ(weighted(weights), auroc(written_out.scores, written_out.labels)) << seed;
  }
}

TEST(WeightedAuroc, OneClassWithoutWeightHasNone) {
  const WeightedAuroc weighted(std::vector<double>{1, 2, 2}, std::vector<uint8_t>{0, 1, 0});
  EXPECT_TRUE(std::isnan(weighted(std::vector<uint32_t>{2, 0, 1})));
  EXPECT_TRUE(std::isnan(weighted(std::vector<uint32_t>{0, 3, 0})));
  EXPECT_EQ(weighted(std::vector<uint32_t>{0, 1, 1}), 0.5);
  EXPECT_EQ(weighted(std::vector<uint32_t>{1, 1, 0}), 1.0);
  EXPECT_EQ(weighted(std::vector<uint32_t>{1'000'000'000, 1'000'000'000, 1'000'000'000}), 0.75);  // 2e18 wins
}

TEST(WeightedAuroc, RefusesWhatIsNotASample) {
  const auto error = [](std::vector<double> scores, std::vector<uint8_t> labels) { return test::error_of([&] { (void)WeightedAuroc(scores, labels); }); };
  EXPECT_EQ(error({1, 2}, {0}).code(), ExitCode::data);
  EXPECT_TRUE(test::contains(error({1, std::nan("")}, {0, 1}).what(), "score 1 is nan"));
  EXPECT_TRUE(test::contains(error({1, 2}, {0, 2}).what(), "label 1 is 2"));
}

}  // namespace
}  // namespace vmae::stats
