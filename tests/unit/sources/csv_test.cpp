#include "vmae/sources/csv.h"

#include <gtest/gtest.h>

#include "support/errors.h"

namespace vmae::io {
namespace {

using test::contains;
using test::error_of;
using Fields = std::vector<std::string>;

std::string what_of(std::string_view text) {
  const Error error = error_of([&] { parse_csv(text, "t.csv"); });
  EXPECT_EQ(error.code(), ExitCode::data);
  return error.what();
}

TEST(Csv, ReadsPlainRows) {
  const Csv csv = parse_csv("image,label\na.png,1\n\nb.png,\n", "t.csv");
  EXPECT_EQ(csv.columns, (Fields{"image", "label"}));
  ASSERT_EQ(csv.rows.size(), 2U);
  EXPECT_EQ(csv.rows[0].fields, (Fields{"a.png", "1"}));
  EXPECT_EQ(csv.rows[1].fields, (Fields{"b.png", ""}));
  EXPECT_EQ(csv.rows[1].line, 4);
}

TEST(Csv, QuotedFieldsHoldSeparatorsQuotesAndLineEnds) {
  const Csv csv = parse_csv("a,b\r\n\"x, y\",\"say \"\"hi\"\"\"\r\n\"two\nlines\",z\r\nlast,row", "t.csv");
  ASSERT_EQ(csv.rows.size(), 3U);
  EXPECT_EQ(csv.rows[0].fields, (Fields{"x, y", "say \"hi\""}));
  EXPECT_EQ(csv.rows[1].fields, (Fields{"two\nlines", "z"}));
  EXPECT_EQ(csv.rows[2].fields, (Fields{"last", "row"}));
  EXPECT_EQ(csv.rows[2].line, 5);
}

TEST(Csv, SeparatorAndByteOrderMarkAreFound) {
  EXPECT_EQ(parse_csv("\xEF\xBB\xBFimage;x\na,b;2\n", "t.csv").rows[0].fields, (Fields{"a,b", "2"}));
  EXPECT_EQ(parse_csv("image\tx\na b\t2\n", "t.csv").rows[0].fields, (Fields{"a b", "2"}));
  EXPECT_EQ(parse_csv("image\r\na\r\n", "t.csv").rows[0].fields, (Fields{"a"}));
}

TEST(Csv, ColumnsAreFoundWhateverTheirCase) {
  const Csv csv = parse_csv("Path, IMAGE \na,b\n", "t.csv");
  EXPECT_EQ(csv.column({"image", "path"}), 1U);
  EXPECT_EQ(csv.column({"file", "path"}), 0U);
  EXPECT_EQ(csv.column({"mask"}), std::nullopt);
}

TEST(Csv, ErrorsNameTheLine) {
  EXPECT_TRUE(contains(what_of("a,b\n1,2\n3\n"), "t.csv:3: has 1 fields, but the header has 2 columns (a, b)"));
  EXPECT_TRUE(contains(what_of("a,b\n1,\"2\n3,4\n"), "t.csv:2: a quote"));
  EXPECT_TRUE(contains(what_of("a,b\n\"1\"x,2\n"), "t.csv:2: text after a closing quote"));
  EXPECT_TRUE(contains(what_of("a,A\n"), "t.csv:1: the header names the column 'A' twice"));
  EXPECT_TRUE(contains(what_of(""), "empty"));
  EXPECT_TRUE(contains(what_of("\n\n"), "empty"));
  EXPECT_TRUE(contains(what_of(std::string_view("\xFF\xFE"
                                                "a\0",
                                                4)),
                       "not UTF-8"));
}

}  // namespace
}  // namespace vmae::io
