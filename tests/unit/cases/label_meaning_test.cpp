#include "vmae/cases/label_meaning.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "support/errors.h"

namespace vmae::io {
namespace {

LabelFacts facts_of(const std::vector<std::vector<int>>& masks) {
  LabelFacts facts;
  for (size_t i = 0; i < masks.size(); ++i) {
    LabelCounts counts{};
    for (const int value : masks[i]) ++counts[static_cast<size_t>(value)];
    facts.add(counts, concat("mask", i));
  }
  return facts;
}

// Class of each value that occurs.
std::map<int, int> classes_of(const LabelMeaning& meaning, const LabelFacts& facts) {
  std::map<int, int> classes;
  for (size_t value = 0; value < 256; ++value) {
    if (facts.voxels[value] > 0) classes[static_cast<int>(value)] = meaning.class_of[value];
  }
  return classes;
}

TEST(LabelMeaning, TheDatasetDecidesWhat255Is) {
  const LabelFacts binary = facts_of({{0, 255}, {0}, {0, 255}}), grey = facts_of({{0, 255}, {0, 128, 255}}),
                   both = facts_of({{0, 255}, {0, 1}});
  EXPECT_EQ(classes_of(label_meaning({}, binary), binary), (std::map<int, int>{{0, 0}, {255, 1}}));
  EXPECT_EQ(label_meaning({}, binary).names, std::vector<std::string>{"1"});
  EXPECT_EQ(label_meaning({.names = {"lung"}}, binary).names, std::vector<std::string>{"lung"});
  for (const LabelFacts* facts : {&grey, &both}) {  // never class 1 in one mask and class 255 in another
    const Error error = test::error_of([&] { label_meaning({}, *facts); });
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_NE(std::string(error.what()).find("255"), std::string::npos) << error.what();
    EXPECT_NE(error.hint().find("data.label_values"), std::string::npos) << error.hint();
  }
  EXPECT_EQ(classes_of(label_meaning({.values = {128, 255}}, grey), grey),
            (std::map<int, int>{{0, 0}, {128, 1}, {255, 2}}));
  EXPECT_EQ(classes_of(label_meaning({.ignore = 255}, both), both),
            (std::map<int, int>{{0, 0}, {1, 1}, {255, kIgnored}}));
  const LabelMeaning none = label_meaning({.ignore = 255}, binary);
  EXPECT_TRUE(none.names.empty());
  EXPECT_EQ(none.ignore, kIgnored);
  EXPECT_EQ(test::error_of([&] { label_meaning({.names = {"a", "b"}}, binary); }).code(), ExitCode::data);
}

TEST(LabelMeaning, AnIgnoredValueIsNoClass) {
  const LabelFacts facts = facts_of({{0, 1, 2}, {0, 2}});
  const LabelMeaning meaning = label_meaning({.names = {"organ"}, .ignore = 2}, facts);
  EXPECT_EQ(classes_of(meaning, facts), (std::map<int, int>{{0, 0}, {1, 1}, {2, kIgnored}}));
  EXPECT_EQ(meaning.names, std::vector<std::string>{"organ"});
  EXPECT_FALSE(meaning.keeps_values);
  EXPECT_EQ(label_meaning({.ignore = 2}, facts).names, std::vector<std::string>{"1"});
  EXPECT_EQ(test::error_of([&] { label_meaning({.names = {"a", "b"}, .ignore = 2}, facts); }).code(), ExitCode::usage);
  EXPECT_EQ(test::error_of([&] { label_meaning({.ignore = 0}, facts); }).code(), ExitCode::usage);
}

TEST(LabelMeaning, NumberingsMayHaveFewGaps) {
  const LabelFacts brats = facts_of({{0, 1, 2, 4}}), atlas = facts_of({{0, 2, 41, 77}});
  EXPECT_EQ(label_meaning({}, brats).names, (std::vector<std::string>{"1", "2", "3", "4"}));
  EXPECT_EQ(test::error_of([&] { label_meaning({}, atlas); }).code(), ExitCode::data);
  EXPECT_EQ(label_meaning({.values = {2, 41, 77}}, atlas).names, (std::vector<std::string>{"2", "41", "77"}));
  EXPECT_EQ(test::error_of([&] { label_meaning({.names = {"a", "b", "c"}}, brats); }).code(), ExitCode::data);
  EXPECT_TRUE(label_meaning({}, facts_of({{0}})).names.empty());
}

// The dataset's names are those of values, whatever order data.label_values gives the classes. Masks that were
// resized with interpolation hold nearly every grey; with 255 among the classes it would also be what is ignored.
TEST(LabelMeaning, ShadesOfGreyAreNoNumbering) {
  for (const auto& [step, highest] :
       {std::pair(1, 129), std::pair(1, 253), std::pair(1, 254), std::pair(1, 255), std::pair(2, 255)}) {
    std::vector<int> shades;
    for (int value = highest; value > 0; value -= step) shades.push_back(value);
    const Error error = test::error_of([&] { label_meaning({}, facts_of({{0, 1}, shades})); });
    EXPECT_EQ(error.code(), ExitCode::data) << step << " " << highest;
    EXPECT_TRUE(test::contains(error.what(), "mask1")) << error.what();
  }
  std::vector<int> structures;  // as many as TotalSegmentator has
  for (int value = 1; value <= 117; ++value) structures.push_back(value);
  EXPECT_EQ(label_meaning({}, facts_of({structures})).names.size(), 117U);
  EXPECT_TRUE(test::contains(test::error_of([] {
                               label_meaning({.ignore = 2, .is_command_line = true}, facts_of({{1, 2, 3}}));
                             }).hint(),
                             "--classes"));
}

TEST(LabelMeaning, NamesFollowTheirValues) {
  const LabelFacts facts = facts_of({{0, 1, 2}});
  const LabelMeaning meaning = label_meaning({.own_names = {"liver", "tumour"}, .values = {2, 1}}, facts);
  EXPECT_EQ(meaning.names, (std::vector<std::string>{"tumour", "liver"}));
  EXPECT_EQ(meaning.class_of[1], 2);
  EXPECT_EQ(
      label_meaning({.names = {"tumour", "liver"}, .own_names = {"liver", "tumour"}, .values = {2, 1}}, facts).names,
      meaning.names);
  const Error error = test::error_of([&] {
    label_meaning({.names = {"liver", "tumour"}, .own_names = {"liver", "tumour"}, .values = {2, 1}}, facts);
  });
  EXPECT_TRUE(test::contains(error.what(), "calls the value 2 liver")) << error.what();
  EXPECT_EQ(label_meaning({.names = {"tumour"}, .own_names = {"liver", "tumour"}, .values = {2}, .ignore = 1}, facts)
                .names[0],
            "tumour");
  EXPECT_EQ(names_of_classes({"liver"}, {7, 1}), (std::vector<std::string>{"7", "liver"}));
}

TEST(LabelMeaning, NamesMayBeOtherWordsButNotExchanged) {
  const LabelFacts facts = facts_of({{0, 1, 2}});
  EXPECT_EQ(label_meaning({.names = {"Leber", "tumour"}, .own_names = {"liver", "tumour"}}, facts).names[0], "Leber");
  for (const std::vector<std::string>& names : {std::vector<std::string>{"tumour", "liver"}, {"tumour", "other"}}) {
    const Error error = test::error_of([&] {
      label_meaning({.names = names, .own_names = {"liver", "tumour"}}, facts);
    });
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("data.classes calls the value 1 tumour"), std::string::npos)
        << error.what();
  }
}

TEST(LabelMeaning, ContradictionsAreRefusedByTheirKey) {
  const LabelFacts facts = facts_of({{0, 1}});
  for (const LabelRules& rules :
       {LabelRules{.values = {1, 1}}, LabelRules{.values = {0}}, LabelRules{.values = {256}},
        LabelRules{.values = {3}, .ignore = 3}, LabelRules{.names = {"a"}, .values = {1, 2}}}) {
    const Error error = test::error_of([&] { label_meaning(rules, facts); });
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("data.label_values"), std::string::npos) << error.what();
  }
  EXPECT_EQ(test::error_of([&] { label_meaning({.names = std::vector<std::string>(255, "x")}, facts); }).code(),
            ExitCode::usage);
  const Error on_command_line = test::error_of([&] { label_meaning({.values = {2}, .is_command_line = true}, facts); });
  EXPECT_NE(on_command_line.hint().find("--label-values"), std::string::npos) << on_command_line.hint();
}

