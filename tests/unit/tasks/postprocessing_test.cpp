#include "vmae/tasks/postprocessing.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/cases/write_labels.h"
#include "vmae/nnunet/postprocess.h"
#include "vmae/sources/case_names.h"
#include "vmae/sources/source.h"
#include "vmae/splits/splits_file.h"

namespace vmae::run {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kHeight = 8, kWidth = 10;

// A picture of digits, each standing for a value.
std::vector<uint8_t> drawn(const std::string& rows, const std::vector<uint8_t>& values) {
  std::vector<uint8_t> labels;
  for (const char digit : rows) labels.push_back(digit == '0' ? 0 : values.at(static_cast<size_t>(digit - '1')));
  return labels;
}

constexpr const char* kMask =
    "0000000000"
    "0111220000"
    "0111220000"
    "0111220000"
    "0000000000"
    "0000000000"
    "0000000000"
    "0000000000";
// 1 and 2 in a corner of their own, and a 2 that hangs on the 1
constexpr const char* kPrediction =
    "0000000000"
    "0111220000"
    "2111220000"
    "0111220000"
    "0000000000"
    "0000000000"
    "0000000012"
    "0000000000";

// A source of six pictures, of which two folds test three each, and a run that predicted them.
class FoldsOfPictures : public ::testing::Test {
 protected:
  // values: what masks and predictions hold for 1, 2, ...
  void make(const std::vector<uint8_t>& mask_values, const std::vector<uint8_t>& predicted_values,
            const std::string& mask = kMask, const std::string& prediction = kPrediction) {
    for (int i = 0; i < 6; ++i) {
      const std::string number = std::to_string(i);
      io::write_label_png(made(concat("data/", images_, "/case_", number, images_suffix_, ".png")), kHeight, kWidth,
                          std::vector<uint8_t>(kHeight * kWidth, static_cast<uint8_t>(40 * i)));
      io::write_label_png(made(concat("data/", masks_, "/case_", number, ".png")), kHeight, kWidth,
                          drawn(mask, mask_values));
    }
    const io::Source source = io::find_source(folder_ / "data");
    const std::vector<std::string> names = io::names_beside(source.files, {}, {});
    std::vector<io::SplitCase> cases;
    io::Splits splits;
    splits.folds.resize(2);
    for (size_t i = 0; i < source.files.size(); ++i) {
      const std::string& name = source.files[i].name;
      cases.push_back({name, name, {}});
      splits.folds[i % 2].test.push_back(name);
      splits.folds[1 - i % 2].train.push_back(name);
      predictions_.push_back(made(concat("run/out_of_fold/", names[i], ".png")));
      io::write_label_png(predictions_.back(), kHeight, kWidth, drawn(prediction, predicted_values));
    }
    io::write_splits(folder_ / "splits.json", splits, cases);
    for (const char* fold : {"fold_0", "fold_1"}) folder_.write(concat("run/", fold, "/test/predict.json"), "{}");
    for (const char* fold : {"fold_0", "fold_1"}) folder_.write(concat("run/", fold, "/config.yaml"), "");
    data_.train = {(folder_ / "data").string()};
    data_.splits.file = (folder_ / "splits.json").string();
    card_.class_names = {"a", "b"};
  }

  nlohmann::json found(const nnunet::Labels& labels) {
    find_postprocessing_of_folds(folder_ / "run", data_, card_, labels);
    return nlohmann::json::parse(test::slurp(folder_ / "run/postprocessing.json"));
  }

  fs::path made(const fs::path& file) const {
    fs::create_directories((folder_ / file).parent_path());
    return folder_ / file;
  }

