#include "vmae/report/table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "vmae/sources/csv.h"

namespace vmae::report {
namespace {

Table example_table() {
  return {"segmentation",    "Means",
          {"Model", "Dice"}, {{"A", "0.9"}, {"Cœur 心", "0.812 (0.789-0.831)"}, {"e\u0301", "-0.1 (-0.2 to 0.1)"}},
          {false, true},     1,
          {"A note."}};
}

TEST(Table, WritesNumbers) {
  EXPECT_EQ(number(0.8745), "0.875");
  EXPECT_EQ(number(12.34, 1), "12.3");
  EXPECT_EQ(number(-0.0001), "0.000");
  EXPECT_EQ(number(std::nan("")), "-");
  EXPECT_EQ(number(-std::numeric_limits<double>::infinity()), "-inf");
  EXPECT_EQ(number(1e300, 0).size(), 301U);
  EXPECT_EQ(with_interval(0.874, 0.851, 0.893), "0.874 (0.851-0.893)");
  EXPECT_EQ(with_interval(-4, -6.2, 1.9, 1), "-4.0 (-6.2 to 1.9)");
  EXPECT_EQ(with_interval(0.5, std::nan(""), 1, 1), "0.5");
  EXPECT_EQ(with_interval(std::nan(""), 0, 1), "-");
  EXPECT_EQ(p_text(0.032), "0.032");
  EXPECT_EQ(p_text(0.00099), "<0.001");
  EXPECT_EQ(p_text(1), "1.000");
  EXPECT_EQ(p_text(std::nan("")), "-");
}

TEST(Table, AlignsText) {
  EXPECT_EQ(to_text(example_table()),
            "Means\n\n"
            "Model                   Dice\n"
            "----------------------------\n"
            "A                        0.9\n"
            "Cœur 心  0.812 (0.789-0.831)\n"
            "e\u0301         -0.1 (-0.2 to 0.1)\n"
            "\nA note.\n");
}

TEST(Table, FitsIntoATerminal) {
  Table table{"t",
              "",
              {"Model", "Dice", "IoU"},
              {{"a name of thirty-two characters.", "0.1234567890", "0.1234567890"}},
              {false, true, true},
              1,
              {}};
  EXPECT_EQ(to_text(table, 50),
            "Model                           Dice           IoU\n"
            "--------------------------------------------------\n"
            "a name of th\u2026aracters.  0.1234567890  0.1234567890\n");
  EXPECT_EQ(to_text(table, 30),
            "Model                   Dice\n"
            "----------------------------\n"
            "a name\u2026cters.   0.1234567890\n\n"
            "Model                    IoU\n"
            "----------------------------\n"
            "a name\u2026cters.   0.1234567890\n");
}

TEST(Table, ShowsNoControlCharactersOnATerminal) {
  const std::string text = to_text({"t", "a\x1b[31mb", {"x\ty"}, {{"1\n2"}, {}}, {}, 1, {}});
  EXPECT_EQ(text, "a\uFFFD[31mb\n\nx y\n---\n1 2\n\n");
}

TEST(Table, CsvComesBack) {
  Table table = example_table();
  table.rows.push_back({"a,b\r\n\"c\"", "=1+1"});
  const io::Csv csv = io::parse_csv(to_csv(table), "table.csv");
  ASSERT_EQ(csv.rows.size(), table.rows.size());
  for (size_t i = 0; i < csv.rows.size(); ++i) EXPECT_EQ(csv.rows[i].fields, table.rows[i]);
  EXPECT_EQ(csv_line({"a", "b c", "d\"e", ""}), "a,b c,\"d\"\"e\",\n");
}

TEST(Table, EscapesForLatex) {
  EXPECT_EQ(latex_text("\\{}$&#^_~%"), "\\textbackslash{}\\{\\}\\$\\&\\#\\textasciicircum{}\\_\\textasciitilde{}\\%");
  EXPECT_EQ(latex_text("é 心 <a> --"), "é 心 \\textless{}a\\textgreater{} -{}-");
  EXPECT_EQ(latex_text("a\nb\xff"), "a b?");
}

TEST(Table, WritesLatex) {
  Table table = example_table();
  table.rows = {{"[a] & b", "-0.1 (-0.2 to 0.1)"}, {"c-d", "0.8 (0.7-0.9)"}};
  EXPECT_EQ(to_latex(table),
            "% needs \\usepackage{booktabs}\n"
            "\\begin{table}[htbp]\n  \\centering\n  \\caption{Means}\n  \\label{tab:segmentation}\n  "
            "\\begin{tabular}{lr}\n  \\toprule\n"
            "  Model & Dice \\\\\n  \\midrule\n"
            "  {}[a] \\& b & $-$0.1 ($-$0.2 to 0.1) \\\\\n"
            "  c-d & 0.8 (0.7\u20130.9) \\\\\n"
            "  \\bottomrule\n  \\end{tabular}\n  \\par\\smallskip{\\footnotesize A note.\\par}\n\\end{table}\n");
}

TEST(Table, EscapesForHtml) {
  EXPECT_EQ(html_text("<script>alert(1)</script>"), "&lt;script&gt;alert(1)&lt;/script&gt;");
  EXPECT_EQ(html_text("\"a'&b"), "&quot;a&#39;&amp;b");
  EXPECT_EQ(html_text(std::string_view("a\0\x01\x7f\xff\xed\xa0\x80 \xef\xbf\xbf\n", 13)),
            "a\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD \uFFFD\n");
  EXPECT_EQ(html_text("שלום 🫀"), "שלום 🫀");
  EXPECT_EQ(html_text("\xe5\xbf"), "\uFFFD\uFFFD");
}

TEST(Table, WritesHtml) {
  const std::string html = to_html(example_table());
  EXPECT_NE(html.find("<caption><span>Means</span></caption>"), std::string::npos);
  EXPECT_NE(html.find("<th scope=\"col\" class=\"number\">Dice</th>"), std::string::npos);
  EXPECT_NE(html.find("<tr><th scope=\"row\">A</th><td class=\"number\">0.9</td></tr>"), std::string::npos);
  EXPECT_NE(html.find("0.812 <span>(0.789\u20130.831)</span>"), std::string::npos);
  EXPECT_NE(html.find("\u22120.1 <span>(\u22120.2 to 0.1)</span>"), std::string::npos);
}

}  // namespace
}  // namespace vmae::report