// Whatever masks hold: nothing foreground becomes background, no two
// values become one class, and the order of the masks does not matter.
TEST(LabelMeaning, LosesNothingAndDoesNotDependOnTheOrder) {
  std::mt19937 random(7);
  const std::vector<int> values{0, 1, 2, 3, 5, 128, 254, 255};
  int decided = 0;
  for (int trial = 0; trial < 2000; ++trial) {
    std::vector<std::vector<int>> masks(1 + random() % 4);
    for (auto& mask : masks) {
      for (const int value : values) {
        if (random() % 3 == 0) mask.push_back(value);
      }
    }
    LabelRules rules{.ignore = random() % 3 == 0 ? values[1 + random() % 7] : -1};
    for (size_t i = random() % 4; i > 0; --i) rules.names.push_back(concat("class", i));
    const LabelFacts facts = facts_of(masks);
    LabelMeaning meaning;
    try {
      meaning = label_meaning(rules, facts);
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == ExitCode::data || error.code() == ExitCode::usage);
      continue;
    }
    ++decided;
    std::set<int> classes;
    for (const auto& [value, of_class] : classes_of(meaning, facts)) {
      EXPECT_EQ(of_class == 0, value == 0);
      EXPECT_EQ(of_class == kIgnored, value == rules.ignore);
      EXPECT_TRUE(of_class == kIgnored || of_class <= static_cast<int>(meaning.names.size()));
      EXPECT_TRUE(classes.insert(of_class).second);
    }
    std::shuffle(masks.begin(), masks.end(), random);
    EXPECT_EQ(label_meaning(rules, facts_of(masks)).class_of, meaning.class_of);
  }
  EXPECT_GT(decided, 100);
}

}  // namespace
}  // namespace vmae::io
