#include "vmae/core/options.h"

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>

#include "support/errors.h"

namespace vmae {
namespace {

OptionValue scalar(const std::string& text) { return {{text}, false, false}; }
OptionValue list(std::vector<std::string> items) { return {std::move(items), true, false}; }
OptionValue null() { return {{}, false, true}; }

std::string problem(const Options& options, const std::string& key, const OptionValue& value) {
  const std::string before = options.find(key)->get();
  try {
    options.find(key)->set(value);
  } catch (const std::invalid_argument& error) {
    EXPECT_EQ(options.find(key)->get(), before) << "a refused value was stored";
    return error.what();
  }
  return "";
}

TEST(NumberCheck, Text) {
  EXPECT_EQ(NumberCheck{}.text(), "");
  EXPECT_EQ(in_range(0, 1).text(), "in [0, 1]");
  EXPECT_EQ((NumberCheck{0.0, 1e-3, true}.text()), "in (0, 0.001]");
  EXPECT_EQ(at_least(1).text(), "at least 1");
  EXPECT_EQ(above(0).text(), "above 0");
  EXPECT_EQ((NumberCheck{std::nullopt, 5.0, false}.text()), "at most 5");
}

TEST(Options, Numbers) {
  double lr = 1e-4, rate = 0.5;
  Options options;
  options.add("lr", lr, "peak learning rate", in_range(0, 10));
  options.add("rate", rate, "", above(0));
  EXPECT_EQ(options.find("lr")->type, "number");
  EXPECT_EQ(options.find("lr")->allowed, "in [0, 10]");
  EXPECT_EQ(options.find("lr")->default_text, "1e-4");
  EXPECT_EQ(problem(options, "lr", scalar("10")), "");
  EXPECT_EQ(lr, 10);
  EXPECT_EQ(options.find("lr")->get(), "10");
  EXPECT_EQ(options.find("lr")->default_text, "1e-4");
  for (const char* bad : {"10.000001", "-1e-9", "nan", "inf", "1_0", "", "x", "0x1"})
    EXPECT_EQ(problem(options, "lr", scalar(bad)), "must be a number in [0, 10]") << bad;
  EXPECT_EQ(problem(options, "lr", null()), "must be a number in [0, 10]");
  EXPECT_EQ(problem(options, "lr", list({"1"})), "must be a number in [0, 10], not a list");
  EXPECT_EQ(problem(options, "rate", scalar("0")), "must be a number above 0");
  EXPECT_EQ(problem(options, "rate", scalar("1e-300")), "");
}

TEST(Options, Integers) {
  int64_t count = 3, any = 0;
  Options options;
  options.add("count", count, "", at_least(1));
  options.add("any", any, "");
  EXPECT_EQ(problem(options, "count", scalar("1")), "");
  EXPECT_EQ(count, 1);
  for (const char* bad : {"0", "1.5", "1e3", "1.0", "abc", "9223372036854775808"})
    EXPECT_EQ(problem(options, "count", scalar(bad)), "must be an integer at least 1") << bad;
  EXPECT_EQ(problem(options, "any", scalar("-9223372036854775808")), "");
  EXPECT_EQ(any, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(problem(options, "any", scalar("1.5")), "must be an integer");
}

TEST(Options, Booleans) {
  bool flag = false;
  Options options;
  options.add("flag", flag, "");
  for (const char* yes : {"true", "True", "TRUE", "yes", "on", "On"}) {
    flag = false;
    EXPECT_EQ(problem(options, "flag", scalar(yes)), "");
    EXPECT_TRUE(flag) << yes;
  }
  for (const char* no : {"false", "FALSE", "no", "off"}) {
    flag = true;
    EXPECT_EQ(problem(options, "flag", scalar(no)), "");
    EXPECT_FALSE(flag) << no;
  }
  for (const char* bad : {"1", "0", "y", "tru", ""})
    EXPECT_EQ(problem(options, "flag", scalar(bad)), "must be true or false (or yes, no, on, off)") << bad;
}

TEST(Options, Texts) {
  std::string device = "auto", path = "x";
  Options options;
  options.add("device", device, "", one_of({"auto", "cpu", "cuda"}));
  options.add("path", path, "");
  EXPECT_EQ(problem(options, "device", scalar("cpu")), "");
  EXPECT_EQ(device, "cpu");
  EXPECT_EQ(problem(options, "device", scalar("cud")), "must be one of auto, cpu, cuda; did you mean 'cuda'?");
  EXPECT_EQ(problem(options, "device", scalar("tpu9")), "must be one of auto, cpu, cuda");
  EXPECT_EQ(problem(options, "device", null()), "must be one of auto, cpu, cuda");
  EXPECT_EQ(problem(options, "path", null()), "");
  EXPECT_EQ(path, "");
  EXPECT_EQ(options.find("path")->get(), "\"\"");
  EXPECT_EQ(problem(options, "path", scalar(std::string("a\0b", 3))), "must be a text");
  EXPECT_EQ(problem(options, "path", list({"a"})), "must be a text, not a list");
}

TEST(Options, Lists) {
  std::vector<int64_t> size = {96, 160};
  std::vector<double> betas = {0.9, 0.95};
  std::vector<std::string> names;
  Options options;
  options.add("size", size, "", at_least(1));
  options.add("betas", betas, "");
  options.add("names", names, "", one_of({"a", "b c"}));
  EXPECT_EQ(options.find("size")->type, "list of integers");
  EXPECT_EQ(options.find("size")->allowed, "each at least 1");
  EXPECT_EQ(options.find("size")->default_text, "[96, 160]");
  EXPECT_EQ(options.find("names")->default_text, "[]");
  EXPECT_EQ(problem(options, "size", scalar("224")), "");
  EXPECT_EQ(size, (std::vector<int64_t>{224}));
  EXPECT_EQ(problem(options, "size", list({"1", "0"})), "must be a list of integers, each at least 1");
  EXPECT_EQ(problem(options, "size", list({"1", "2.5"})), "must be a list of integers, each at least 1");
  EXPECT_EQ(problem(options, "size", null()), "");
  EXPECT_TRUE(size.empty());
  EXPECT_EQ(problem(options, "betas", list({"1e-3", "2"})), "");
  EXPECT_EQ(options.find("betas")->get(), "[0.001, 2]");
  EXPECT_EQ(problem(options, "names", list({"a", "b c"})), "");
  EXPECT_EQ(options.find("names")->get(), "[a, \"b c\"]");
  EXPECT_EQ(problem(options, "names", list({"A"})), "must be a list of texts, each one of a, b c; did you mean 'a'?");
}

struct Inner {
  int64_t depth = 2;
};
void describe(Options& o, Inner& v) { o.add("depth", v.depth, "blocks"); }
struct Outer {
  bool first = true, last = false;
  Inner inner;
};
void describe(Options& o, Outer& v) {
  o.add("first", v.first, "");
  o.section("inner", "the inner part", v.inner);
  o.add("last", v.last, "");
}

TEST(Options, ListsUnderNames) {
  std::vector<NamedTexts> classes;
  Options options;
  options.add("classes", classes, "");
  EXPECT_EQ(options.find("classes")->default_text, "[]");
  EXPECT_EQ(problem(options, "classes", list({"a", "b c"})), "");
  EXPECT_EQ(classes, (std::vector<NamedTexts>{{"a", {"a"}}, {"b c", {"b c"}}}));
  EXPECT_EQ(options.find("classes")->get(), "[a, \"b c\"]");
  EXPECT_EQ(problem(options, "classes", scalar("a")), "");
  EXPECT_EQ(classes, (std::vector<NamedTexts>{{"a", {"a"}}}));
  OptionValue map;
  map.is_map = true;
  map.groups = {{"tumour", {"GTV_CT", "GTV: 2"}}, {"lung", {"lung"}}};
  EXPECT_EQ(problem(options, "classes", map), "");
  EXPECT_EQ(classes, map.groups);
  EXPECT_EQ(options.find("classes")->get(), "{tumour: [GTV_CT, \"GTV: 2\"], lung: [lung]}");
  EXPECT_EQ(problem(options, "classes", null()), "");
  EXPECT_TRUE(classes.empty());
  EXPECT_EQ(problem(options, "classes", list({std::string("a\0", 2)})),
            "must be a list of texts, or a map of lists of texts");
}

TEST(Options, SectionsNestAndReopen) {
  Outer outer;
  Inner more;
  Options options;
  options.section("outer", "the outer part", outer);
  std::vector<std::string> keys;
  for (const Option& option : options.all()) keys.push_back(option.key);
  EXPECT_EQ(keys, (std::vector<std::string>{"outer.first", "outer.inner.depth", "outer.last"}));
  EXPECT_EQ(options.sections(), (std::vector<std::pair<std::string, std::string>>{{"outer", "the outer part"},
                                                                                  {"outer.inner", "the inner part"}}));
  EXPECT_EQ(options.find("outer.none"), nullptr);
  options.section("outer", "again", more);
  EXPECT_NE(options.find("outer.depth"), nullptr);
  EXPECT_EQ(options.sections().size(), 2U);
}

TEST(Options, TheSameKeyTwiceIsABug) {
  bool a = false, b = false;
  Options options;
  options.add("a", a, "");
  EXPECT_EQ(test::error_of([&] { options.add("a", b, ""); }).code(), ExitCode::internal);
}

}  // namespace
}  // namespace vmae
