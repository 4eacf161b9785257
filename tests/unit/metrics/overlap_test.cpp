// Scores of classes by their definitions, and what stands where a class is missing.
#include "vmae/metrics/overlap.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/brute_force.h"
#include "support/errors.h"

namespace vmae::metrics {
namespace {

using test::BruteForce;
using test::RandomPair;

constexpr SegmentationOptions kOptions{.tolerance_mm = 1.7};

TEST(Overlap, ScoresAreTheirDefinitions) {
  int num_compared = 0;
  for (uint32_t seed = 1000; seed < 1300; ++seed) {
    SCOPED_TRACE(seed);
    const RandomPair pair(seed, 3, seed % 3 == 0);
    const std::vector<ClassScores> all = score_segmentation(pair.a, pair.b, pair.grid, 3, kOptions);
    ASSERT_EQ(all.size(), 3U);
    for (uint8_t label = 1; label <= 3; ++label) {
      const ClassScores& scores = all[label - 1U];
      int64_t tp = 0, fp = 0, fn = 0;
      for (size_t i = 0; i < pair.a.size(); ++i) {
        const bool is_predicted = pair.a[i] == label, is_true = pair.b[i] == label;
        tp += is_predicted && is_true;
        fp += is_predicted && !is_true;
        fn += !is_predicted && is_true;
      }
      EXPECT_EQ(scores.true_positives, tp);
      EXPECT_EQ(scores.false_positives, fp);
      EXPECT_EQ(scores.false_negatives, fn);
      if (tp + fp == 0 || tp + fn == 0) continue;
      ++num_compared;
      const auto t = static_cast<double>(tp), p = static_cast<double>(fp), n = static_cast<double>(fn);
      EXPECT_DOUBLE_EQ(scores.dice, 2 * t / (2 * t + p + n));
      EXPECT_DOUBLE_EQ(scores.iou, t / (t + p + n));
      EXPECT_DOUBLE_EQ(scores.sensitivity, t / (t + n));
      EXPECT_DOUBLE_EQ(scores.precision, t / (t + p));
      const BruteForce expected(pair.a, pair.b, label, pair.grid);
      EXPECT_NEAR(scores.hd95_mm, expected.hd95_pooled(), 1e-11);
      EXPECT_NEAR(scores.hd95_max_directed_mm, expected.hd95_max_directed(), 1e-11);
      EXPECT_NEAR(scores.asd_mm, expected.asd(), 1e-11);
      EXPECT_NEAR(scores.surface_dice, expected.surface_dice(1.7), 1e-12);
      const double voxel_ml = pair.grid.spacing_mm[0] * pair.grid.spacing_mm[1] * pair.grid.spacing_mm[2] / 1000;
      EXPECT_NEAR(scores.truth_ml, (t + n) * voxel_ml, 1e-12);
      EXPECT_NEAR(scores.difference_ml, (p - n) * voxel_ml, 1e-12);
    }
  }
  EXPECT_GT(num_compared, 300);
}

// A region is scored like the one class of maps in which all of its labels are 1.
TEST(Overlap, UnionsOfLabels) {
  const std::vector<std::vector<uint8_t>> unions{{1, 2, 3}, {3, 1}, {2}, {2, 2, 9}};
  for (uint32_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    const RandomPair pair(seed, 3, seed % 3 == 0);
    for (const std::vector<uint8_t>& labels : unions) {
      std::vector<uint8_t> a, b;
      int64_t both = 0;
      for (size_t i = 0; i < pair.a.size(); ++i) {
        a.push_back(std::count(labels.begin(), labels.end(), pair.a[i]) > 0 ? 1 : 0);
        b.push_back(std::count(labels.begin(), labels.end(), pair.b[i]) > 0 ? 1 : 0);
        both += a.back() == 1 && b.back() == 1 ? 1 : 0;
      }
      const ClassScores scores = score_union(pair.a, pair.b, pair.grid, labels, kOptions);
      EXPECT_EQ(scores.true_positives, both);
      EXPECT_EQ(scores.false_negatives, std::count(b.begin(), b.end(), 1) - both);
      EXPECT_EQ(scores.false_positives, std::count(a.begin(), a.end(), 1) - both);
      if (std::count(a.begin(), a.end(), 1) == 0 || std::count(b.begin(), b.end(), 1) == 0) continue;
      const BruteForce expected(a, b, 1, pair.grid);
      EXPECT_NEAR(scores.hd95_mm, expected.hd95_pooled(), 1e-11);
      EXPECT_NEAR(scores.surface_dice, expected.surface_dice(1.7), 1e-12);
    }
  }
}

// Rows longer than the eight voxels that are compared at once, with every kind of change in them.
TEST(Overlap, LongRowsAreCounted) {
  std::mt19937 random(5);
  for (const int64_t width : {7, 8, 9, 64, 1001}) {
    const Grid grid{{width, 3, 1}, {1, 1, 1}};
    std::vector<uint8_t> a(static_cast<size_t>(3 * width)), b(a.size());
    for (size_t i = 0; i < a.size(); ++i) {
      a[i] = i > 0 && random() % 13 > 0 ? a[i - 1] : static_cast<uint8_t>(random() % 256);
      b[i] = random() % 11 > 0 ? a[i] : static_cast<uint8_t>(random() % 256);
    }
    const std::vector<ClassScores> scores = score_segmentation(a, b, grid, 255, {.has_distances = false});
    for (size_t label = 1; label < 256; ++label) {
      int64_t both = 0, predicted = 0, real = 0;
      for (size_t i = 0; i < a.size(); ++i) {
        both += a[i] == label && b[i] == label;
        predicted += a[i] == label;
        real += b[i] == label;
      }
      ASSERT_EQ(scores[label - 1].true_positives, both) << width << ' ' << label;
      ASSERT_EQ(scores[label - 1].false_positives, predicted - both);
      ASSERT_EQ(scores[label - 1].false_negatives, real - both);
    }
  }
}

class MissingClass : public ::testing::Test {
 protected:
  // Class 1 is in the prediction only, 2 in the truth only, 3 in neither.
  std::vector<ClassScores> scores(const SegmentationOptions& options) const {
    return score_segmentation(prediction_, truth_, grid_, 3, options);
  }
  const Grid grid_{{3, 4, 1}, {1, 2, 5}};
  const std::vector<uint8_t> prediction_{1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
      truth_{0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2};
};

TEST_F(MissingClass, InOneMaskOnly) {
  for (const EmptyRule rule : {EmptyRule::leave_out, EmptyRule::one, EmptyRule::zero}) {
    const auto all = scores({.empty = rule});
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(all[i].dice, 0);
      EXPECT_EQ(all[i].iou, 0);
      EXPECT_EQ(all[i].surface_dice, 0);
      EXPECT_TRUE(std::isnan(all[i].hd95_mm) && std::isnan(all[i].hd95_max_directed_mm) && std::isnan(all[i].asd_mm));
    }
    EXPECT_TRUE(std::isnan(all[0].sensitivity));
    EXPECT_EQ(all[0].precision, 0);
    EXPECT_EQ(all[1].sensitivity, 0);
    EXPECT_TRUE(std::isnan(all[1].precision));
    EXPECT_DOUBLE_EQ(all[0].truth_ml, 0);
    EXPECT_DOUBLE_EQ(all[0].difference_ml, 0.02);
    EXPECT_DOUBLE_EQ(all[1].truth_ml, 0.03);
    EXPECT_DOUBLE_EQ(all[1].difference_ml, -0.03);
  }
}

TEST_F(MissingClass, DiagonalOfTheGrid) {
  const auto all = scores({.is_missing_diagonal = true});
  const double diagonal_mm = std::sqrt(9.0 + 64.0);  // a slice: its thickness does not count
  for (size_t i = 0; i < 2; ++i) {
    for (const double mm : {all[i].hd95_mm, all[i].hd95_max_directed_mm, all[i].asd_mm})
      EXPECT_DOUBLE_EQ(mm, diagonal_mm);
  }
  EXPECT_TRUE(std::isnan(all[2].hd95_mm));
}

TEST_F(MissingClass, InNeither) {
  const auto values = [](const ClassScores& s) {
    return std::vector<double>{s.dice, s.iou, s.sensitivity, s.precision, s.surface_dice};
  };
  const auto distances = [](const ClassScores& s) {
    return std::vector<double>{s.hd95_mm, s.hd95_max_directed_mm, s.asd_mm};
  };
  const ClassScores left_out = scores({})[2], one = scores({.empty = EmptyRule::one})[2],
                    zero = scores({.empty = EmptyRule::zero})[2];
  for (const double value : values(left_out)) EXPECT_TRUE(std::isnan(value));
  EXPECT_EQ(values(one), std::vector<double>(5, 1));
  EXPECT_EQ(values(zero), std::vector<double>(5, 0));
  EXPECT_EQ(distances(one), std::vector<double>(3, 0));
  for (const ClassScores& scores : {left_out, zero}) {
    for (const double mm : distances(scores)) EXPECT_TRUE(std::isnan(mm));
  }
  EXPECT_EQ(one.truth_ml, 0);
  EXPECT_EQ(one.difference_ml, 0);
}

TEST_F(MissingClass, WithoutDistancesTheyAreNaN) {
  const std::vector<uint8_t> both{1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2};
  for (const auto& one : score_segmentation(
           both, both, grid_, 3, {.empty = EmptyRule::one, .has_distances = false, .is_missing_diagonal = true})) {
    EXPECT_EQ(one.dice, 1);
    EXPECT_TRUE(std::isnan(one.hd95_mm) && std::isnan(one.hd95_max_directed_mm) && std::isnan(one.asd_mm) &&
                std::isnan(one.surface_dice));
  }
}

TEST_F(MissingClass, CallersErrors) {
  EXPECT_EQ(test::error_of([&] { score_segmentation(prediction_, truth_, grid_, 1, {}); }).code(), ExitCode::internal);
  EXPECT_EQ(test::error_of([&] {
              score_segmentation(prediction_, truth_, {{3, 3, 1}, {1, 1, 1}}, 3, {});
            }).code(),
            ExitCode::internal);
}

TEST(Overlap, MetricsAreNamed) {
  std::vector<std::string> names;
  for (const SegmentationMetric& metric : segmentation_metrics()) names.push_back(metric.name);
  EXPECT_EQ(names, (std::vector<std::string>{"Dice", "IoU", "sensitivity", "precision", "HD95", "HD95_max_directed",
                                             "ASD", "surface_Dice", "volume_difference"}));
}

}  // namespace
}  // namespace vmae::metrics
