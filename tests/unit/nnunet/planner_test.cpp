#include "vmae/nnunet/planner.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "support/errors.h"
#include "support/source_path.h"
#include "support/temp_folder.h"

namespace vmae::nnunet {
namespace {

using nlohmann::json;

json read_golden(const std::string& name) {
  std::ifstream file(test::source_path("tests/golden/" + name));
  return json::parse(file);
}

Fingerprint fingerprint_of_row(const json& row) {
  Fingerprint fingerprint;
  fingerprint.shapes_after_crop = row.at("shapes").get<std::vector<std::array<int64_t, 3>>>();
  fingerprint.spacings = row.at("spacings").get<std::vector<std::array<double, 3>>>();
  fingerprint.channels.resize(row.at("channels").size());
  fingerprint.median_relative_size_after_cropping = row.at("relative_size");
  return fingerprint;
}

// tests/golden/make_nnunet_plans.py: what nnU-Net's planner says.
TEST(Planner, PlansAsNnUnet) {
  const json rows = read_golden("nnunet_planner.json");
  ASSERT_GT(rows.size(), 90U);
  int num_refused = 0;
  for (const json& row : rows) {
    SCOPED_TRACE(row.dump().substr(0, 200));
    DatasetFacts dataset;
    dataset.channel_names = row.at("channels").get<std::vector<std::string>>();
    dataset.num_labels = row.at("labels");
    dataset.num_training = row.at("cases");
    PlannerOptions options;
    options.gpu_memory_gb = row.at("gb");
    if (row.at("strides").size() == 1) {  // nnU-Net's network has no output then
      const Error error = test::error_of([&] { plan(dataset, fingerprint_of_row(row), options); });
      EXPECT_TRUE(test::contains(error.what(), "a network of one stage"));
      ++num_refused;
      continue;
    }
    const Plans plans = plan(dataset, fingerprint_of_row(row), options);
    const Configuration& flat = plans.flat;
    EXPECT_EQ(json(flat.batch_size), row.at("batch_size"));
    EXPECT_EQ(json(flat.patch_size), row.at("patch_size"));
    EXPECT_EQ(json(flat.median_size), row.at("median"));
    EXPECT_EQ(json(flat.spacing), row.at("spacing"));
    EXPECT_EQ(json(flat.normalization), row.at("schemes"));
    EXPECT_EQ(json(flat.use_mask), row.at("use_mask"));
    EXPECT_EQ(json(flat.network.kernels), row.at("kernels"));
    EXPECT_EQ(json(flat.network.strides), row.at("strides"));
    EXPECT_EQ(json(flat.network.features), row.at("features"));
    EXPECT_EQ(json::array({plans.transpose_forward, plans.transpose_backward}), row.at("transpose"));
    EXPECT_EQ(json(plans.median_spacing), row.at("original")[0]);
    EXPECT_EQ(json(plans.median_shape), row.at("original")[1]);
    EXPECT_EQ(json(feature_map_size(flat.network, flat.patch_size, dataset.num_labels)), row.at("estimate"));
  }
  EXPECT_EQ(num_refused, 7);
}

DatasetFacts facts_of_golden(const json& plans, const json& fingerprint, int64_t num_labels) {
  DatasetFacts dataset;
  dataset.name = plans.at("dataset_name");
  dataset.reader_writer = plans.at("image_reader_writer");
  dataset.num_labels = num_labels;
  dataset.num_training = std::ssize(fingerprint.at("spacings"));
  for (const std::string scheme : plans.at("configurations").at("2d").at("normalization_schemes")) {
    const std::string names[] = {"CT", "noNorm", "zscore", "rescale_to_0_1", "rgb_to_0_1"};
    const std::string schemes[] = {"CTNormalization", "NoNormalization", "ZScoreNormalization",
                                   "RescaleTo01Normalization", "RGBTo01Normalization"};
    for (size_t i = 0; i < 5; ++i) {
      if (schemes[i] == scheme) dataset.channel_names.push_back(names[i]);
    }
  }
  return dataset;
}

// Of datasets (tests/e2e/test_plan.py reads their images): from nnU-Net's fingerprint to nnU-Net's file, key by key.
TEST(Planner, WritesNnUnetsFile) {
  const std::map<std::string, int64_t> num_labels{{"isotropic", 3},    {"anisotropic", 4}, {"regions", 4},
                                                  {"ignore", 4},       {"sagittal", 3},    {"hippocampus", 3},
                                                  {"grey_pictures", 3}};
  const test::TempFolder folder;
  const json datasets = read_golden("nnunet_datasets.json");
  ASSERT_GE(datasets.size(), 16U);
  for (const auto& [name, one] : datasets.items()) {
    SCOPED_TRACE(name);
    std::ofstream(folder / "fingerprint.json") << one.at("fingerprint");
    const Fingerprint fingerprint = read_fingerprint(folder / "fingerprint.json");
    write_fingerprint(folder / "fingerprint.json", fingerprint);
    EXPECT_EQ(json::parse(test::slurp(folder / "fingerprint.json")), one.at("fingerprint"));
    const auto labels = num_labels.find(name);
    const DatasetFacts dataset =
        facts_of_golden(one.at("plans"), one.at("fingerprint"), labels == num_labels.end() ? 2 : labels->second);
    write_plans(folder / "plans.json", plan(dataset, fingerprint, {}));
    EXPECT_EQ(json::parse(test::slurp(folder / "plans.json")), one.at("plans"));
    write_plans(folder / "again.json", read_plans(folder / "plans.json"));
    EXPECT_EQ(test::slurp(folder / "again.json"), test::slurp(folder / "plans.json"));
  }
}

TEST(Planner, RefusesWhatCantBePlanned) {
  Fingerprint fingerprint;
  fingerprint.spacings = {{999, 1, 1}};
  fingerprint.shapes_after_crop = {{1, 7, 11}};
  fingerprint.channels.resize(1);
  DatasetFacts dataset;
  dataset.channel_names = {"MRI"};
  dataset.num_training = 1;
  EXPECT_TRUE(test::contains(test::error_of([&] { plan(dataset, fingerprint, {}); }).what(), "7 x 11"));
  fingerprint.spacings = {{1e30, 1, 1}, {1e30, 1, 1}, {1e30, 1, 1}, {0.5, 1, 1}, {0.5, 1, 1}};
  fingerprint.shapes_after_crop.assign(5, {10, 100, 100});
  EXPECT_TRUE(
      test::contains(test::error_of([&] { plan(dataset, fingerprint, {}); }).what(), "the median case would have"));
  dataset.channel_names = {"T1", "T2"};
  EXPECT_TRUE(test::contains(test::error_of([&] { plan(dataset, fingerprint, {}); }).what(), "names 2 channels"));
}

}  // namespace
}  // namespace vmae::nnunet
