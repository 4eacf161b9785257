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

bool has_any(const LinePlot& plot, std::vector<double> Line::*limits) {
  return std::any_of(plot.lines.begin(), plot.lines.end(), [&](const Line& line) { return !(line.*limits).empty(); });
}

struct Layout {
  double width = 0;
  Frame frame;
  Scale x, y;
  std::vector<Tick> x_ticks, y_ticks;
  double apart = 0;  // whiskers at the same x stand side by side
  bool is_empty = false;
};

Layout layout_of(const LinePlot& plot) {
  Layout layout;
  layout.width = plot.is_square ? 480 : 560;
  const std::vector<double> xs = values_of(plot, true);
  layout.is_empty = xs.empty();
  const auto [x_low, x_high] =
      plot.x_is_log ? log_axis_range(plot.x_low, plot.x_high, xs) : axis_range(plot.x_low, plot.x_high, xs);
  const auto [y_low, y_high] = axis_range(plot.y_low, plot.y_high, values_of(plot, false));
  layout.y_ticks = ticks(y_low, y_high);
  layout.x_ticks = ticks_at(plot.x_ticks, x_low, x_high);
  if (layout.x_ticks.empty()) layout.x_ticks = plot.x_is_log ? log_ticks(x_low, x_high) : ticks(x_low, x_high);

  const double last_label = layout.x_ticks.empty() ? 0 : text_width(layout.x_ticks.back().text, kFont) / 2;
  Frame& frame = layout.frame;
  frame = {room_for_y_axis(layout.y_ticks), 20, layout.width - std::max(24.0, last_label + 6), 0};
  frame.bottom = frame.top + (plot.is_square ? frame.right - frame.left : 300);
  const auto num_lines = static_cast<double>(plot.lines.size());
  const bool has_whiskers = has_any(plot, &Line::error_low);
  layout.apart = has_whiskers ? std::min(7.0, 36 / num_lines) : 0;
  const double margin = has_whiskers || plot.x_is_log ? 12 + layout.apart * num_lines / 2 : 0;
  layout.x = {x_low, x_high, frame.left + margin, frame.right - margin, plot.x_is_log};
  layout.y = {y_low, y_high, frame.bottom, frame.top};
  return layout;
}

class LineDrawing {
 public:
  LineDrawing(const LinePlot& plot, const Layout& layout, Svg& svg)
      : plot_(plot),
        layout_(layout),
        svg_(svg),
        most_(std::max<size_t>(
            100, kMostPoints / std::max<size_t>(1, plot.lines.size()) / (has_any(plot, &Line::band_low) ? 3 : 1))) {}

  void axes() const {
    draw_y_axis(svg_, layout_.frame, layout_.y, layout_.y_ticks, plot_.y_axis);
    draw_x_axis(svg_, layout_.frame, layout_.x, layout_.x_ticks, plot_.x_axis);
  }

