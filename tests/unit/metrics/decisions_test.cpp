// Against numbers worked out by hand.
#include "vmae/metrics/decisions.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace vmae::metrics {
namespace {

// "metric class" -> value.
std::map<std::string, double> values_of(const ClassificationStudy& study, std::vector<double> thresholds,
                                        const std::vector<uint32_t>& weights) {
  const Decisions decisions(study, 0, std::move(thresholds));
  std::vector<double> values(decisions.names().size());
  decisions.values(weights, values);
  std::map<std::string, double> result;
  for (size_t k = 0; k < values.size(); ++k)
    result[decisions.names()[k].metric + " " + decisions.names()[k].class_name] = values[k];
  EXPECT_EQ(result.size(), values.size());
  return result;
}

void expect_values(const std::map<std::string, double>& values, const std::map<std::string, double>& expected) {
  EXPECT_EQ(values.size(), expected.size());
  for (const auto& [name, value] : expected) {
    ASSERT_TRUE(values.contains(name)) << name;
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(values.at(name))) << name;
    else
      EXPECT_NEAR(values.at(name), value, 1e-7) << name;  // confidences are kept in 32 bits
  }
}

const ClassificationStudy binary{.kind = LabelKind::binary,
                                 .models = {"m"},
                                 .cases = {"a", "b", "c", "d", "e"},
                                 .patients = {},
                                 .classes = {"ill"},
                                 .negative_class = "well",
                                 .scores = {{{0.9, 0.5, 0.45, 0.1, 1.0}}},
                                 .labels = {{1, 0, 1, 0, 1}}};

TEST(Decisions, OfOneScore) {
  // Threshold 0.5 (counts as yes): a and e right, b wrong, c wrong,
  // d right. Bins: [0.9, 1] with a and e, and one each with b, c, d.
  expect_values(values_of(binary, {0.5}, {1, 1, 1, 1, 1}), {{"sensitivity ill", 2.0 / 3},
                                                            {"specificity ill", 1.0 / 2},
                                                            {"F1 ill", 4.0 / 6},
                                                            {"accuracy all", 3.0 / 5},
                                                            {"balanced_accuracy all", (2.0 / 3 + 1.0 / 2) / 2},
                                                            {"Brier all", (0.01 + 0.25 + 0.3025 + 0.01 + 0) / 5},
                                                            {"ECE all", (0.1 + 0.5 + 0.55 + 0.1) / 5}});
  // a twice, b and e not at all.
  expect_values(values_of(binary, {0.5}, {2, 0, 1, 1, 0}), {{"sensitivity ill", 2.0 / 3},
                                                            {"specificity ill", 1},
                                                            {"F1 ill", 4.0 / 5},
                                                            {"accuracy all", 3.0 / 4},
                                                            {"balanced_accuracy all", (2.0 / 3 + 1) / 2},
                                                            {"Brier all", (0.02 + 0.3025 + 0.01) / 4},
                                                            {"ECE all", (0.2 + 0.55 + 0.1) / 4}});
}

TEST(Decisions, CalibrationAddsUpBins) {
  const std::vector<CalibrationBin> bins =
      Decisions(binary, 0, {0.5}).calibration(0, std::vector<uint32_t>{1, 2, 1, 1, 3});
  ASSERT_EQ(bins.size(), 10U);
  EXPECT_EQ(bins[9].count, 4);  // 1.0 lies in the last bin
  EXPECT_NEAR(bins[9].confidence_sum, 0.9 + 3 * 1.0, 1e-7);
  EXPECT_EQ(bins[9].correct_sum, 4);
  EXPECT_EQ(bins[5].count, 2);
  EXPECT_EQ(bins[5].correct_sum, 0);
  EXPECT_EQ(bins[4].correct_sum, 1);
  EXPECT_EQ(bins[1].count, 1);
  EXPECT_EQ(bins[0].count, 0);
}

TEST(Decisions, ScoresThatAreNoProbabilities) {
  ClassificationStudy study = binary;
  study.scores = {{{9, -5, 4, -1, 10}}};
  const auto values = values_of(study, {4.5}, {1, 1, 1, 1, 1});
  EXPECT_DOUBLE_EQ(values.at("sensitivity ill"), 2.0 / 3);
  EXPECT_DOUBLE_EQ(values.at("specificity ill"), 1);
  EXPECT_TRUE(std::isnan(values.at("Brier all")));
  EXPECT_TRUE(std::isnan(values.at("ECE all")));
  for (const CalibrationBin& bin : Decisions(study, 0, {4.5}).calibration(0, std::vector<uint32_t>(5, 1)))
    EXPECT_EQ(bin.count, 0);
}

