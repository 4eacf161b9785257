#include "vmae/core/text.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "vmae/core/random.h"

namespace vmae {
namespace {

TEST(Text, JoinTrimLower) {
  EXPECT_EQ(join({}, ", "), "");
  EXPECT_EQ(join({"a"}, ", "), "a");
  EXPECT_EQ(join({"a", "", "c"}, ", "), "a, , c");
  EXPECT_EQ(trim("  a b\t\r\n"), "a b");
  EXPECT_EQ(trim(" \t "), "");
  EXPECT_EQ(to_lower("AbZ-Ä"), "abz-Ä");
}

TEST(Text, NumbersAreReadStrictly) {
  EXPECT_EQ(parse_number("1e-4"), 1e-4);
  EXPECT_EQ(parse_number(".5"), 0.5);
  EXPECT_EQ(parse_number("5."), 5.0);
  EXPECT_EQ(parse_number("+3"), 3.0);
  EXPECT_EQ(parse_number("-2.5E+3"), -2500.0);
  for (const char* bad : {"",   " 1", "1 ", "1_000", "1,5", "0x10", "nan",   "inf",   "-inf", ".inf", "1e",
                          "e5", ".",  "+",  "-",     "+-1", "++1",  "1e400", "1.2.3", "1f",   "true"}) {
    EXPECT_FALSE(parse_number(bad)) << bad;
  }
}

TEST(Text, IntegersAreReadStrictly) {
  EXPECT_EQ(parse_integer("-12"), -12);
  EXPECT_EQ(parse_integer("+7"), 7);
  EXPECT_EQ(parse_integer("007"), 7);
  EXPECT_EQ(parse_integer("9223372036854775807"), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(parse_integer("-9223372036854775808"), std::numeric_limits<int64_t>::min());
  for (const char* bad : {"", "1.5", "1.0", "1e3", "1_000", "0x10", "9223372036854775808", "+-1", "- 1", "abc"})
    EXPECT_FALSE(parse_integer(bad)) << bad;
}

TEST(Text, NumberTextIsShort) {
  EXPECT_EQ(number_text(0), "0");
  EXPECT_EQ(number_text(0.1), "0.1");
  EXPECT_EQ(number_text(1e-4), "1e-4");
  EXPECT_EQ(number_text(-1.5e-7), "-1.5e-7");
  EXPECT_EQ(number_text(1e22), "1e22");
  EXPECT_EQ(number_text(1e300), "1e300");
  EXPECT_EQ(number_text(123456), "123456");
}

TEST(Text, NumberTextReadsBackBitForBit) {
  Random random(1);
  int checked = 0;
  while (checked < 20000) {
    const auto value = std::bit_cast<double>(random.bits());
    if (!std::isfinite(value) || std::fpclassify(value) == FP_SUBNORMAL) continue;
    const auto read = parse_number(number_text(value));
    ASSERT_TRUE(read) << number_text(value);
    ASSERT_EQ(std::bit_cast<uint64_t>(*read), std::bit_cast<uint64_t>(value)) << number_text(value);
    ++checked;
  }
  EXPECT_TRUE(std::signbit(*parse_number(number_text(-0.0))));
}

TEST(Text, DidYouMean) {
  const std::vector<std::string> keys = {"optim.lr", "optim.weight_decay", "train.epochs", "data.train", "cuda", "cpu"};
  EXPECT_EQ(did_you_mean("optim.lrr", keys), "optim.lr");
  EXPECT_EQ(did_you_mean("optm.lr", keys), "optim.lr");
  EXPECT_EQ(did_you_mean("Train.Epcohs", keys), "train.epochs");
  EXPECT_EQ(did_you_mean("optim.wieght_decay", keys), "optim.weight_decay");
  EXPECT_EQ(did_you_mean("cud", keys), "cuda");
  EXPECT_EQ(did_you_mean("something.else", keys), "");
  EXPECT_EQ(did_you_mean("", keys), "");
  EXPECT_EQ(did_you_mean("a", {"b"}), "");  // one letter is no typing error of another
  EXPECT_EQ(did_you_mean("x", {}), "");
}

TEST(Text, Utf8) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("Röntgen \xe2\x82\xac \xf0\x9f\xa9\xbb"));
  for (const char* bad : {"\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff",
                          "\xe2\x82", "a\xc3z", "\xf0\x80\x80\xaf", "\xf5\x80\x80\x80"})
    EXPECT_FALSE(is_utf8(bad));
  EXPECT_FALSE(is_utf8(std::string("\xf0\x9f\xa9\xbb").substr(0, 3)));
}

TEST(Text, DeepJson) {
  EXPECT_FALSE(is_deep_json(R"({"a": [1, {"b": []}]})"));
  EXPECT_FALSE(is_deep_json(std::string(64, '[') + std::string(64, ']')));
  EXPECT_TRUE(is_deep_json(std::string(65, '[')));
  EXPECT_TRUE(is_deep_json("{\"a\": " + std::string(65, '{')));
  std::string wide, text = "\"\\\"";
  for (int i = 0; i < 100; ++i) wide += "[],{},";
  EXPECT_FALSE(is_deep_json(wide));
  EXPECT_FALSE(is_deep_json(text + std::string(100, '[') + "\"")) << "brackets in a text, after an escaped quote";
}

TEST(Text, HumanUnits) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes(80.0 * 1024 * 1024 * 1024), "80.0 GiB");
  EXPECT_EQ(human_bytes(1e30).substr(human_bytes(1e30).size() - 3), "EiB");
  EXPECT_EQ(human_seconds(0), "0 s");
  EXPECT_EQ(human_seconds(0.25), "0.25 s");
  EXPECT_EQ(human_seconds(12.34), "12.3 s");
  EXPECT_EQ(human_seconds(59.99), "59.9 s");
  EXPECT_EQ(human_seconds(62.5), "1 min 02 s");
  EXPECT_EQ(human_seconds(3600 + 5 * 60), "1 h 05 min");
  EXPECT_EQ(human_seconds(2 * 86400 + 3 * 3600), "2 d 03 h");
  EXPECT_EQ(human_seconds(-62.5), "-1 min 02 s");
  EXPECT_EQ(human_seconds(std::nan("")), "?");
  EXPECT_EQ(human_seconds(std::numeric_limits<double>::infinity()), "?");
}

// As a shell reads it.
TEST(Text, ShellWord) {
  EXPECT_EQ(shell_word("data/mr"), "data/mr");
  EXPECT_EQ(shell_word("plan.x=[a]"), "'plan.x=[a]'");
  for (const std::string text :
       {"", "a b", "it's", "''", "$HOME", "`ls`", "a\\b", "\"q\"", "*", "[CT]", "~", "a;b", "Bäume", "-x", "!1"}) {
    FILE* shell = popen(("printf %s " + shell_word(text)).c_str(), "r");
    ASSERT_NE(shell, nullptr);
    std::string said(100, '\0');
    said.resize(fread(said.data(), 1, said.size(), shell));
    pclose(shell);
    EXPECT_EQ(said, text);
  }
}

}  // namespace
}  // namespace vmae
