#include "../../../src/predict/postprocessing.h"

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace vmae::run {
namespace {

class PredictPostprocessing : public ::testing::Test {
 protected:
  PredictPostprocessing() {
    card_.class_names = {"liver", "tumour"};
    for (const char* run : {"run/fold_0", "run/fold_1", "single"}) folder_.write(concat(run, "/config.yaml"), "");
    for (const char* file : {"run/postprocessing.json", "single/postprocessing.json", "other.json"})
      folder_.write(file, R"({"steps": [{"labels": [1, 2]}, {"labels": [2]}]})");
  }
  ChosenPostprocessing chosen(const std::string& option, const std::vector<std::string>& weights) const {
    std::vector<std::filesystem::path> paths;
    for (const std::string& one : weights) paths.push_back(folder_ / one);
    return choose_postprocessing(option, paths, card_);
  }

  test::TempFolder folder_;
  ModelCard card_;
};

TEST_F(PredictPostprocessing, IsThatOfTheFoldsWhereAllOfThemPredict) {
  EXPECT_EQ(chosen("auto", {"run"}).file, folder_ / "run/postprocessing.json");
  EXPECT_EQ(chosen("auto", {"run"}).of_classes, (nnunet::Postprocessing{{{{1, 2}}, {{2}}}}));
  EXPECT_TRUE(chosen("none", {"run"}).file.empty());
  EXPECT_TRUE(chosen("auto", {"run/fold_0"}).file.empty());
  EXPECT_TRUE(chosen("auto", {"run", "single"}).file.empty());
  EXPECT_TRUE(chosen("auto", {"single"}).file.empty()) << "it is not of folds";
  std::filesystem::remove(folder_ / "run/postprocessing.json");
  EXPECT_TRUE(chosen("auto", {"run"}).file.empty());
  EXPECT_TRUE(chosen("auto", {"run"}).of_classes.steps.empty());
}

TEST_F(PredictPostprocessing, IsOfTheClassesThatHaveTheNumbersOfTheFile) {
  const std::string file = (folder_ / "other.json").string();
  card_.label_values = {2, 1};
  EXPECT_EQ(chosen(file, {"single"}).of_classes, (nnunet::Postprocessing{{{{1, 2}}, {{1}}}}));
  card_.label_values = {2, 7};
  EXPECT_EQ(chosen(file, {"single"}).of_classes, (nnunet::Postprocessing{{{{1}}, {{1}}}}));
  EXPECT_EQ(chosen(file, {"single"}).of_values, (nnunet::Postprocessing{{{{1, 2}}, {{2}}}}));
  card_.label_values = {1, 7};
  const Error error = test::error_of([&] { chosen(file, {"single"}); });
  EXPECT_EQ(error.code(), ExitCode::usage);
  EXPECT_TRUE(test::contains(error.what(), "the model writes none of the labels 2, but 1, 7"));
}

TEST_F(PredictPostprocessing, IsTold) {
  EXPECT_EQ(text_of(chosen("auto", {"run"}), card_), "the largest component of all of liver, tumour, then of tumour");
  folder_.write("run/postprocessing.json", R"({"steps": []})");
  EXPECT_EQ(text_of(chosen("auto", {"run"}), card_), "none");
}

TEST_F(PredictPostprocessing, OfAFileThatIsNoneIsRefused) {
  EXPECT_EQ(test::error_of([&] { chosen((folder_ / "absent.json").string(), {"run"}); }).code(), ExitCode::data);
  folder_.write("other.json", R"({"steps": 1})");
  EXPECT_EQ(test::error_of([&] { chosen((folder_ / "other.json").string(), {"run"}); }).code(), ExitCode::data);
}

}  // namespace
}  // namespace vmae::run
