#include "vmae/runs/split.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace vmae::run {
namespace {

std::string manifest(const test::TempFolder& folder, const std::string& name, const std::string& text) {
  std::ofstream(folder.path() / name) << text;
  return (folder.path() / name).string();
}

std::set<std::string> patients(const std::vector<io::SourceFile>& files) {
  std::set<std::string> names;
  for (const auto& file : files) names.insert(file.patient);
  return names;
}

std::string forty_patients(const test::TempFolder& folder) {
  std::string text = "image,patient\n";
  for (int patient = 0; patient < 40; ++patient) {
    for (int image = 0; image < 3; ++image) text += concat("p", patient, "_", image, ".png,p", patient, "\n");
  }
  return manifest(folder, "all.csv", text);
}

TEST(Split, KeepsPatientsTogetherAndIsAFunctionOfTheSeed) {
  const test::TempFolder folder;
  const std::string csv = forty_patients(folder);
  const TrainVal a = split_train_val(csv, "", 0.1, 1), again = split_train_val(csv, "", 0.1, 1),
                 b = split_train_val(csv, "", 0.1, 2);
  EXPECT_EQ(patients(a.val).size(), 4U);
  EXPECT_EQ(a.val.size(), 12U);
  EXPECT_EQ(a.train.size(), 108U);
  for (const auto& patient : patients(a.val)) EXPECT_FALSE(patients(a.train).contains(patient));
  EXPECT_EQ(patients(a.val), patients(again.val));
  EXPECT_NE(patients(a.val), patients(b.val));
}

TEST(Split, ManifestColumnWins) {
  const test::TempFolder folder;
  const std::string csv = manifest(folder, "m.csv", "image,split\na.png,train\nb.png,val\nc.png,test\nd.png,train\n");
  const TrainVal split = split_train_val(csv, "", 0.5, 0);
  EXPECT_EQ(split.train.size(), 2U);
  ASSERT_EQ(split.val.size(), 1U);
  EXPECT_EQ(split.val[0].name, "b.png");
}

TEST(Split, APatientOnBothSidesIsAnError) {
  const test::TempFolder folder;
  const std::string csv = manifest(folder, "m.csv", "image,patient,split\na.png,x,train\nb.png,x,val\n");
  const Error error = test::error_of([&] { split_train_val(csv, "", 0.0, 0); });
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_TRUE(test::contains(error.what(), "b.png"));
  EXPECT_FALSE(std::string(error.what()).find("x,") != std::string::npos);
}

TEST(Split, ExplicitValidationTakesOnlyItsRows) {
  const test::TempFolder folder;
  const std::string train = manifest(folder, "t.csv", "image,split\na.png,train\nb.png,val\nc.png,test\n"),
                    val = manifest(folder, "v.csv", "image\nd.png\n");
  const TrainVal split = split_train_val(train, val, 0.1, 0);
  ASSERT_EQ(split.train.size(), 1U);
  EXPECT_EQ(split.train[0].name, "a.png");
  EXPECT_EQ(split.val.size(), 1U);
}

TEST(Split, AFileIsItselfUnderAnyName) {
  const test::TempFolder folder;
  for (const char* name : {"train/001.png", "val/001.png"}) {
    std::filesystem::create_directories((folder.path() / name).parent_path());
    std::ofstream(folder.path() / name) << "x";
  }
  const std::string root = folder.path().string();
  // equal names, other files
  EXPECT_EQ(split_train_val(root + "/train", root + "/val", 0.1, 0).val.size(), 1U);
  // the same file on both sides
  EXPECT_EQ(test::error_of([&] { split_train_val(root, root + "/val", 0.1, 0); }).code(), ExitCode::data);
}

TEST(Split, WithoutATrainingSourceOrFilesItSaysSo) {
  const test::TempFolder folder;
  EXPECT_EQ(test::error_of([] { split_train_val("", "", 0.1, 0); }).code(), ExitCode::usage);
  const std::string one = manifest(folder, "one.csv", "image\na.png\n");
  EXPECT_EQ(test::error_of([&] { split_train_val(one, "", 0.1, 0); }).code(), ExitCode::data);
  EXPECT_EQ(split_train_val(one, "", 0.0, 0).train.size(), 1U);
}

std::vector<std::string> names(const std::vector<io::SourceFile>& files) {
  std::vector<std::string> list;
  for (const auto& file : files) list.push_back(file.name);
  return list;
}

TEST(Split, AFileSaysWhoIsWhere) {
  const test::TempFolder folder;
  const std::string csv = manifest(
      folder, "m.csv", "image,patient,split\nd.png,4,train\nc.png,3,train\nb.png,2,val\na.png,1,train\ne.png,5,test\n");
  const std::string file = manifest(folder, "s.json", R"({"format": "vmae-splits", "version": 1, "folds": [
      {"train": ["a.png", "b.png", "c.png"], "val": ["d.png"], "fractions": {"10": ["b.png"], "50": ["b.png", "c.png"]}},
      {"train": ["d.png"], "val": ["b.png"], "test": ["c.png"]}]})");
  const TrainVal first = split_train_val(csv, "", 0.9, 0, {file});
  // the manifest's order; its split column does not count
  EXPECT_EQ(names(first.train), (std::vector<std::string>{"c.png", "b.png", "a.png"}));
  EXPECT_EQ(names(first.val), (std::vector<std::string>{"d.png"}));
  EXPECT_EQ(names(split_train_val(csv, "", 0.1, 0, {file, 0, 10}).train), (std::vector<std::string>{"b.png"}));
  EXPECT_EQ(names(split_train_val(csv, "", 0.1, 0, {file, 0, 50}).train), (std::vector<std::string>{"c.png", "b.png"}));
  EXPECT_EQ(names(split_train_val(csv, "", 0.1, 0, {file, 0, 50}).val), (std::vector<std::string>{"d.png"}));
  const TrainVal second = split_train_val(csv, "", 0.1, 0, {file, 1});
  EXPECT_EQ(names(second.train), (std::vector<std::string>{"d.png"}));
  EXPECT_EQ(names(second.val), (std::vector<std::string>{"b.png"}));
}

