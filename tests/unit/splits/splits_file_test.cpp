#include "vmae/splits/splits_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "support/errors.h"
#include "support/source_path.h"
#include "support/temp_folder.h"
#include "vmae/sources/csv.h"

namespace vmae::io {
namespace {

std::vector<SplitCase> golden_cases() {
  std::vector<SplitCase> cases;
  for (const auto& row : read_csv(test::source_path("tests/golden/splits/cases.csv")).rows) {
    SplitCase one{row.fields[0], row.fields[1], {}};
    std::istringstream findings(row.fields[2]);
    for (std::string finding; std::getline(findings, finding, '|');) one.labels.push_back(finding);
    cases.push_back(one);
  }
  return cases;
}

// Made by a second implementation, tests/golden/splits/make_splits.py:
// a change of the function would give everybody other splits.
TEST(SplitsFile, IsByteForByteTheGoldenOne) {
  const test::TempFolder folder;
  const auto cases = golden_cases();
  ASSERT_EQ(cases.size(), 36U);
  for (const auto& [scheme, seed, name] :
       {std::tuple{"5fold", 7, "5fold.json"}, std::tuple{"72/8/20", 0, "72_8_20.json"}}) {
    SplitOptions options;
    options.scheme = scheme;
    options.seed = seed;
    write_splits(folder / name, make_splits(cases, options), cases);
    EXPECT_EQ(test::slurp(folder / name), test::slurp(test::source_path(concat("tests/golden/splits/", name))))
        << scheme;
    EXPECT_EQ(test::slurp(folder / name).find("Müller"), std::string::npos) << "a patient is named";
  }
}

TEST(SplitsFile, ReadsWhatItWrites) {
  const test::TempFolder folder;
  const auto cases = golden_cases();
  SplitOptions options;
  options.seed = 3;
  options.fractions = {25, 5};
  const Splits written = make_splits(cases, options);
  write_splits(folder / "s.json", written, cases);
  const Splits read = read_splits(folder / "s.json");
  EXPECT_EQ(read.scheme, "5fold");
  EXPECT_EQ(read.seed, 3);
  EXPECT_TRUE(read.is_by_patient && read.is_stratified);
  EXPECT_EQ(read.num_cases, 36);
  EXPECT_EQ(read.num_patients, written.num_patients);
  EXPECT_EQ(read.checksum, written.checksum);
  ASSERT_EQ(read.folds.size(), 5U);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(read.folds[i].train, written.folds[i].train);
    EXPECT_EQ(read.folds[i].val, written.folds[i].val);
    EXPECT_EQ(read.folds[i].test, written.folds[i].test);
    EXPECT_EQ(read.folds[i].fractions, written.folds[i].fractions);
  }
  check_splits(read, "s.json", cases);
}

TEST(SplitsFile, ReadsThatOfARunFolder) {
  const test::TempFolder folder;
  const Splits splits = read_splits(folder.write("s.json", R"({"train": ["b", "a"], "val": ["c"]})"));
  ASSERT_EQ(splits.folds.size(), 1U);
  EXPECT_EQ(splits.folds[0].train, (std::vector<std::string>{"a", "b"}));
  check_splits(splits, "s.json", {{"a", "x", {}}, {"b", "x", {}}, {"c", "y", {}}, {"unused", "x", {}}});
}

std::string message_of(const std::string& json) {
  const test::TempFolder folder;
  const Error error = test::error_of([&] { read_splits(folder.write("s.json", json)); });
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_TRUE(test::contains(error.what(), "s.json"));
  EXPECT_FALSE(error.hint().empty());
  return error.what();
}

std::string whole(const std::string& folds, const std::string& more = "") {
  return R"({"format": "vmae-splits", "version": 1, )" + more + R"("folds": [)" + folds + "]}";
}

TEST(SplitsFile, EveryMistakeIsNamedWithItsPlace) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "is not JSON"},
      {"[1, 2", "is not JSON"},
      {"[]", "is not a JSON object"},
      {"3", "is not a JSON object"},
      {"{}", "\"format\" is not"},
      {R"({"format": "nnunet", "version": 1, "folds": []})", "\"format\" is not \"vmae-splits\""},
      {R"({"format": "vmae-splits", "version": 2, "folds": []})", "is of version 2; this program reads version 1"},
      {R"({"format": "vmae-splits", "version": "x", "folds": []})", "\"version\" is \"x\""},
      {R"({"format": "vmae-splits", "version": 1})", "\"folds\" is not a list"},
      {whole(""), "\"folds\" is not a list of at least one fold"},
      {whole("3"), "fold 0: is not a JSON object"},
      {whole(R"({"train": ["a"]})", R"("fold": 1, )"), "unknown key \"fold\"; did you mean \"folds\"?"},
      {whole(R"({"train": ["a"]})", R"("cases": 1, )"), "\"cases\": is not a JSON object"},
      {whole(R"({"train": ["a"]})", R"("cases": {"checksum": 1}, )"), "\"checksum\" is 1"},
      {whole(R"({"train": ["a"]}, {"train": ["a"], "tset": ["b"]})"),
       "fold 1: unknown key \"tset\"; did you mean \"test\"?"},
      {whole(R"({"train": ["a"]}, {"val": ["a"]})"), "fold 1: no case is in part train"},
      {whole(R"({"train": ["a"], "val": "b"})"), "fold 0, part val: is not a list"},
      {whole(R"({"train": ["a", 5]})"), "fold 0, part train: entry 2 is not a text"},
      {whole(R"({"train": ["a"], "test": ["b", "c", "b"]})"), "fold 0, part test: names the case b twice"},
      {whole(R"({"train": ["a", "d"], "test": ["b", "d"]})"), "fold 0, part test: the case d is in part train too"},
      {whole(R"({"train": ["a"], "val": ["b"], "test": ["b"]})"), "fold 0, part test: the case b is in part val too"},
      {whole(R"({"train": ["a"], "fractions": []})"), "fold 0: \"fractions\" is not an object"},
      {whole(R"({"train": ["a"], "fractions": {"ten": ["a"]}})"), "fold 0: fraction \"ten\" is not"},
      {whole(R"({"train": ["a"], "fractions": {"101": ["a"]}})"), "fold 0: fraction \"101\" is not"},
      {whole(R"({"train": ["a"], "fractions": {"10": []}})"), "fold 0, fraction 10: holds no case"},
      {whole(R"({"train": ["a"], "val": ["b"], "fractions": {"10": ["b"]}})"),
       "fold 0, fraction 10: the case b is not in part train"},
      {whole(R"({"train": ["a", "b", "c"], "fractions": {"10": ["b"], "50": ["a", "c"]}})"),
       "fold 0, fraction 10: the case b is not in fraction 50"},
      {R"({"train": ["a"], "valid": ["b"]})", "unknown key \"valid\"; known are train, val, test"},
  };
  for (const auto& [json, what] : cases) EXPECT_TRUE(test::contains(message_of(json), what)) << json;
  EXPECT_EQ(test::error_of([] { read_splits("/nonexistent/s.json"); }).code(), ExitCode::data);
}