  test::TempFolder folder_;
  std::string images_ = "images", masks_ = "masks", images_suffix_;
  std::vector<fs::path> predictions_;
  SegmentDataOptions data_;
  ModelCard card_;
  nnunet::Labels classes_{.foreground = {{"a", {1}}, {"b", {2}}}, .region_order = {}};
};

TEST_F(FoldsOfPictures, SayWhatIsToBeRemoved) {
  make({1, 2}, {1, 2});
  const nlohmann::json json = found(classes_);
  EXPECT_EQ(json.at("steps"), nlohmann::json::parse(R"([{"labels": [1, 2]}, {"labels": [2]}])"));
  // of 9 and 6 pixels
  EXPECT_DOUBLE_EQ(json.at("Dice").at("before").at("of").at("a"), 18.0 / 19);
  EXPECT_DOUBLE_EQ(json.at("Dice").at("before").at("of").at("b"), 12.0 / 14);
  EXPECT_DOUBLE_EQ(json.at("Dice").at("after").at("mean"), 1);
  EXPECT_TRUE(fs::exists(folder_ / "run/postprocessing.pkl"));
}

TEST_F(FoldsOfPictures, SayItInTheNumbersThatAreWritten) {
  make({10, 20}, {10, 20});
  data_.label_values = card_.label_values = {20, 10};  // a is what is drawn as 2
  const nlohmann::json json = found(classes_);
  EXPECT_EQ(json.at("steps"), nlohmann::json::parse(R"([{"labels": [20, 10]}, {"labels": [20]}])"));
  EXPECT_DOUBLE_EQ(json.at("Dice").at("before").at("of").at("a"), 12.0 / 14);
  EXPECT_EQ(test::slurp(folder_ / "run/postprocessing.pkl").find("J\x14"),
            test::slurp(folder_ / "run/postprocessing.pkl").find('J'));
}

TEST_F(FoldsOfPictures, TakeABinaryMaskAsTrainingDoes) {
  make({255, 255}, {1, 1});
  card_.class_names = {"a"};
  const nlohmann::json json = found({.foreground = {{"a", {1}}}, .region_order = {}});
  EXPECT_EQ(json.at("steps"), nlohmann::json::parse(R"([{"labels": [1]}])"));
  EXPECT_DOUBLE_EQ(json.at("Dice").at("before").at("mean"), 30.0 / 33);
}

TEST_F(FoldsOfPictures, JudgeNothingThatIsIgnored) {
  std::string mask = kMask;
  for (const size_t place : {20, 68, 69}) mask[place] = '3';  // all that is too much
  make({1, 2, 7}, {1, 2}, mask);
  data_.ignore_label = 7;
  classes_.has_ignore = true;
  const nlohmann::json json = found(classes_);
  EXPECT_TRUE(json.at("steps").empty());
  EXPECT_DOUBLE_EQ(json.at("Dice").at("before").at("mean"), 1);
}

TEST_F(FoldsOfPictures, HaveRegions) {
  images_ = "imagesTr";
  masks_ = "labelsTr";
  images_suffix_ = "_0000";
  folder_.write("data/dataset.json", R"({"channel_names": {"0": "grey"}, "file_ending": ".png", "numTraining": 6,
      "labels": {"background": 0, "whole": [1, 2], "core": [2]}, "regions_class_order": [1, 2]})");
  make({1, 2}, {1, 2});
  card_.class_names = {"label 1", "core"};
  card_.label_values = {1, 2};
  const nlohmann::json json = found({.foreground = {{"whole", {1, 2}}, {"core", {2}}}, .region_order = {1, 2}});
  EXPECT_EQ(json.at("steps"), nlohmann::json::parse(R"([{"labels": [1, 2]}, {"labels": [2]}])"));
  EXPECT_DOUBLE_EQ(json.at("Dice").at("before").at("of").at("whole"), 30.0 / 33);
}

TEST_F(FoldsOfPictures, LeaveOutWhatIsNotThereOrCanNotBeRead) {
  make({1, 2}, {1, 2});
  fs::remove(predictions_[0]);
  folder_.write("data/masks/case_3.png", "no picture");
  EXPECT_EQ(found(classes_).at("steps").size(), 2U);
  fs::remove(folder_ / "run/postprocessing.json");
  for (const fs::path& prediction : predictions_) fs::remove(prediction);
  const Error error = test::error_of([&] { found(classes_); });
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_TRUE(test::contains(error.what(), "out_of_fold holds no prediction"));
}

TEST_F(FoldsOfPictures, AreLookedAtOnceForTheSamePredictions) {
  make({1, 2}, {1, 2});
  const std::string first = found(classes_).dump();
  const fs::path file = folder_.write("run/postprocessing.json", R"({"steps": []})");
  EXPECT_TRUE(found(classes_).at("steps").empty());
  fs::last_write_time(folder_ / "run/fold_1/test/predict.json", fs::last_write_time(file) + std::chrono::seconds(5));
  EXPECT_EQ(found(classes_).dump(), first);
}

}  // namespace
}  // namespace vmae::run
