#include <algorithm>
#include <cmath>
#include <map>

#include "plot_parts.h"
#include "thinning.h"
#include "vmae/core/text.h"
#include "vmae/report/figures.h"

namespace vmae::report {
namespace {

// Points and bytes of a figure: about 12 bytes each.
constexpr size_t kMostPoints = 4500, kMostMarkers = 60;

double at_or_nan(const std::vector<double>& values, size_t i) { return i < values.size() ? values[i] : std::nan(""); }

class Drawing {
 public:
  Drawing(const LinePlot& plot, Svg& svg, const Scale& x, const Scale& y) : plot_(plot), svg_(svg), x_(x), y_(y) {}

  bool can_show(double x, double y) const { return is_plottable(x) && is_plottable(y) && (!plot_.x_is_log || x > 0); }

  // The stretches of a curve without a gap, thinned.
  std::vector<std::vector<Point>> stretches(const Line& line, const std::vector<double>* values, size_t most) const {
    std::vector<std::vector<Point>> out(1);
    for (size_t i = 0; i < line.points.size(); ++i) {
      const double y = values == nullptr ? line.points[i].y : at_or_nan(*values, i);
      if (can_show(line.points[i].x, y)) {
        out.back().push_back({x_(line.points[i].x), y_(y)});
      } else if (!out.back().empty()) {
        out.emplace_back();
      }
    }
    if (out.back().empty()) out.pop_back();
    for (auto& stretch : out) stretch = thinned(stretch, most);
    return out;
  }

  size_t series_of(size_t k) const {
    return plot_.lines[k].series < 0 ? k : static_cast<size_t>(plot_.lines[k].series);
  }

  std::string_view color_of(size_t k) const {
    return plot_.lines[k].point_series.empty() ? color(series_of(k)) : kGrey;
  }

  void band(size_t k, size_t most) const {
    const Line& line = plot_.lines[k];
    Line both = line;  // a point where one of the limits is missing has none
    for (size_t i = 0; i < both.points.size(); ++i) {
      if (!can_show(both.points[i].x, at_or_nan(line.band_low, i)) ||
          !can_show(both.points[i].x, at_or_nan(line.band_high, i)))
        both.points[i].x = std::nan("");
    }
    const auto low = stretches(both, &line.band_low, most), high = stretches(both, &line.band_high, most);
    for (size_t i = 0; i < low.size(); ++i) {
      std::string d = path_of(high[i]);
      for (auto point = low[i].rbegin(); point != low[i].rend(); ++point)
        d += concat("L", coordinate(point->x), " ", coordinate(point->y));
      svg_.path(d + "Z", concat("fill=\"", color_of(k), "\" fill-opacity=\"0.16\""));
    }
  }

  void curve(size_t k, size_t most) const {
    std::string d, alone;
    for (const auto& stretch : stretches(plot_.lines[k], nullptr, most)) {
      if (stretch.size() > 1) {
        d += path_of(stretch);
      } else if (!plot_.lines[k].has_markers) {
        alone += marker(series_of(k), stretch[0].x, stretch[0].y, 5);
      }
    }
    svg_.path(
        d, concat("fill=\"none\" stroke=\"", color_of(k),
                  "\" stroke-width=\"2.5\" stroke-linejoin=\"round\" stroke-dasharray=\"", dash(series_of(k)), "\""));
    svg_.path(alone, concat("fill=\"", color_of(k), "\" stroke=\"#ffffff\""));
  }

  void whiskers_and_markers(size_t k) const {
    const Line& line = plot_.lines[k];
    std::map<std::string_view, std::pair<std::string, std::string>> by_color;  // whiskers and markers
    const size_t stride = (line.points.size() + kMostMarkers - 1) / kMostMarkers;
    for (size_t i = 0; i < line.points.size(); i += stride) {
      if (!can_show(line.points[i].x, 0)) continue;
      auto& [whiskers, markers] = by_color[i < line.point_series.size() ? color(line.point_series[i]) : color_of(k)];
      const double x = x_(line.points[i].x), low = at_or_nan(line.error_low, i), high = at_or_nan(line.error_high, i);
      if (is_plottable(low) && is_plottable(high)) {
        const std::string left = coordinate(x - 4), top = coordinate(y_(high)), bottom = coordinate(y_(low));
        whiskers +=
            concat("M", coordinate(x), " ", bottom, "V", top, "M", left, " ", top, "h8M", left, " ", bottom, "h8");
      }
      if (line.has_markers && is_plottable(line.points[i].y))
        markers += marker(series_of(k), x, y_(line.points[i].y), 5);
    }
    for (const auto& [paint, paths] : by_color) {
      svg_.path(paths.first, concat("fill=\"none\" stroke=\"", paint, "\" stroke-width=\"1.5\""));
      svg_.path(paths.second, concat("fill=\"", paint, "\" stroke=\"#ffffff\""));
    }
  }

 private:
  static std::string path_of(const std::vector<Point>& points) {
    std::string d;
    for (const Point& point : points) d += concat(d.empty() ? "M" : "L", coordinate(point.x), " ", coordinate(point.y));
    return d;
  }