  void lines() const {
    const Frame& frame = layout_.frame;
    svg_.clip(frame.left - 3, frame.top - 3, frame.right - frame.left + 6, frame.bottom - frame.top + 6);
    if (plot_.has_diagonal) diagonal();
    for (size_t k = 0; k < plot_.lines.size(); ++k) band(k);
    for (size_t k = 0; k < plot_.lines.size(); ++k) curve(k);
    for (size_t k = 0; k < plot_.lines.size(); ++k) whiskers_and_markers(k);
    svg_.close();
    if (layout_.is_empty)
      svg_.text((frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2, "no values",
                {.anchor = Anchor::middle, .color = kGrey});
  }

  // names: of the lines; returns where it ends.
  double legend(const std::vector<std::string>& names) const {
    const bool has_markers = std::any_of(plot_.lines.begin(), plot_.lines.end(),
                                         [](const Line& line) { return line.has_markers || line.points.size() == 1; });
    const Swatch swatch = has_markers ? Swatch::line_with_marker : Swatch::line;
    std::vector<LegendEntry> entries, points;
    for (size_t k = 0; k < names.size(); ++k) entries.push_back({names[k], series_of(k), color_of(k)});
    for (const auto& [series, name] : plot_.point_legend) points.push_back({.name = name, .series = series});
    const double right = layout_.frame.right;
    const double bottom = draw_legend(svg_, entries, swatch, 16, right, layout_.frame.bottom + 60);
    return points.empty() ? bottom : draw_legend(svg_, points, Swatch::box, 16, right, bottom);
  }

 private:
  size_t series_of(size_t k) const {
    return plot_.lines[k].series < 0 ? k : static_cast<size_t>(plot_.lines[k].series);
  }

  std::string_view color_of(size_t k) const {
    return plot_.lines[k].point_series.empty() ? color(series_of(k)) : kGrey;
  }

  Scale x_of(size_t k) const {
    const auto num_lines = static_cast<double>(plot_.lines.size());
    const double shift = layout_.apart * (static_cast<double>(k) - (num_lines - 1) / 2);
    const Scale& x = layout_.x;
    return {x.low, x.high, x.from + shift, x.to + shift, x.is_log};
  }

  bool can_show(double x, double y) const { return is_plottable(x) && is_plottable(y) && (!plot_.x_is_log || x > 0); }

  // The stretches of a curve without a gap, thinned.
  std::vector<std::vector<Point>> stretches(const Line& line, const std::vector<double>* values, const Scale& x) const {
    std::vector<std::vector<Point>> out(1);
    for (size_t i = 0; i < line.points.size(); ++i) {
      const double y = values == nullptr ? line.points[i].y : at_or_nan(*values, i);
      if (can_show(line.points[i].x, y)) {
        out.back().push_back({x(line.points[i].x), layout_.y(y)});
      } else if (!out.back().empty()) {
        out.emplace_back();
      }
    }
    if (out.back().empty()) out.pop_back();
    for (auto& stretch : out) stretch = thinned(stretch, most_);
    return out;
  }

  void diagonal() const {
    const Scale &x = layout_.x, &y = layout_.y;
    const double low = std::max(x.low, y.low), high = std::min(x.high, y.high);
    if (low < high)
      svg_.line(x(low), y(low), x(high), y(high),
                concat("stroke=\"", kFrame, "\" stroke-width=\"1.5\" stroke-dasharray=\"4 4\""));
  }

  void band(size_t k) const {
    const Line& line = plot_.lines[k];
    Line both = line;  // a point where one of the limits is missing has none
    for (size_t i = 0; i < both.points.size(); ++i) {
      if (!can_show(both.points[i].x, at_or_nan(line.band_low, i)) ||
          !can_show(both.points[i].x, at_or_nan(line.band_high, i)))
        both.points[i].x = std::nan("");
    }
    const auto low = stretches(both, &line.band_low, x_of(k)), high = stretches(both, &line.band_high, x_of(k));
    for (size_t i = 0; i < low.size(); ++i) {
      std::string d = path_of(high[i]);
      for (auto point = low[i].rbegin(); point != low[i].rend(); ++point)
        d += concat("L", coordinate(point->x), " ", coordinate(point->y));
      svg_.path(d + "Z", concat("fill=\"", color_of(k), "\" fill-opacity=\"0.16\""));
    }
  }

  void curve(size_t k) const {
    std::string d, alone;
    for (const auto& stretch : stretches(plot_.lines[k], nullptr, x_of(k))) {
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
    const Scale x_scale = x_of(k);
    const Scale& y = layout_.y;
    std::map<std::string_view, std::pair<std::string, std::string>> by_color;  // whiskers and markers
    const size_t stride = (line.points.size() + kMostMarkers - 1) / kMostMarkers;
    for (size_t i = 0; i < line.points.size(); i += stride) {
      if (!can_show(line.points[i].x, 0)) continue;
      auto& [whiskers, markers] = by_color[i < line.point_series.size() ? color(line.point_series[i]) : color_of(k)];
      const double x = x_scale(line.points[i].x), low = at_or_nan(line.error_low, i),
                   high = at_or_nan(line.error_high, i);
      if (is_plottable(low) && is_plottable(high)) {
        const std::string left = coordinate(x - 4), top = coordinate(y(high)), bottom = coordinate(y(low));
        whiskers +=
            concat("M", coordinate(x), " ", bottom, "V", top, "M", left, " ", top, "h8M", left, " ", bottom, "h8");
      }
      if (line.has_markers && is_plottable(line.points[i].y))
        markers += marker(series_of(k), x, y(line.points[i].y), 5);
    }
    for (const auto& [paint, paths] : by_color) {
      svg_.path(paths.first, concat("fill=\"none\" stroke=\"", paint, "\" stroke-width=\"1.5\""));
      svg_.path(paths.second, concat("fill=\"", paint, "\" stroke=\"#ffffff\""));
    }
  }

  static std::string path_of(const std::vector<Point>& points) {
    std::string d;
    for (const Point& point : points) d += concat(d.empty() ? "M" : "L", coordinate(point.x), " ", coordinate(point.y));
    return d;
  }

  const LinePlot& plot_;
  const Layout& layout_;
  Svg& svg_;
  size_t most_;  // points of a curve
};

}  // namespace

std::string line_plot(const LinePlot& plot) {
  const Layout layout = layout_of(plot);
  std::vector<std::string> names;
  for (const Line& line : plot.lines) names.push_back(line.name + (has_values(line) ? "" : " (no values)"));
  Svg svg;
  const LineDrawing drawing(plot, layout, svg);
  drawing.axes();
  drawing.lines();
  const double bottom = draw_notes(svg, plot.notes, 16, layout.frame.right, drawing.legend(names));
  return svg.document(layout.width, bottom + 14, plot.title,
                      concat(plot.y_axis, " against ", plot.x_axis, plot.lines.empty() ? "" : ". ", join(names, "; ")));
}

}  // namespace vmae::report
