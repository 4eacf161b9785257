#include "vmae/sources/dataset_json.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace vmae::io {
namespace {

using test::contains;
using test::error_of;
using test::TempFolder;
using Texts = std::vector<std::string>;
using Values = std::vector<int64_t>;

class DatasetJsonTest : public ::testing::Test {
 protected:
  DatasetJson read(const std::string& text) { return read_dataset_json(folder_.write("dataset.json", text)); }
  DatasetJson labels(const std::string& text) { return read("{\"labels\": " + text + "}"); }
  std::string wrong(const std::string& text) {
    const Error error = error_of([&] { read(text); });
    EXPECT_EQ(error.code(), ExitCode::data) << text;
    EXPECT_TRUE(contains(error.what(), "dataset.json")) << text;
    return error.what();
  }
  std::string wrong_labels(const std::string& text) { return wrong("{\"labels\": " + text + "}"); }

 private:
  TempFolder folder_;
};

TEST_F(DatasetJsonTest, NumbersAndNamesEitherWay) {
  for (const char* text :
       {R"({"background": 0, "liver": 1, "tumour": 2})", R"({"0": "background", "1": "liver", "2": "tumour"})",
        R"({"background": "0", "liver": "1", "tumour": "2"})", R"({"tumour": 2.0, "liver": "01", "background": 0})",
        R"({"liver": 1, "2": "tumour"})", R"({"liver": [1], "tumour": ["2"]})", R"(["background", "liver", "tumour"])",
        R"({"background": 0, " liver ": 1, "tumour": 2})"}) {
    const DatasetJson dataset = labels(text);
    EXPECT_EQ(dataset.mask_names, (Texts{"liver", "tumour"})) << text;
    EXPECT_EQ(dataset.ignore_label, -1);
    EXPECT_TRUE(dataset.regions.empty());
    EXPECT_TRUE(dataset.remarks.empty());
  }
  EXPECT_EQ(labels(R"({"1": 1, "2": "2"})").mask_names, (Texts{"1", "2"}));  // names that are numbers
  EXPECT_TRUE(labels("{}").mask_names.empty());
  EXPECT_TRUE(read("{}").mask_names.empty());
}

TEST_F(DatasetJsonTest, IgnoreIsNoClass) {
  const DatasetJson dataset = labels(R"({"background": 0, "organ": 1, "ignore": 2})");
  EXPECT_EQ(dataset.mask_names, (Texts{"organ"}));
  EXPECT_EQ(dataset.ignore_label, 2);
  EXPECT_EQ(labels(R"({"0": "background", "1": "organ", "255": "ignore"})").ignore_label, 255);
  EXPECT_EQ(labels(R"({"organ": [1, 2], "ignore": [3]})").ignore_label, 3);
  EXPECT_TRUE(
      contains(labels(R"({"organ": 1, "Ignore": 2})").remarks.at(0), "\"Ignore\" is taken for nnU-Net's \"ignore\""));
  EXPECT_TRUE(contains(wrong_labels(R"({"background": 0, "organ": 2, "ignore": 1})"),
                       "\"ignore\": is 1, but 2 is a class: \"ignore\" must be the highest"));
  EXPECT_TRUE(contains(wrong_labels(R"({"a": [1, 2], "ignore": 2})"), "must be the highest"));
  EXPECT_TRUE(contains(wrong_labels(R"({"a": 1, "ignore": 0})"), "is not one value above 0"));
  EXPECT_TRUE(contains(wrong_labels(R"({"a": 1, "ignore": [2, 3]})"), "is not one value above 0"));
}

TEST_F(DatasetJsonTest, RegionsAreUnions) {
  const DatasetJson dataset = read(
      R"({"labels": {"background": 0, "whole tumour": [1, 2, 3], "tumour core": [3, "2", 2], "enhancing": 3, "ignore": 4}, "regions_class_order": [1, 2, 3]})");
  EXPECT_EQ(dataset.mask_names, (Texts{"label 1", "label 2", "enhancing"}));
  ASSERT_EQ(dataset.regions.size(), 2U);
  EXPECT_EQ(dataset.regions[0].name, "whole tumour");  // in the file's order, not the alphabet's
  EXPECT_EQ(dataset.regions[0].values, (Values{1, 2, 3}));
  EXPECT_EQ(dataset.regions[1].values, (Values{2, 3}));
  EXPECT_EQ(dataset.ignore_label, 4);
  EXPECT_TRUE(dataset.remarks.empty()) << dataset.remarks[0];
  EXPECT_TRUE(contains(read(R"({"labels": {"a": [1, 2], "b": 2}, "regions_class_order": [3, 2]})").remarks.at(0),
                       "has 3 for a region without this value"));
  EXPECT_TRUE(contains(read(R"({"labels": {"a": [1, 2], "b": 2}, "regions_class_order": [1]})").remarks.at(0),
                       "has 1 values for 2 regions"));
  EXPECT_TRUE(contains(wrong(R"({"labels": {"a": [1, 2]}, "regions_class_order": ["x"]})"),
                       "\"regions_class_order\": holds \"x\""));
  EXPECT_TRUE(contains(wrong_labels(R"({"a": [1, 2], "b": [2, 1]})"), "\"b\": is the same region as \"a\""));
  EXPECT_TRUE(contains(wrong_labels(R"({"a": [0, 1]})"), "\"a\": is a region that holds 0"));
  EXPECT_TRUE(contains(wrong_labels(R"({"a": []})"), "\"a\": is a region without values"));
  EXPECT_TRUE(contains(wrong_labels(R"({"a": [1, 2.5]})"), "\"a\": holds 2.5, which is no whole number"));
}

TEST_F(DatasetJsonTest, WhatHasNoMeaningIsAnError) {
  EXPECT_TRUE(contains(wrong_labels(R"({"a": 1, "b": 1})"), "the value 1 has two names: \"a\" and \"b\""));
  EXPECT_TRUE(contains(wrong_labels(R"({"a": 1, "a": 2})"), "the key \"a\" stands there twice"));
  EXPECT_TRUE(contains(wrong_labels(R"({"1": "a", "2": "a "})"), "two classes are called a"));
  EXPECT_TRUE(contains(wrong_labels(R"({"background": 1, "a": 2})"), "\"background\": is 1, but the background is 0"));
  EXPECT_TRUE(contains(wrong_labels(R"({"a": 1.5})"), "\"a\": is 1.5, which is no whole number"));
  EXPECT_TRUE(contains(wrong_labels(R"({"a": null})"), "\"a\": is null"));
  EXPECT_TRUE(contains(wrong_labels(R"({"a": "b"})"), "\"a\": is \"b\""));
  EXPECT_TRUE(contains(wrong_labels(R"({"a": -1})"), "\"a\": has the value -1; masks hold 0 to 255"));
  EXPECT_TRUE(contains(wrong_labels(R"({"a": 256})"), "\"a\": has the value 256"));
  EXPECT_TRUE(contains(wrong_labels(R"({" ": 1})"), "the name of the value 1 is empty"));
  EXPECT_TRUE(contains(wrong_labels(R"({"1": "2"})"), "which of the two is the name can't be told"));
  EXPECT_TRUE(contains(wrong_labels(R"({"background": 0, "lesion": 255, "ignore": 1})"),
                       "\"ignore\": is 1, but 255 is a class: \"ignore\" must be the highest value"));
  EXPECT_TRUE(contains(wrong_labels("7"), "\"labels\": is neither an object nor a list"));
  EXPECT_TRUE(contains(wrong_labels(R"({"a": [1, 3], "label 1": 2})"), "two classes are called label 1"));
  EXPECT_TRUE(contains(wrong("{\"labels\":\n{\"b\xf6sartig\": 1}}"), "dataset.json:2: is not UTF-8"));
  EXPECT_TRUE(contains(wrong("[]"), "holds no object"));
  EXPECT_TRUE(contains(wrong("{"), "is not JSON"));
  EXPECT_TRUE(
      contains(labels(R"({"a": 1, "b": 4})").remarks.at(0), "names no label of the value 2, 3: called \"label N\""));
  EXPECT_EQ(labels(R"({"a": 1, "b": 3})").mask_names, (Texts{"a", "label 2", "b"}));
  EXPECT_TRUE(contains(labels(R"({"Liver": 1, "liver": 2})").remarks.at(0), "differ by the case of letters only"));
}

TEST_F(DatasetJsonTest, ChannelsEndingsAndCounts) {
  EXPECT_EQ(read(R"({"channel_names": {"0": "CT", "1": "T2"}})").channels, (Texts{"CT", "T2"}));
  EXPECT_EQ(read(R"({"modality": {"CT": 0, "T2": "1"}})").channels, (Texts{"CT", "T2"}));
  EXPECT_EQ(read(R"({"modality": "MRI"})").channels, (Texts{"MRI"}));
  EXPECT_EQ(read(R"({"channel_names": ["CT"], "modality": {"0": "MR"}})").channels, (Texts{"CT"}));
  EXPECT_TRUE(contains(wrong(R"({"channel_names": {"CT": 0, "MR": 0}})"), "the channel 0 has two names"));
  for (const char* ending : {".nii.gz", "nii.gz", ".NII.GZ"})
    EXPECT_EQ(read(concat(R"({"file_ending": ")", ending, "\"}")).file_ending, ".nii.gz");
  EXPECT_TRUE(contains(wrong(R"({"file_ending": ".b2nd"})"),
                       "\"file_ending\": is \".b2nd\", an ending of files that are not read"));
  EXPECT_EQ(read(R"({"numTraining": "12"})").num_training, 12);
  EXPECT_TRUE(contains(wrong(R"({"numTraining": "many"})"), "\"numTraining\""));
  const DatasetJson dataset = read(
      R"({"training": [{"image": "a", "label": "b", "fold": 1}, {"image": ["c", "d"]}], "test": ["e"], "validation": [{"image": "f"}]})");
  EXPECT_EQ(dataset.training[0].mask, "b");
  EXPECT_EQ(dataset.training[0].fold, 1);
  EXPECT_EQ(dataset.training[1].images, (Texts{"c", "d"}));
  EXPECT_EQ(dataset.test[0].images, (Texts{"e"}));
  EXPECT_EQ(dataset.validation[0].images, (Texts{"f"}));
  EXPECT_TRUE(
      contains(wrong(R"({"training": [{"image": "a"}, {"label": "b"}]})"), "\"training\": \"1\": has no \"image\""));
  EXPECT_TRUE(contains(wrong(R"({"training": [{"image": 3}]})"), "\"image\": is 3 where the path of a file is meant"));
}

