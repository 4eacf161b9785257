#include "vmae/report/figures.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "vmae/core/random.h"

namespace vmae::report {
namespace {

const std::string kNasty = "<script>alert(1)</script>\"><img src=x onerror=alert(1)> a&b 'q' \xff\x01 שלום 🫀";

size_t count(const std::string& text, std::string_view part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

void expect_harmless(const std::string& svg) {
  EXPECT_TRUE(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 "));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_EQ(count(svg, "<script"), 0U);
  EXPECT_EQ(count(svg, "<img"), 0U);
  EXPECT_EQ(count(svg, "&b"), 0U);
  EXPECT_EQ(count(svg, "\x01"), 0U);
  EXPECT_EQ(count(svg, "\xff"), 0U);
  EXPECT_EQ(count(svg, "nan"), 0U);
  EXPECT_EQ(count(svg, "inf"), 0U);
  EXPECT_EQ(count(svg, "http"), 1U);
  EXPECT_EQ(count(svg, "<g "), count(svg, "</g>"));
  EXPECT_EQ(count(svg, "<text "), count(svg, "</text>"));
  EXPECT_EQ(count(svg, "<title"), count(svg, "</title>"));
}

TEST(BoxStatistics, AreNumpys) {
  // numpy.quantile([1, 2, 3, 4, 10, 30], [.25, .5, .75]) = 2.25, 3.5, 8.5; the reach is 9.375.
  const BoxStatistics box = box_statistics({10, 1, 30, std::nan(""), 4, 3, 2, std::numeric_limits<double>::infinity()});
  EXPECT_EQ(box.n, 6U);
  EXPECT_DOUBLE_EQ(box.first_quartile, 2.25);
  EXPECT_DOUBLE_EQ(box.median, 3.5);
  EXPECT_DOUBLE_EQ(box.third_quartile, 8.5);
  EXPECT_DOUBLE_EQ(box.low_whisker, 1);
  EXPECT_DOUBLE_EQ(box.high_whisker, 10);
  EXPECT_DOUBLE_EQ(box.mean, 50.0 / 6);
}

TEST(BoxStatistics, OfFewValues) {
  EXPECT_EQ(box_statistics({}).n, 0U);
  const BoxStatistics one = box_statistics({7});
  EXPECT_EQ(one.median, 7);
  EXPECT_EQ(one.low_whisker, 7);
  EXPECT_EQ(one.high_whisker, 7);
}

TEST(Figures, HoldNothingButEscapedTexts) {
  const double nan = std::nan("");
  const std::string longest = std::string(300, 'x');
  BoxPlot boxes{kNasty, kNasty, {kNasty, longest}, {kNasty, longest, "c"}, {{{1, 1, 1}, {nan}, {}}, {{0.5}}}, 0, 0};
  expect_harmless(box_plot(boxes));
  expect_harmless(box_plot({}));
  LinePlot lines;
  lines.title = lines.x_axis = kNasty;
  lines.y_axis = longest;
  lines.notes = {kNasty};
  lines.lines = {{kNasty, {{0, 0}, {nan, 1}, {1, 1}}, {0, 0, nan}, {1, 1}, {0}, {1}, true},
                 {longest, {}, {}, {}, {}, {}, false},
                 {"one", {{0.5, 0.5}}, {}, {}, {}, {}, false}};
  expect_harmless(line_plot(lines));
  lines.x_is_log = true;
  lines.x_low = lines.x_high = 0;
  expect_harmless(line_plot(lines));
  expect_harmless(line_plot({}));
  expect_harmless(confusion_plot({kNasty, {kNasty, longest}, {{1, 2}, {3}}}));
  expect_harmless(confusion_plot({}));
}

LinePlot plot_of(const std::vector<Line>& lines) {
  LinePlot plot;
  plot.lines = lines;
  return plot;
}

TEST(Figures, SayWhatIsMissing) {
  EXPECT_EQ(count(box_plot({"", "", {"g"}, {"a", "b"}, {{{1}, {}}}, 0, 1}), ">no values<"), 1U);
  EXPECT_EQ(count(line_plot({}), ">no values<"), 1U);
  EXPECT_EQ(count(confusion_plot({}), ">no values<"), 1U);
  EXPECT_EQ(count(line_plot(plot_of({{"A", {}, {}, {}, {}, {}, false}, {"B", {{1, 1}}, {}, {}, {}, {}, false}})),
                  ">A (no values)<"),
            1U);
}

TEST(Figures, ShowTheEndOfALongNameInTheLegend) {
  const std::string svg = line_plot(
      plot_of({{std::string(300, 'x') + ", AUROC 0.91 (0.88-0.94)", {{0, 0}, {1, 1}}, {}, {}, {}, {}, false}}));
  EXPECT_GE(count(svg, "0.91 (0.88-0.94)</text>"), 1U);
}

TEST(LinePlot, IsThinnedButKeepsExtremes) {
  LinePlot plot;
  plot.x_high = 100000;
  for (uint64_t k = 0; k < 8; ++k) {
    Random random(k);
    Line line{"noise", {}, {}, {}, {}, {}, false};
    for (int i = 0; i < 100000; ++i) {
      line.points.push_back({static_cast<double>(i), 0.4 + 0.2 * random.uniform()});
      line.band_low.push_back(0.2 + 0.1 * random.uniform());
      line.band_high.push_back(0.7 + 0.1 * random.uniform());
    }
    line.points[54321].y = 1;
    line.points[65432].y = 0;
    plot.lines.push_back(line);
  }
  const std::string svg = line_plot(plot);
  EXPECT_LT(svg.size(), 100000U);
  // The plot's top and bottom are at 20 and 320: every line reaches both.
  EXPECT_GE(count(svg, " 20L"), 8U);
  EXPECT_GE(count(svg, " 320L"), 8U);
}

TEST(LinePlot, ThinsNoCorners) {
  LinePlot plot;
  Line line{"steps", {}, {}, {}, {}, {}, false};
  for (int i = 0; i <= 100000; ++i) line.points.push_back({i / 100000.0, i < 50000 ? 0.0 : 1.0});
  plot.lines = {line};
  const std::string svg = line_plot(plot);
  EXPECT_LT(svg.size(), 6000U);
  EXPECT_EQ(count(svg.substr(svg.find("fill=\"none\"") - 80, 80), "L"), 3U);
}

TEST(BoxPlot, ShowsEveryValueOfUpToFiveHundred) {
  BoxPlot plot{"t", "v", {"g"}, {"s"}, {{{}}}, 0, 1};
  for (int i = 0; i < 500; ++i) plot.values[0][0].push_back(i / 500.0);
  EXPECT_EQ(count(box_plot(plot), "h.01"), 500U);
  plot.values[0][0].resize(5000, 0.5);
  EXPECT_EQ(count(box_plot(plot), "h.01"), 500U);
}

TEST(Confusion, ShowsSharesOfRows) {
  const std::string svg = confusion_plot({"t", {"a", "b"}, {{1000, 3}, {0, 0}}});
  EXPECT_EQ(count(svg, ">1,000</text>"), 1U);
  EXPECT_EQ(count(svg, ">&lt;1%</text>"), 1U);
  EXPECT_EQ(count(svg, ">\u2013</text>"), 2U);
}

}  // namespace
}  // namespace vmae::report
