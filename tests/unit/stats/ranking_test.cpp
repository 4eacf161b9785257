#include "vmae/stats/ranking.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "simulate.h"
#include "support/errors.h"
#include "vmae/stats/auroc.h"

namespace vmae::stats {
namespace {

using test::scored, test::Scored;

TEST(Ranking, AurocIsTheShareOfWeightedPairs) {
  for (uint64_t seed = 0; seed < 120; ++seed) {
    Random random(seed);
    const size_t n = 2 + seed % 60;
    const Scored sample = scored(random, n, seed % 2 == 0 ? 0.5 : 0.1, 1, 3 * (seed % 4));
    const Ranking ranking = test::ranking_of(sample.scores, sample.labels);
    std::vector<uint32_t> weights(n);
    for (auto& weight : weights) weight = static_cast<uint32_t>(random.below(4));
    weights[0] = weights[1] = 1;  // both classes
    EXPECT_NEAR(ranking.auroc(weights), auroc_by_pairs(sample, weights), 1e-14) << seed;

    Scored written_out;
    for (size_t i = 0; i < n; ++i) {
      written_out.scores.insert(written_out.scores.end(), weights[i], sample.scores[i]);
      written_out.labels.insert(written_out.labels.end(), weights[i], sample.labels[i]);
    }
    EXPECT_EQ(ranking.auroc(weights), auroc(written_out.scores, written_out.labels)) << seed;
  }
}

TEST(Ranking, OneClassWithoutWeightHasNone) {
  const Ranking ranking(std::vector<double>{1, 2, 2}, std::vector<int8_t>{0, 1, 0});
  EXPECT_TRUE(std::isnan(ranking.auroc(std::vector<uint32_t>{2, 0, 1})));
  EXPECT_TRUE(std::isnan(ranking.auroc(std::vector<uint32_t>{0, 3, 0})));
  EXPECT_EQ(ranking.auroc(std::vector<uint32_t>{0, 1, 1}), 0.5);
  EXPECT_EQ(ranking.auroc(std::vector<uint32_t>{1, 1, 0}), 1.0);
  EXPECT_EQ(ranking.auroc(std::vector<uint32_t>{1'000'000'000, 1'000'000'000, 1'000'000'000}), 0.75);  // 2e18 wins
}

TEST(Ranking, RefusesWhatIsNotASample) {
  const auto error = [](std::vector<double> scores, std::vector<int8_t> labels) {
    return test::error_of([&] { (void)Ranking(scores, labels); });
  };
  EXPECT_EQ(error({1, 2}, {0}).code(), ExitCode::data);
  EXPECT_TRUE(test::contains(error({1, std::nan("")}, {0, 1}).what(), "score 1 is nan"));
  EXPECT_TRUE(test::contains(error({1, 2}, {0, 2}).what(), "label 1 is 2"));
}

// The definition, threshold by threshold.
double average_precision_by_thresholds(const Scored& sample, const std::vector<uint32_t>& weights) {
  std::vector<double> thresholds = sample.scores;
  std::sort(thresholds.rbegin(), thresholds.rend());
  double result = 0, recall_before = 0;
  for (const double threshold : thresholds) {  // equal ones add nothing
    double hits = 0, called = 0, positives = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      const bool is_called = sample.scores[i] >= threshold;
      hits += is_called && sample.labels[i] == 1 ? weights[i] : 0;
      called += is_called ? weights[i] : 0;
      positives += sample.labels[i] == 1 ? weights[i] : 0;
    }
    if (called == 0) continue;
    result += (hits / positives - recall_before) * hits / called;
    recall_before = hits / positives;
  }
  return result;
}

TEST(Ranking, AveragePrecisionIsItsDefinition) {
  for (uint64_t seed = 0; seed < 120; ++seed) {
    Random random(seed);
    const size_t n = 2 + seed % 60;
    const Scored sample = scored(random, n, seed % 2 == 0 ? 0.5 : 0.1, 1, 3 * (seed % 4));
    const Ranking ranking = test::ranking_of(sample.scores, sample.labels);
    std::vector<uint32_t> weights(n);
    for (auto& weight : weights) weight = static_cast<uint32_t>(random.below(4));
    weights[1] = 1;  // a positive
    EXPECT_NEAR(ranking.average_precision(weights), average_precision_by_thresholds(sample, weights), 1e-14) << seed;
    weights[0] = 1;
    const Ranking::Values values = ranking.values(weights);
    EXPECT_EQ(values.auroc, ranking.auroc(weights)) << seed;
    EXPECT_EQ(values.average_precision, ranking.average_precision(weights)) << seed;
  }
}

TEST(Ranking, AveragePrecisionNeedsPositives) {
  const Ranking ranking(std::vector<double>{1, 2, 2}, std::vector<int8_t>{0, 1, 0});
  EXPECT_TRUE(std::isnan(ranking.average_precision(std::vector<uint32_t>{2, 0, 1})));
  EXPECT_EQ(ranking.average_precision(std::vector<uint32_t>{0, 3, 0}), 1.0);
  EXPECT_EQ(ranking.average_precision(std::vector<uint32_t>{5, 1, 3}), 0.25);
  EXPECT_TRUE(std::isnan(Ranking({}, {}).values({}).average_precision));
}

// More items than are summed up at once, in groups that lie across.
TEST(Ranking, ManyItemsAndTies) {
  Random random(3);
  for (const uint64_t steps : {0, 9, 200}) {
    const Scored sample = scored(random, 1700, 0.3, 1, steps);
    std::vector<uint32_t> weights(1700);
    for (auto& weight : weights) weight = static_cast<uint32_t>(random.below(3));
    const Ranking::Values values = test::ranking_of(sample.scores, sample.labels).values(weights);
    EXPECT_NEAR(values.auroc, auroc_by_pairs(sample, weights), 1e-13);
    EXPECT_NEAR(values.average_precision, average_precision_by_thresholds(sample, weights), 1e-13);
  }
}

TEST(Ranking, ItemsShareTheWeightOfTheirCase) {
  const std::vector<double> scores{0.9, 0.4, 0.4, 0.1, 0.7};
  const std::vector<int8_t> labels{1, 0, 1, 0, -1};
  const std::vector<uint32_t> cases{0, 1, 2, 0, 1};
  const Ranking ranking(scores, labels, cases);
  EXPECT_EQ(ranking.num_positive(), 2);
  EXPECT_EQ(ranking.num_negative(), 2);
  // Weights by item: 2, 1, 3, 2. Pairs: 5 * 3; won: 2 * 3 + 3 * (2 + 1 / 2).
  const Ranking::Values values = ranking.values(std::vector<uint32_t>{2, 1, 3});
  EXPECT_DOUBLE_EQ(values.auroc, 13.5 / 15);
  EXPECT_DOUBLE_EQ(values.average_precision, 2.0 / 5 + 3.0 / 5 * 5 / 6);
  EXPECT_EQ(test::error_of([&] { ranking.auroc(std::vector<uint32_t>{2, 1}); }).code(), ExitCode::internal);
}

TEST(Ranking, StepsAreTheDistinctScores) {
  const Ranking ranking(std::vector<double>{0.2, 0.5, 0.9, 0.5}, std::vector<int8_t>{0, 1, 0, 0});
  const std::vector<Ranking::Step> steps = ranking.steps(std::vector<uint32_t>{1, 2, 0, 4});
  ASSERT_EQ(steps.size(), 3U);
  const double expected[][3] = {{0.9, 0, 0}, {0.5, 2, 4}, {0.2, 2, 5}};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(steps[i].score, expected[i][0]);
    EXPECT_EQ(steps[i].true_positives, expected[i][1]);
    EXPECT_EQ(steps[i].false_positives, expected[i][2]);
  }
}

}  // namespace
}  // namespace vmae::stats
