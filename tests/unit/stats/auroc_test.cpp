#include "vmae/stats/auroc.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "vmae/core/random.h"

namespace vmae::stats {
namespace {

double by_pairs(const std::vector<double>& scores, const std::vector<uint8_t>& labels) {
  double wins = 0, pairs = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    for (size_t j = 0; j < scores.size(); ++j) {
      if (labels[i] == 0 || labels[j] == 1) continue;
      wins += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
      ++pairs;
    }
  }
  return wins / pairs;
}

TEST(Auroc, IsTheShareOfPairs) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Random random(seed);
    std::vector<double> scores;
    std::vector<uint8_t> labels{0, 1};
    for (size_t i = 0; i < 2 + seed; ++i) {
      scores.push_back(static_cast<double>(random.below(6)) / 5);  // many ties
      if (i >= 2) labels.push_back(random.chance(0.3));
    }
    EXPECT_NEAR(auroc(scores, labels), by_pairs(scores, labels), 1e-12) << seed;
  }
}

TEST(Auroc, OneClassHasNone) {
  EXPECT_TRUE(std::isnan(auroc(std::vector<double>{0.1, 0.2}, std::vector<uint8_t>{1, 1})));
  EXPECT_TRUE(std::isnan(auroc({}, {})));
}

}  // namespace
}  // namespace vmae::stats