TEST(Split, AFileThatDoesNotFitIsAnError) {
  const test::TempFolder folder;
  const std::string csv =
      manifest(folder, "m.csv", "image,patient,split\na.png,1,\nb.png,2,\nc.png,2,\nd.png,3,test\n");
  const auto error = [&](const std::string& json, const SplitChoice& choice = {}, const std::string& val = "") {
    return test::error_of([&] {
      split_train_val(csv, val, 0.1, 0,
                      {json.empty() ? "" : manifest(folder, "s.json", json), choice.fold, choice.label_fraction});
    });
  };
  const std::string good = R"({"train": ["a.png"], "val": ["b.png", "c.png"]})";
  const Error apart = error(R"({"train": ["a.png", "b.png"], "val": ["c.png"]})");
  EXPECT_EQ(apart.code(), ExitCode::data);
  EXPECT_TRUE(test::contains(apart.what(), "fold 0, part val: the patient of c.png is in part train too, with b.png"));
  const Error unknown = error(R"({"train": ["a.png", "x.png"]})");
  EXPECT_EQ(unknown.code(), ExitCode::data);
  EXPECT_TRUE(test::contains(unknown.what(), "fold 0, part train: the case x.png is not in the data"));
  EXPECT_TRUE(test::contains(error(R"({"train": ["a.png", "d.png"]})").what(), "marked as test"));  // never trained on
  EXPECT_EQ(error(good, {"", 1}).code(), ExitCode::usage);
  EXPECT_TRUE(test::contains(error(good, {"", 1}).what(), "has folds 0 to 0"));
  EXPECT_EQ(error(good, {"", 0, 10}).code(), ExitCode::usage);
  EXPECT_TRUE(test::contains(error(good, {"", 0, 10}).what(), "fold 0, has 100"));
  EXPECT_EQ(error(good, {}, csv).code(), ExitCode::usage);  // data.val as well
  EXPECT_EQ(error("", {"", 2}).code(), ExitCode::usage);    // a fold of nothing
  EXPECT_EQ(error("", {"", 0, 50}).code(), ExitCode::usage);
}

}  // namespace
}  // namespace vmae::run
