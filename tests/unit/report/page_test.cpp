#include "vmae/report/page.h"

#include <gtest/gtest.h>

#include <set>

namespace vmae::report {
namespace {

const std::string kNastyText = "<script>alert(1)</script>\"><img src=x onerror=alert(1)> id=\"x\" =\"figure-y\" a&b";

std::vector<std::string> all_between(const std::string& text, const std::string& before, const std::string& after) {
  std::vector<std::string> out;
  for (size_t at = text.find(before); at != std::string::npos; at = text.find(before, at + 1)) {
    const size_t begin = at + before.size();
    out.push_back(text.substr(begin, text.find(after, begin) - begin));
  }
  return out;
}

Page example() {
  LinePlot plot;
  plot.title = kNastyText;
  plot.lines = {{kNastyText, {{0, 0}, {1, 1}}, {0, 0}, {1, 1}, {}, {}, false}};
  Figure figure{"roc", kNastyText, line_plot(plot)};
  Table table{kNastyText, kNastyText, {kNastyText, "n"}, {{kNastyText, "1"}}, {false, true}, 1, {kNastyText}};
  Section section{kNastyText,
                  {kNastyText},
                  {table, table},
                  {figure, figure},
                  {{"\x89PNG", kNastyText, kNastyText}},
                  {{kNastyText, kNastyText}}};
  section.legend = {{kNastyText, kNastyText}};
  section.rows = {{kNastyText, {{"\x89PNG", kNastyText, kNastyText}}}};
  for (Table& one : section.tables) one.remarks.assign(kShownRemarks + 2, kNastyText);
  return {kNastyText, kNastyText, {{kNastyText, kNastyText}}, {section, section}, kNastyText};
}

TEST(Page, HasUniqueIdsThatAllReferencesFind) {
  const std::string html = to_html(example());
  const std::vector<std::string> listed = all_between(html, " id=\"", "\"");
  const std::set<std::string> ids(listed.begin(), listed.end());
  EXPECT_EQ(ids.size(), listed.size());
  // content and contents; sections and titles; title, desc and clip of each figure
  EXPECT_EQ(ids.size(), 2U + 2 * 2 + 4 * 3);
  for (const auto& [before, after] :
       {std::pair{"href=\"#", "\""}, {"aria-labelledby=\"", "\""}, {"aria-describedby=\"", "\""}, {"url(#", ")"}}) {
    const std::vector<std::string> references = all_between(html, before, after);
    EXPECT_FALSE(references.empty());
    for (const std::string& reference : references) EXPECT_TRUE(ids.contains(reference)) << reference;
  }
}

TEST(Page, EscapesEverything) {
  const std::string html = to_html(example());
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("<img src=x"), std::string::npos);
  EXPECT_EQ(html.find("a&b"), std::string::npos);
  EXPECT_EQ(html.find("\"figure-y"), std::string::npos);
}

TEST(Page, AsksNobodyForAnything) {
  const std::string html = to_html(example());
  EXPECT_NE(html.find("content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\""), std::string::npos);
  for (const std::string& source : all_between(html, "<img src=\"", "\""))
    EXPECT_TRUE(source.starts_with("data:image/png;base64,"));
  for (const std::string& link : all_between(html, "href=\"", "\"")) EXPECT_TRUE(link.starts_with("#"));
  EXPECT_EQ(html.find("@import"), std::string::npos);
  EXPECT_EQ(all_between(html, "http://", "\"").size(), 4U);  // the namespace of four figures
}

TEST(Page, EncodesPictures) {
  Page page = example();
  std::vector<std::string> seen;
  for (const char* png : {"", "f", "fo", "foo", "foobar"}) {
    page.sections = {{"s", {}, {}, {}, {{png, "", "a"}}, {}}};
    seen.push_back(all_between(to_html(page), "base64,", "\"").at(0));
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"", "Zg==", "Zm8=", "Zm9v", "Zm9vYmFy"}));  // RFC 4648, section 10
}

TEST(Page, GivesPicturesTheirSize) {
  const std::string png("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\2\0\0\0\x10", 24);
  const Page page{"t", "", {}, {{"s", {}, {}, {}, {{png, "c", "a"}}, {}}}, ""};
  EXPECT_NE(to_html(page).find("alt=\"a\" width=\"258\" height=\"16\">"), std::string::npos);
}

TEST(Page, FoldsAllButTheFirstRemarks) {
  Table table;
  table.columns = {"n"};
  for (const size_t count : {kShownRemarks, kShownRemarks + 1, kShownRemarks + 3}) {
    table.remarks.assign(count, "a remark");
    const std::string html = to_html(Page{"t", "", {}, {{"s", {}, {table}}}, ""});
    const std::string open = html.substr(0, html.find("<details"));
    EXPECT_EQ(all_between(open, "<p class=\"note\">", "<").size(), kShownRemarks);
    EXPECT_EQ(all_between(html, "<p class=\"note\">", "<").size(), count);
    EXPECT_EQ(html.find("<summary>3 more remarks</summary>") != std::string::npos, count == kShownRemarks + 3);
    EXPECT_EQ(html.find("<summary>1 more remark</summary>") != std::string::npos, count == kShownRemarks + 1);
    EXPECT_EQ(html.find("<details") == std::string::npos, count == kShownRemarks);
    const std::vector<std::string> lines = lines_below(table);
    EXPECT_EQ(lines.size(), kShownRemarks + (count > kShownRemarks ? 1 : 0));
    EXPECT_EQ(lines.back(), count == kShownRemarks       ? "a remark"
                            : count == kShownRemarks + 1 ? "And 1 more remark."
                                                         : "And 3 more remarks.");
  }
}

TEST(Page, CountsTheLinesOfListings) {
  const Page page{"t", "", {}, {{"s", {}, {}, {}, {}, {{"a", ""}, {"b", "1"}, {"c", "1\n2\n"}}}}, ""};
  const std::string html = to_html(page);
  EXPECT_NE(html.find("a <span>(0 lines)"), std::string::npos);
  EXPECT_NE(html.find("b <span>(1 line)"), std::string::npos);
  EXPECT_NE(html.find("c <span>(2 lines)"), std::string::npos);
}

}  // namespace
}  // namespace vmae::report