  const LinePlot& plot_;
  Svg& svg_;
  Scale x_, y_;
};

// Every value that has a place along x (or y).
std::vector<double> values_of(const LinePlot& plot, bool along_x) {
  std::vector<double> values;
  for (const Line& line : plot.lines) {
    for (size_t i = 0; i < line.points.size(); ++i) {
      const Point& point = line.points[i];
      if (!is_plottable(point.x) || (plot.x_is_log && point.x <= 0)) continue;
      if (along_x) {
        if (is_plottable(point.y)) values.push_back(point.x);
        continue;
      }
      for (const double y : {point.y, at_or_nan(line.band_low, i), at_or_nan(line.band_high, i),
                             at_or_nan(line.error_low, i), at_or_nan(line.error_high, i)}) {
        if (is_plottable(y)) values.push_back(y);
      }
    }
  }
  return values;
}

bool has_values(const Line& line) {
  return std::any_of(line.points.begin(), line.points.end(),
                     [](const Point& point) { return is_plottable(point.x) && is_plottable(point.y); });
}

}  // namespace

std::string line_plot(const LinePlot& plot) {
  const double width = plot.is_square ? 480 : 560;
  const std::vector<double> xs = values_of(plot, true);
  const auto [x_low, x_high] =
      plot.x_is_log ? log_axis_range(plot.x_low, plot.x_high, xs) : axis_range(plot.x_low, plot.x_high, xs);
  const auto [y_low, y_high] = axis_range(plot.y_low, plot.y_high, values_of(plot, false));
  const std::vector<Tick> y_ticks = ticks(y_low, y_high);
  std::vector<Tick> x_ticks = ticks_at(plot.x_ticks, x_low, x_high);
  if (x_ticks.empty()) x_ticks = plot.x_is_log ? log_ticks(x_low, x_high) : ticks(x_low, x_high);

  const double last_label = x_ticks.empty() ? 0 : text_width(x_ticks.back().text, kFont) / 2;
  Frame frame{room_for_y_axis(y_ticks), 20, width - std::max(24.0, last_label + 6), 0};
  frame.bottom = frame.top + (plot.is_square ? frame.right - frame.left : 300);
  const auto num_lines = static_cast<double>(plot.lines.size());
  const bool has_whiskers =
      std::any_of(plot.lines.begin(), plot.lines.end(), [](const Line& line) { return !line.error_low.empty(); });
  const double apart = has_whiskers ? std::min(7.0, 36 / num_lines) : 0;  // whiskers at the same x stand side by side
  const double margin = has_whiskers || plot.x_is_log ? 12 + apart * num_lines / 2 : 0;
  const Scale x{x_low, x_high, frame.left + margin, frame.right - margin, plot.x_is_log},
      y{y_low, y_high, frame.bottom, frame.top};

  Svg svg;
  draw_y_axis(svg, frame, y, y_ticks, plot.y_axis);
  draw_x_axis(svg, frame, x, x_ticks, plot.x_axis);
  svg.clip(frame.left - 3, frame.top - 3, frame.right - frame.left + 6, frame.bottom - frame.top + 6);
  if (plot.has_diagonal) {
    const double low = std::max(x_low, y_low), high = std::min(x_high, y_high);
    if (low < high)
      svg.line(x(low), y(low), x(high), y(high),
               concat("stroke=\"", kFrame, "\" stroke-width=\"1.5\" stroke-dasharray=\"4 4\""));
  }
  const auto drawing_of = [&](size_t k) {
    const double shift = apart * (static_cast<double>(k) - (num_lines - 1) / 2);
    return Drawing(plot, svg, {x.low, x.high, x.from + shift, x.to + shift, x.is_log}, y);
  };
  const bool has_bands =
      std::any_of(plot.lines.begin(), plot.lines.end(), [](const Line& line) { return !line.band_low.empty(); });
  const size_t most = std::max<size_t>(100, kMostPoints / std::max<size_t>(1, plot.lines.size()) / (has_bands ? 3 : 1));
  for (size_t k = 0; k < plot.lines.size(); ++k) drawing_of(k).band(k, most);
  for (size_t k = 0; k < plot.lines.size(); ++k) drawing_of(k).curve(k, most);
  for (size_t k = 0; k < plot.lines.size(); ++k) drawing_of(k).whiskers_and_markers(k);
  svg.close();
  if (xs.empty())
    svg.text((frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2, "no values",
             {.anchor = Anchor::middle, .color = kGrey});

  std::vector<std::string> names;
  for (const Line& line : plot.lines) names.push_back(line.name + (has_values(line) ? "" : " (no values)"));
  const bool has_markers = std::any_of(plot.lines.begin(), plot.lines.end(),
                                       [](const Line& line) { return line.has_markers || line.points.size() == 1; });
  std::vector<LegendEntry> legend, points;
  for (size_t k = 0; k < names.size(); ++k)
    legend.push_back({names[k], drawing_of(k).series_of(k), drawing_of(k).color_of(k)});
  for (const auto& [series, name] : plot.point_legend) points.push_back({.name = name, .series = series});
  double bottom = draw_legend(svg, legend, has_markers ? Swatch::line_with_marker : Swatch::line, 16, frame.right,
                              frame.bottom + 60);
  if (!points.empty()) bottom = draw_legend(svg, points, Swatch::box, 16, frame.right, bottom);
  bottom = draw_notes(svg, plot.notes, 16, frame.right, bottom);
  return svg.document(width, bottom + 14, plot.title,
                      concat(plot.y_axis, " against ", plot.x_axis, plot.lines.empty() ? "" : ". ", join(names, "; ")));
}

}  // namespace vmae::report
