#include "vmae/nnunet/preprocess.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "support/errors.h"
#include "support/source_path.h"

namespace vmae::nnunet {
namespace {

using nlohmann::json;

CaseVoxels voxels_of_row(const json& row) {
  CaseVoxels voxels;
  voxels.name = "case";
  voxels.shape = row.at("shape");
  voxels.spacing = row.at("spacing");
  voxels.channels = row.at("image").get<std::vector<std::vector<float>>>();
  voxels.labels = row.at("labels").get<std::vector<uint8_t>>();
  return voxels;
}

Plans plans_of_row(const json& row) {
  Plans plans;
  plans.transpose_forward = row.at("forward");
  plans.flat.spacing = row.at("target");
  plans.flat.normalization = row.at("schemes").get<std::vector<std::string>>();
  plans.flat.use_mask.assign(plans.flat.normalization.size(), row.at("use_mask").get<bool>());
  // as in make_nnunet_preprocess.py
  plans.channels.assign(plans.flat.normalization.size(), {255.0, 101.5, 100.0, 1.0, 31.25, 190.5, 43.75});
  return plans;
}

// tests/golden/make_nnunet_preprocess.py: what nnU-Net makes of the same arrays.
TEST(Preprocess, MakesNnUnetsArrays) {
  std::ifstream file(test::source_path("tests/golden/nnunet_preprocess.json"));
  const json rows = json::parse(file);
  ASSERT_GE(rows.size(), 11U);
  for (const json& row : rows) {
    SCOPED_TRACE(row.dump().substr(0, 150));
    const PreprocessedCase made = preprocess(voxels_of_row(row), plans_of_row(row));
    for (size_t axis = 0; axis < 3; ++axis)
      EXPECT_EQ(json::array({made.box.begin[axis], made.box.end[axis]}), row.at("box")[axis]);
    ASSERT_EQ(json(made.shape), row.at("out_shape"));
    EXPECT_EQ(json(made.labels), row.at("out_labels"));
    const auto expected = row.at("out").get<std::vector<std::vector<float>>>();
    ASSERT_EQ(made.channels.size(), expected.size());
    for (size_t channel = 0; channel < expected.size(); ++channel) {
      ASSERT_EQ(made.channels[channel].size(), expected[channel].size());
      float most = 0;
      for (size_t i = 0; i < expected[channel].size(); ++i)
        most = std::max(most, std::abs(made.channels[channel][i] - expected[channel][i]) /
                                  std::max(1.0F, std::abs(expected[channel][i])));
      EXPECT_LT(most, 2e-5) << "channel " << channel;
    }
  }
}

TEST(Preprocess, WithoutLabelsSaysWhatIsOutside) {
  CaseVoxels voxels;
  voxels.shape = {3, 5, 5};
  voxels.channels = {std::vector<float>(75, 1)};
  voxels.channels[0][37] = 0;  // the middle: filled
  voxels.channels[0][0] = 0;   // a corner
  Plans plans;
  plans.flat.spacing = {1, 1};
  plans.flat.normalization = {"NoNormalization"};
  plans.flat.use_mask = {false};
  plans.channels.resize(1);
  const PreprocessedCase made = preprocess(voxels, plans);
  EXPECT_EQ(made.labels[37], 0);
  EXPECT_EQ(made.labels[0], -1);
  EXPECT_EQ(std::count(made.labels.begin(), made.labels.end(), -1), 1);
}

TEST(Preprocess, RefusesWhatDoesNotFitThePlan) {
  CaseVoxels voxels;
  voxels.name = "case7";
  voxels.shape = {1, 2, 2};
  voxels.channels = {{1, 2, 3, 256}};
  Plans plans;
  plans.flat.spacing = {1, 1};
  plans.channels.resize(1);
  const auto message = [&] { return std::string(test::error_of([&] { preprocess(voxels, plans); }).what()); };
  EXPECT_TRUE(test::contains(message(), "case7: has 1 channels, but its plan has 0"));
  plans.flat.normalization = {"RGBTo01Normalization"};
  plans.flat.use_mask = {false};
  EXPECT_TRUE(test::contains(message(), "from 1 to 256"));
  plans.flat.spacing = {5, 1};
  EXPECT_TRUE(test::contains(message(), "less than half a voxel"));
  voxels.channels[0][2] = NAN;
  EXPECT_TRUE(test::contains(message(), "NaN"));
}

}  // namespace
}  // namespace vmae::nnunet
