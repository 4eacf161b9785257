#include "vmae/nnunet/labels.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/errors.h"
#include "support/nnunet_cases.h"

namespace vmae::nnunet {
namespace {

Labels labels_of(const std::string& text) { return labels_of_json(text, "some/dataset.json"); }

std::string label_error(const std::string& text) {
  const Error error = test::error_of([&] { labels_of(text); });
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_TRUE(test::contains(error.what(), "some/dataset.json"));
  return error.what();
}

std::vector<std::vector<int64_t>> values_of(const Labels& labels) {
  std::vector<std::vector<int64_t>> values;
  for (const LabelEntry& entry : labels.foreground) values.push_back(entry.values);
  return values;
}

void expect_as_label_manager(const test::OrderedJson& row) {
  const Labels labels = labels_of(row.at("dataset").dump());
  EXPECT_EQ(labels.has_regions(), row.at("has_regions").get<bool>());
  EXPECT_EQ(labels.num_heads(), row.at("heads").get<int64_t>());
  EXPECT_EQ(labels.has_ignore, !row.at("ignore").is_null());
  EXPECT_EQ(test::OrderedJson(values_of(labels)), row.at("foreground"));
  for (const LabelEntry& entry : labels.foreground) {
    const test::OrderedJson& value = row.at("dataset").at("labels").at(entry.name);
    EXPECT_TRUE(value == test::OrderedJson(entry.values) || value == entry.values.front() ||
                value == std::to_string(entry.values.front()));
  }
  const auto num_voxels = static_cast<int64_t>(row.at("painted").size());
  std::vector<float> logits;
  for (int64_t i = 0; i < labels.num_heads() * num_voxels; ++i)
    logits.push_back(static_cast<float>(static_cast<int64_t>(test::hashed(static_cast<uint64_t>(i + 7)) % 5) - 2) / 4);
  std::vector<uint8_t> numbers(static_cast<size_t>(num_voxels), 77);
  paint(labels, logits.data(), num_voxels, numbers.data());
  EXPECT_EQ(test::OrderedJson(numbers), row.at("painted"));
}

void expect_written_as_read(const test::OrderedJson& row) {
  const Labels labels = labels_of(row.at("dataset").dump());
  const std::string text = dataset_json_text(labels, {"CT"}, 3, ".nii.gz", "");
  EXPECT_EQ(labels_of(text), labels);
  const test::OrderedJson written = test::OrderedJson::parse(text).at("labels");
  EXPECT_EQ(written.at("background"), 0);
  EXPECT_EQ(written.value("ignore", test::OrderedJson()), row.at("ignore"));
}

// tests/golden/make_nnunet_loader.py: what LabelManager makes of the same dictionaries.
TEST(Labels, AreLabelManagers) {
  const auto rows = test::nnunet_loader_rows("labels");
  ASSERT_EQ(rows.size(), 22U);
  for (const auto& row : rows) {
    SCOPED_TRACE(row.at("dataset").dump());
    if (row.at("refused").get<bool>()) {
      label_error(row.at("dataset").dump());
    } else {
      expect_as_label_manager(row);
      expect_written_as_read(row);
    }
  }
}

TEST(Labels, RefuseWhatHasNoMeaning) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"[1]", "holds no object"},
      {"{}", "has no \"labels\""},
      {R"({"labels": [0, 1]})", "\"labels\" is [0,1]; meant is an object"},
      {R"({"labels": {"background": 0}})", "at least one label besides the background"},
      {R"({"labels": {"background": 0, "a": 2}})", "\"labels.a\" is 2; classes are meant to be 1, 2, ..."},
      {R"({"labels": {"background": 0, "a": 1, "b": 1}})", "\"labels.b\" is 1; classes are meant to be 1, 2, ..."},
      {R"({"labels": {"background": 0, "a": -1}})", "\"labels.a\" is -1"},
      {R"({"labels": {"background": 0, "a": "-1"}})", "\"labels.a\" is \"-1\"; meant is a number from 0 to 254"},
      {R"({"labels": {"background": 0, "a": 255}})", "\"labels.a\" is 255; meant is a number from 0 to 254"},
      {R"({"labels": {"background": 0, "a": 1.5}})", "\"labels.a\" is 1.5"},
      {R"({"labels": {"background": 0, "a": true}})", "\"labels.a\" is true"},
      {R"({"labels": {"background": 0, "a": []}})", "\"labels.a\" is []; meant is at least one number"},
      {R"({"labels": {"background": 0, "a": 1, "b": [0, 0]}, "regions_class_order": [1]})",
       "\"labels.b\" is [0,0]; meant is a region of the foreground"},
      {R"({"labels": {"background": 0, "a": [1, [2]]}})", "\"labels.a.1\" is [2]"},
      {R"({"labels": {"background": 0, "a": 1, "ignore": 3}})",
       "\"labels.ignore\" is 3; meant is the highest label + 1: 2"},
      {R"({"labels": {"background": 0, "a": [1, 2]}})", "has no \"regions_class_order\""},
      {R"({"labels": {"background": 0, "a": [1, 2]}, "regions_class_order": [1, 2]})",
       "\"regions_class_order\" is [1,2]; meant are as many as \"labels\" has regions: 1"},
      {R"({"labels": {"background": 0, "a": [1, 2]}, "regions_class_order": [300]})",
       "\"regions_class_order.0\" is 300"},
      {R"({"labels": {"background": [0, 0], "a": 1}})", "\"labels.background\" is [0,0]; meant is 0"}};
  for (const auto& [text, message] : cases) EXPECT_TRUE(test::contains(label_error(text), message)) << text;
}

TEST(Labels, OfClasses) {
  const Labels labels = labels_of_classes({"liver", "tumour"}, true);
  EXPECT_EQ(labels.foreground, (std::vector<LabelEntry>{{"liver", {1}}, {"tumour", {2}}}));
  EXPECT_TRUE(labels.has_ignore);
  EXPECT_FALSE(labels.has_regions());
  EXPECT_EQ(labels.num_heads(), 3);
  EXPECT_EQ(labels_of_classes(std::vector<std::string>(254, "x"), false).foreground.back().values.front(), 254);
  EXPECT_EQ(test::error_of([] { labels_of_classes({}, false); }).code(), ExitCode::data);
  EXPECT_EQ(test::error_of([] { labels_of_classes(std::vector<std::string>(255, "x"), false); }).code(),
            ExitCode::data);
}

TEST(Labels, AreWrittenAsNnUnetNamesThem) {
  Labels labels{{{"whole", {1, 2}}, {"core", {2}}}, {1, 2}, true};
  EXPECT_EQ(dataset_json_text(labels, {"T1", "T2"}, 12, ".mha", "SimpleITKIO"), R"({
    "channel_names": {
        "0": "T1",
        "1": "T2"
    },
    "labels": {
        "background": 0,
        "whole": [
            1,
            2
        ],
        "core": 2,
        "ignore": 3
    },
    "numTraining": 12,
    "file_ending": ".mha",
    "regions_class_order": [
        1,
        2
    ],
    "overwrite_image_reader_writer": "SimpleITKIO"
})");
  for (const std::string name : {"whole", "background", "ignore"}) {
    labels.foreground[1].name = name;
    const Error error = test::error_of([&] { dataset_json_text(labels, {"T1"}, 1, ".mha", ""); });
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_TRUE(test::contains(error.what(), concat("can't be called \"", name, "\"")));
  }
}

}  // namespace
}  // namespace vmae::nnunet
