#include "vmae/cases/class_names.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "support/errors.h"

namespace vmae::io {
namespace {

using test::contains;
using test::error_of;
using NameList = std::vector<std::string>;

TEST(ClassNames, NumbersAreTakenByValue) {
  for (const char* one : {"1", "01", "+1", "1.0", "1.", " 1 ", "001.000"}) EXPECT_EQ(class_name(one), "1") << one;
  for (const char* zero : {"0", "-0", "0.0", ".0", "-0.00"}) EXPECT_EQ(class_name(zero), "0") << zero;
  EXPECT_EQ(class_name("-01.50"), "-1.5");
  EXPECT_EQ(class_name("12345678901234567891"), "12345678901234567891");  // more digits than a double has
  for (const char* text : {"1e3", "1.2.3", "1a", "-", ".", "+", "nan", "0x10", "1 2"})
    EXPECT_EQ(class_name(text), text);
  EXPECT_EQ(class_name("  liver "), "liver");
}

// Against doubles, which hold these numbers exactly.
TEST(ClassNames, SortedByValue) {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    NameList names;
    for (size_t n = 1 + random() % 8; n > 0; --n) {
      const int whole = static_cast<int>(random() % 401) - 200;
      names.push_back(class_name(std::to_string(whole) + (random() % 2 ? "" : random() % 2 ? ".25" : ".5")));
    }
    NameList expected = names;
    std::stable_sort(expected.begin(), expected.end(),
                     [](const std::string& a, const std::string& b) { return std::stod(a) < std::stod(b); });
    sort_classes(names);
    EXPECT_EQ(names, expected);
  }
  NameList texts{"10", "9", "a", "B"};
  sort_classes(texts);
  EXPECT_EQ(texts, (NameList{"10", "9", "B", "a"}));  // not numbers alone: by bytes
}

TEST(ClassNames, EmptyAndEqualOnesAreErrors) {
  EXPECT_TRUE(check_class_names({"liver", "tumour"}, "f").empty());
  EXPECT_TRUE(contains(error_of([] {
                         check_class_names({"liver", " "}, "d/dataset.json");
                       }).what(),
                       "d/dataset.json: the name of class 2 of 2 is empty"));
  EXPECT_TRUE(contains(error_of([] {
                         check_class_names({"liver", "x", "liver "}, "f");
                       }).what(),
                       "f: two classes are called liver ('liver' and 'liver ')"));
  EXPECT_TRUE(contains(error_of([] {
                         check_class_names({"1", "1.0"}, "f");
                       }).what(),
                       "two classes are called 1 ('1' and '1.0')"));
  EXPECT_EQ(error_of([] { check_class_names({"a", "a"}, "data.classes", ExitCode::usage); }).code(), ExitCode::usage);
  const NameList remarks = check_class_names({"Liver", "liver"}, "f");
  ASSERT_EQ(remarks.size(), 1U);
  EXPECT_TRUE(contains(remarks[0], "'Liver' and 'liver' differ by the case of letters only"));
}

TEST(ClassNames, NumbersAreNoNamesInALine) {
  EXPECT_EQ(class_list({"liver", "tumour"}), "liver, tumour");
  EXPECT_EQ(class_list({"1"}), "label 1");
  EXPECT_EQ(class_list({"kidney", "2", "grade 3"}), "kidney, label 2, grade 3");
}

}  // namespace
}  // namespace vmae::io
