#pragma once
// What plots share: ranges, ticks, axes, the look of a series, the legend.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "svg.h"

namespace vmae::report {

// From values to coordinates.
struct Scale {
  double low = 0, high = 1;  // values
  double from = 0, to = 1;   // coordinates
  bool is_log = false;
  double operator()(double value) const;
};

bool is_plottable(double value);  // finite, and not so large that sums overflow

// Of an axis: [low, high] if that is a range, widened by values outside of it; else round numbers around the values.
std::pair<double, double> axis_range(double low, double high, const std::vector<double>& values);
std::pair<double, double> log_axis_range(double low, double high, const std::vector<double>& values);

struct Tick {
  double value = 0;
  std::string text;
};
std::vector<Tick> ticks(double low, double high);
std::vector<Tick> log_ticks(double low, double high);
std::vector<Tick> ticks_at(const std::vector<double>& values, double low, double high);

struct Frame {
  double left = 0, top = 0, right = 0, bottom = 0;
};
// Room at the left for the tick labels and the rotated title.
double room_for_y_axis(const std::vector<Tick>& y_ticks);
void draw_y_axis(Svg& svg, const Frame& frame, const Scale& y, const std::vector<Tick>& y_ticks,
                 std::string_view title);
// 52 below the frame
void draw_x_axis(Svg& svg, const Frame& frame, const Scale& x, const std::vector<Tick>& x_ticks,
                 std::string_view title);

// Colour, dash pattern and marker of series `i`. The eighth colour is grey, not yellow, which nobody sees on white.
std::string_view color(size_t i);
std::string_view dash(size_t i);                                  // of stroke-dasharray; "none"
std::string marker(size_t i, double x, double y, double radius);  // path data of a closed outline

enum class Swatch { line, line_with_marker, box };
struct LegendEntry {
  std::string name;
  size_t series = 0;         // whose dash pattern and marker
  std::string_view color{};  // empty: of the series
};
// In columns, wrapped; returns where it ends.
double draw_legend(Svg& svg, const std::vector<LegendEntry>& entries, Swatch swatch, double left, double right,
                   double top);
double draw_notes(Svg& svg, const std::vector<std::string>& notes, double left, double right, double top);

}  // namespace vmae::report