TEST(Decisions, OfExclusiveClasses) {
  // Truth x, x, y, z; decided x, y, y, x.
  const ClassificationStudy study{.kind = LabelKind::multi_class,
                                  .models = {"m"},
                                  .cases = {"a", "b", "c", "d"},
                                  .patients = {},
                                  .classes = {"x", "y", "z"},
                                  .scores = {{{0.7, 0.3, 0.2, 0.6}, {0.2, 0.6, 0.75, 0.1}, {0.1, 0.1, 0.05, 0.3}}},
                                  .labels = {{1, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}}};
  const double brier[] = {0.09 + 0.04 + 0.01, 0.49 + 0.36 + 0.01, 0.04 + 0.0625 + 0.0025, 0.36 + 0.01 + 0.49};
  // Confidence in decisions: 0.7 right, 0.6 wrong, 0.75 right, 0.6 wrong.
  expect_values(values_of(study, {}, {1, 1, 1, 1}),
                {{"sensitivity x", 1.0 / 2},
                 {"specificity x", 1.0 / 2},
                 {"F1 x", 1.0 / 2},
                 {"sensitivity y", 1},
                 {"specificity y", 2.0 / 3},
                 {"F1 y", 2.0 / 3},
                 {"sensitivity z", 0},
                 {"specificity z", 1},
                 {"F1 z", 0},
                 {"sensitivity macro", 1.0 / 2},
                 {"specificity macro", (1.0 / 2 + 2.0 / 3 + 1) / 3},
                 {"F1 macro", (1.0 / 2 + 2.0 / 3) / 3},
                 {"accuracy all", 1.0 / 2},
                 {"balanced_accuracy all", 1.0 / 2},
                 {"Brier all", (brier[0] + brier[1] + brier[2] + brier[3]) / 4},
                 {"ECE all", (std::abs(0.7 + 0.75 - 2) + std::abs(0.6 + 0.6)) / 4}});
  const auto weighted = values_of(study, {}, {1, 2, 3, 0});
  EXPECT_DOUBLE_EQ(weighted.at("sensitivity x"), 1.0 / 3);
  EXPECT_DOUBLE_EQ(weighted.at("specificity x"), 1);
  EXPECT_TRUE(std::isnan(weighted.at("sensitivity z")));  // no case of z is left
  EXPECT_DOUBLE_EQ(weighted.at("sensitivity macro"), (1.0 / 3 + 1) / 2);
  EXPECT_DOUBLE_EQ(weighted.at("accuracy all"), 4.0 / 6);
  EXPECT_NEAR(weighted.at("Brier all"), (brier[0] + 2 * brier[1] + 3 * brier[2]) / 6, 1e-12);
}

TEST(Decisions, OfFindings) {
  // Thresholds 0.5 and 0.2. The second finding of case c is not known.
  const ClassificationStudy study{.kind = LabelKind::multi_label,
                                  .models = {"m"},
                                  .cases = {"a", "b", "c"},
                                  .patients = {},
                                  .classes = {"f", "g"},
                                  .scores = {{{0.8, 0.4, 0.1}, {0.3, 0.25, 0.9}}},
                                  .labels = {{1, 1, 0}, {0, 0, -1}}};
  const double nan = std::nan("");
  expect_values(values_of(study, {0.5, 0.2}, {1, 1, 2}), {{"accuracy f", 3.0 / 4},
                                                          {"sensitivity f", 1.0 / 2},
                                                          {"specificity f", 1},
                                                          {"F1 f", 2.0 / 3},
                                                          {"balanced_accuracy f", 3.0 / 4},
                                                          {"Brier f", (0.04 + 0.36 + 2 * 0.01) / 4},
                                                          {"ECE f", (0.2 + 0.6 + 2 * 0.1) / 4},
                                                          {"accuracy g", 0},
                                                          {"sensitivity g", nan},
                                                          {"specificity g", 0},
                                                          {"F1 g", 0},
                                                          {"balanced_accuracy g", nan},
                                                          {"Brier g", (0.09 + 0.0625) / 2},
                                                          {"ECE g", (0.3 + 0.25) / 2},
                                                          {"accuracy mean", 3.0 / 8},
                                                          {"sensitivity mean", 1.0 / 2},
                                                          {"specificity mean", 1.0 / 2},
                                                          {"F1 mean", 1.0 / 3},
                                                          {"balanced_accuracy mean", 3.0 / 4},
                                                          {"Brier mean", (0.42 / 4 + 0.1525 / 2) / 2},
                                                          {"ECE mean", (1.0 / 4 + 0.55 / 2) / 2}});
}

}  // namespace
}  // namespace vmae::metrics
