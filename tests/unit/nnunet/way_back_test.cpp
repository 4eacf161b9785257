// Logits on the grid of their case, against nnU-Net (tests/golden/make_nnunet_inference.py).
#include "vmae/nnunet/way_back.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "support/source_path.h"

namespace vmae::nnunet {
namespace {

using nlohmann::ordered_json;

// As logits_of() of the generator.
std::vector<float> drawn_logits(int64_t count) {
  int64_t state = 1;
  std::vector<float> logits;
  for (int64_t i = 0; i < count; ++i) {
    state = (1103515245 * state + 12345) % (int64_t{1} << 31);
    logits.push_back(static_cast<float>((state >> 8) % 513 - 256) / 64.0F);
  }
  return logits;
}

Labels labels_of_row(const ordered_json& dataset) {
  Labels labels;
  for (const auto& [name, values] : dataset.at("labels").items()) {
    if (name == "background" || name == "ignore") continue;
    labels.foreground.push_back(
        {name, values.is_array() ? values.get<std::vector<int64_t>>() : std::vector<int64_t>{values.get<int64_t>()}});
  }
  labels.has_ignore = dataset.at("labels").contains("ignore");
  if (dataset.contains("regions_class_order"))
    labels.region_order = dataset.at("regions_class_order").get<std::vector<int64_t>>();
  return labels;
}

PreprocessedCase case_of_row(const ordered_json& row) {
  PreprocessedCase of;
  of.shape = row.at("shape");
  of.shape_after_crop = row.at("after");
  of.shape_before_crop = row.at("before");
  of.box.begin = row.at("begin");
  const std::array<int64_t, 3> forward = row.at("forward");
  const std::array<double, 3> spacing = row.at("spacing");
  for (size_t axis = 0; axis < 3; ++axis) {
    of.box.end[axis] = of.box.begin[axis] + of.shape_after_crop[axis];
    of.spacing[axis] = spacing[static_cast<size_t>(forward[axis])];
  }
  return of;
}

Plans plans_of_row(const ordered_json& row) {
  Plans plans;
  plans.transpose_forward = row.at("forward");
  for (size_t axis = 0; axis < 3; ++axis)
    plans.transpose_backward[static_cast<size_t>(plans.transpose_forward[axis])] = static_cast<int64_t>(axis);
  plans.flat.spacing = row.at("target");
  plans.flat.probabilities.order = row.at("order");
  if (!row.at("separate").is_null()) plans.flat.probabilities.force_separate_z = row.at("separate").get<bool>();
  return plans;
}

// All heads, z y x, every seventh.
std::vector<float> sampled_probabilities(const Prediction& made) {
  std::vector<float> all, sampled;
  for (const std::vector<float>& head : made.probabilities) all.insert(all.end(), head.begin(), head.end());
  for (size_t i = 0; i < all.size(); i += 7) sampled.push_back(all[i]);
  return sampled;
}

TEST(WayBack, GivesNnUnetsNumbersAndProbabilities) {
  std::ifstream file(test::source_path("tests/golden/nnunet_inference.json"));
  const ordered_json rows = ordered_json::parse(file).at("back");
  ASSERT_GE(rows.size(), 13U);
  for (const ordered_json& row : rows) {
    SCOPED_TRACE(row.dump().substr(0, 330));
    const Labels labels = labels_of_row(row.at("dataset"));
    const PreprocessedCase of = case_of_row(row);
    const std::vector<float> logits = drawn_logits(labels.num_heads() * of.shape[0] * of.shape[1] * of.shape[2]);
    const Prediction made = way_back(logits, of, plans_of_row(row), labels, /*with_probabilities=*/true);

    const auto expected = row.at("numbers").get<std::string>();
    ASSERT_EQ(made.numbers.size(), expected.size());
    int64_t num_other = 0;
    for (size_t i = 0; i < expected.size(); ++i) num_other += made.numbers[i] == expected[i] - '0' ? 0 : 1;
    EXPECT_LE(num_other, std::ssize(expected) / 1000);  // ties

    const std::vector<float> probabilities = sampled_probabilities(made);
    const auto meant = row.at("probabilities").get<std::vector<float>>();
    ASSERT_EQ(probabilities.size(), meant.size());
    float most = 0;
    for (size_t i = 0; i < meant.size(); ++i) most = std::max(most, std::abs(probabilities[i] - meant[i]));
    EXPECT_LT(most, 2e-6);
  }
}

TEST(WayBack, WithoutProbabilitiesHasTheSameNumbers) {
  std::ifstream file(test::source_path("tests/golden/nnunet_inference.json"));
  const ordered_json golden = ordered_json::parse(file);
  const ordered_json& row = golden.at("back").at(1);
  const Labels labels = labels_of_row(row.at("dataset"));
  const PreprocessedCase of = case_of_row(row);
  const std::vector<float> logits = drawn_logits(labels.num_heads() * of.shape[0] * of.shape[1] * of.shape[2]);
  const Prediction without = way_back(logits, of, plans_of_row(row), labels, /*with_probabilities=*/false);
  EXPECT_TRUE(without.probabilities.empty());
  EXPECT_EQ(without.numbers, way_back(logits, of, plans_of_row(row), labels, /*with_probabilities=*/true).numbers);
}

}  // namespace
}  // namespace vmae::nnunet
