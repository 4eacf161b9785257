#pragma once
// Figures as SVG: whole documents (with xmlns, viewBox, title and desc for screen readers), which also stand
// inline in the report. All texts are escaped. Colours: Okabe and Ito's, with dash patterns and markers
// besides, so that they can be told apart without colour. No script, no font file, no outside reference. The
// title is for screen readers and pointers: what a reader sees is the caption of the page or paper.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace vmae::report {

struct Figure {
  std::string name{};   // of the file: "dice", "roc"
  std::string title{};  // what it shows, one sentence
  std::string svg{};
};

// Boxes (median, quartiles, whiskers to the most distant value within 1.5 IQR), every value as a dot (jittered by its
// index, up to 500 of them) and the mean as a diamond. Groups stand side by side (classes), in each a box per series
// (models), in several rows where they are many. Values that are not finite are left out; n is written below each box.
struct BoxPlot {
  std::string title{}, value_axis{};
  std::vector<std::string> groups{}, series{};
  std::vector<std::vector<std::vector<double>>> values{};  // [group][series]
  // of the axis, widened by values outside of it; equal: from the values
  double low = 0, high = 1;
};
struct BoxStatistics {
  size_t n = 0;  // finite values
  double low_whisker = 0, first_quartile = 0, median = 0, third_quartile = 0, high_whisker = 0, mean = 0;
};
BoxStatistics box_statistics(std::vector<double> values);  // quantiles as numpy's (linear)
std::string box_plot(const BoxPlot& plot);

struct Point {
  double x = 0, y = 0;
};
struct Line {
  std::string name{};                             // with what the legend should say: "A, AUROC 0.91 (0.88-0.94)"
  std::vector<Point> points{};                    // in the order to be joined
  std::vector<double> band_low{}, band_high{};    // per point, or empty
  std::vector<double> error_low{}, error_high{};  // whiskers per point, or empty
  bool has_markers = false;
  // Whose colour, dash pattern and marker it has; -1: its place
  // in `lines`. In all figures of a report a model has the same.
  int64_t series = -1;
  // Of points that are of several series: whose colour each marker has. The line itself is grey then.
  std::vector<size_t> point_series{};
};
// ROC, precision-recall, calibration, label efficiency. Ranges are widened by
// values outside of them; equal limits: from the values. Points that are not finite
// are gaps. Of many points, only those are written that make a visible difference.
struct LinePlot {
  std::string title{}, x_axis{}, y_axis{};
  double x_low = 0, x_high = 1, y_low = 0, y_high = 1;
  bool has_diagonal = false, is_square = false, x_is_log = false;
  std::vector<double> x_ticks{};  // empty: chosen
  std::vector<Line> lines{};
  std::vector<std::string> notes{};                            // below the legend
  std::vector<std::pair<size_t, std::string>> point_legend{};  // of point_series: series and name
};
std::string line_plot(const LinePlot& plot);

// Rows: truth, columns: prediction; counts, and the share of the row as shade and text.
struct ConfusionPlot {
  std::string title{};
  std::vector<std::string> classes{};
  std::vector<std::vector<int64_t>> counts{};  // [truth][prediction]
  std::string name{};                          // of the model, beside its colour; empty: neither
  size_t series = 0;                           // as Line::series
};
std::string confusion_plot(const ConfusionPlot& plot);

}  // namespace vmae::report
