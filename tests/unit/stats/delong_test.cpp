#include "vmae/stats/delong.h"

#include <gtest/gtest.h>

#include "simulate.h"
#include "support/errors.h"

namespace vmae::stats {
namespace {

constexpr double same = 1e-10;
constexpr double infinity = std::numeric_limits<double>::infinity();

TEST(DeLong, IsWhatProcSays) {
  const auto sets = test::golden("delong.json");
  ASSERT_GE(sets.size(), 50);
  for (size_t k = 0; k < sets.size(); ++k) {
    SCOPED_TRACE(k);
    const auto& set = sets[k];
    const auto labels = set["labels"].get<std::vector<uint8_t>>();
    const auto a = set["a"].get<std::vector<double>>(), b = set["b"].get<std::vector<double>>();
    const double level = set["level"];
    const Auroc auroc_a = delong(a, labels), auroc_b = delong(b, labels);
    EXPECT_NEAR(auroc_a.auc, set["auc"][0].get<double>(), same);
    EXPECT_NEAR(auroc_b.auc, set["auc"][1].get<double>(), same);
    EXPECT_NEAR(auroc_a.variance, set["variance"][0].get<double>(), same);
    EXPECT_NEAR(auroc_b.variance, set["variance"][1].get<double>(), same);
    const Interval interval = delong_interval(auroc_a, level);
    EXPECT_NEAR(interval.low, set["interval_a"][0].get<double>(), same);
    EXPECT_NEAR(interval.high, set["interval_a"][1].get<double>(), same);

    const AurocComparison test = delong_test(a, b, labels, level);
    EXPECT_EQ(test.auc_a, auroc_a.auc);
    EXPECT_EQ(test.auc_b, auroc_b.auc);
    EXPECT_NEAR(test.difference, auroc_a.auc - auroc_b.auc, 1e-14);
    EXPECT_NEAR(test.z, set["z"].get<double>(), same);
    EXPECT_NEAR(test.p, set["p"].get<double>(), same);
    EXPECT_NEAR(test.interval.low, set["interval"][0].get<double>(), same);
    EXPECT_NEAR(test.interval.high, set["interval"][1].get<double>(), same);
    EXPECT_EQ(test.remark, "");
  }
}

TEST(DeLong, OneClassOrOneCaseOfAClass) {
  const Auroc none = delong(std::vector<double>{1, 2, 3}, std::vector<uint8_t>{1, 1, 1});
  EXPECT_TRUE(std::isnan(none.auc) && std::isnan(none.variance));
  EXPECT_EQ(none.num_positive, 3);
  EXPECT_EQ(none.remark, "no negative case");
  EXPECT_TRUE(std::isnan(delong_interval(none).low));
  EXPECT_EQ(delong_interval(none).remark, none.remark);
  EXPECT_EQ(delong({}, {}).remark, "no positive case");
  EXPECT_EQ(delong(std::vector<double>{1}, std::vector<uint8_t>{1}).remark, "no negative case");

  const std::vector<double> scores{1, 2, 3};
  const std::vector<uint8_t> labels{0, 1, 0};
  const Auroc one = delong(scores, labels);
  EXPECT_EQ(one.auc, 0.5);
  EXPECT_TRUE(std::isnan(one.variance) && std::isnan(delong_interval(one).high));
  EXPECT_EQ(one.remark, "only one positive case: no variance");
  const AurocComparison test = delong_test(scores, scores, labels);
  EXPECT_TRUE(std::isnan(test.p) && std::isnan(test.z) && std::isnan(test.interval.low));
  EXPECT_EQ(test.remark, one.remark);
}

TEST(DeLong, NoVariance) {
  const std::vector<uint8_t> labels{0, 0, 0, 1, 1, 1};
  const std::vector<double> right{1, 2, 3, 4, 5, 6}, also_right{1, 1, 1, 2, 3, 3}, wrong{6, 5, 4, 3, 2, 1},
      tied(6, 0.3);
  const Auroc perfect = delong(right, labels);
  EXPECT_EQ(perfect.auc, 1);
  EXPECT_EQ(perfect.variance, 0);
  EXPECT_EQ(perfect.remark, "perfect separation: the variance is 0");
  EXPECT_EQ(delong_interval(perfect).low, 1);
  EXPECT_EQ(delong(tied, labels).auc, 0.5);
  EXPECT_EQ(delong(tied, labels).remark, "the variance is 0");

  const AurocComparison same_ranks = delong_test(right, also_right, labels);
  EXPECT_EQ(same_ranks.z, 0);
  EXPECT_EQ(same_ranks.p, 1);
  EXPECT_EQ(same_ranks.remark, "both models rank every case alike");
  for (const auto& other : {wrong, tied}) {
    const AurocComparison test = delong_test(right, other, labels), turned = delong_test(other, right, labels);
    EXPECT_EQ(test.z, infinity);
    EXPECT_EQ(turned.z, -infinity);
    EXPECT_EQ(test.p, 0);
    EXPECT_EQ(test.interval.low, test.difference);
    EXPECT_EQ(test.remark, "the difference has no variance");
  }
}

TEST(DeLong, IdenticalModels) {
  Random random(3);
  const test::Scored sample = test::scored(random, 137, 0.3, 1, 30);
  std::vector<double> scaled;
  for (const double score : sample.scores) scaled.push_back(score / 3 - 7);
  const AurocComparison test = delong_test(sample.scores, scaled, sample.labels);
  EXPECT_EQ(test.variance, 0);
  EXPECT_EQ(test.z, 0);
  EXPECT_EQ(test.p, 1);
  EXPECT_EQ(test.interval.low, 0);
  EXPECT_EQ(test.remark, "both models rank every case alike");
}

TEST(DeLong, RefusesWhatIsNotASample) {
  const std::vector<double> scores{1, 2, 3}, not_finite{1, infinity, 3}, nan{1, 2, std::nan("")}, fewer{1, 2};
  const std::vector<uint8_t> labels{0, 1, 0};
  EXPECT_TRUE(test::contains(test::error_of([&] { delong(fewer, labels); }).what(), "2 scores, but 3 labels"));
  EXPECT_TRUE(test::contains(test::error_of([&] { delong(not_finite, labels); }).what(), "score 1 is inf"));
  EXPECT_EQ(test::error_of([&] { delong_test(scores, nan, labels); }).code(), ExitCode::data);
  EXPECT_EQ(test::error_of([&] { delong_test(scores, fewer, labels); }).code(), ExitCode::data);
  EXPECT_EQ(test::error_of([&] { delong_interval(delong(scores, labels), 95); }).code(), ExitCode::usage);
}

}  // namespace
}  // namespace vmae::stats