// Random descriptions: each value is said to be a class, in one of the ways to write it; the reader must find the same.
TEST_F(DatasetJsonTest, RandomLabels) {
  std::mt19937 random(5);
  const auto below = [&](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); };
  for (int round = 0; round < 300; ++round) {
    const int64_t num_classes = 1 + below(6);
    std::map<int64_t, std::string> names;
    Texts entries{R"("background": 0)"};
    for (int64_t value = 1; value <= num_classes; ++value) {
      const std::string name = concat("n", value);
      if (below(5) == 0) continue;  // a gap, or only in regions
      names[value] = name;
      const Texts ways{concat('"', name, "\": ", value), concat('"', name, "\": \"", value, '"'),
                       concat('"', value, "\": \"", name, '"'), concat('"', name, "\": [", value, ']'),
                       concat('"', name, "\": ", value, ".0")};
      entries.push_back(ways[static_cast<size_t>(below(5))]);
    }
    std::map<std::string, Values> regions;
    for (int64_t k = 0; k < below(3) && num_classes > 2; ++k) {
      Values values{1 + below(num_classes - 1)};
      values.push_back(values[0] + 1);
      if (std::any_of(regions.begin(), regions.end(), [&](const auto& one) { return one.second == values; })) continue;
      regions[concat("r", k)] = values;
      entries.push_back(concat("\"r", k, "\": [", values[1], ", \"", values[0], "\", ", values[1], ']'));
    }
    const bool has_ignore = below(2) == 0;
    if (has_ignore) entries.push_back(concat("\"ignore\": ", num_classes + 1));
    std::shuffle(entries.begin(), entries.end(), random);
    const DatasetJson found = labels("{" + join(entries, ", ") + "}");
    int64_t highest = names.empty() ? 0 : names.rbegin()->first;
    for (const auto& [name, values] : regions) highest = std::max(highest, values[1]);
    Texts expected;
    for (int64_t value = 1; value <= highest; ++value)
      expected.push_back(names.contains(value) ? names[value] : concat("label ", value));
    EXPECT_EQ(found.mask_names, expected) << join(entries, ", ");
    EXPECT_EQ(found.ignore_label, has_ignore ? num_classes + 1 : -1);
    ASSERT_EQ(found.regions.size(), regions.size());
    for (const LabelRegion& region : found.regions) EXPECT_EQ(region.values, regions.at(region.name));
  }
}

}  // namespace
}  // namespace vmae::io