TEST(SplitsFile, MustFitTheData) {
  const auto message = [](const Splits& splits, const std::vector<SplitCase>& cases) {
    const Error error = test::error_of([&] { check_splits(splits, "s.json", cases); });
    EXPECT_EQ(error.code(), ExitCode::data);
    return std::string(error.what());
  };
  const std::vector<SplitCase> cases{{"a", "Ann", {}}, {"b", "Bob", {}}, {"c", "Cem", {}}, {"d", "Ann", {}}};
  Splits splits;
  splits.folds = {{{"a", "d"}, {"b"}, {"c"}, {}}, {{"b"}, {"c"}, {"a", "d"}, {}}};
  splits.checksum = case_checksum({"a", "b", "c", "d"});
  check_splits(splits, "s.json", cases);

  EXPECT_EQ(message(splits, {cases[0], cases[1], cases[3]}),
            "s.json: fold 0, part test: the case c is not in the data, or is marked as test there");
  auto more = cases;
  more.push_back({"e", "Eve", {}});
  EXPECT_EQ(message(splits, more), "s.json: fold 0: the case e of the data is in no part");
  more = cases;
  more.push_back(cases[0]);
  EXPECT_TRUE(test::contains(message(splits, more), "two cases of the data have the name a"));

  Splits apart = splits;
  apart.folds[1] = {{"a"}, {"b"}, {"c", "d"}, {}};
  const std::string text = message(apart, cases);
  EXPECT_EQ(text, "s.json: fold 1, part test: the patient of d is in part train too, with a");
  apart.checksum = "";  // of any file
  EXPECT_EQ(message(apart, cases), text);

  Splits changed = splits;
  changed.checksum = "crc32c:00000000";
  EXPECT_EQ(message(changed, cases), "s.json: the checksum does not fit the names of the cases");
}

TEST(SplitsFile, DeepNestingIsAnError) {
  const test::TempFolder folder;
  const auto file = folder.write("s.json", R"({"format": "vmae-splits", "version": 1, "cases": )" +
                                               std::string(200'000, '[') + std::string(200'000, ']') + "}");
  EXPECT_TRUE(test::contains(test::error_of([&] { read_splits(file); }).what(), "nests too deeply"));
}

TEST(SplitsFile, ANameThatJsonCannotHoldIsAnError) {
  const test::TempFolder folder;
  const std::vector<SplitCase> cases{{"a\xff.png", "x", {}}, {"b", "y", {}}};
  SplitOptions options;
  options.scheme = "90/10";
  EXPECT_EQ(test::error_of([&] { write_splits(folder / "s.json", make_splits(cases, options), cases); }).code(),
            ExitCode::data);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace vmae::io
