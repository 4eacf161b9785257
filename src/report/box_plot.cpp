#include <algorithm>
#include <cmath>
#include <numeric>

#include "plot_parts.h"
#include "vmae/core/text.h"
#include "vmae/report/figures.h"
#include "vmae/report/table.h"

namespace vmae::report {

BoxStatistics box_statistics(std::vector<double> values) {
  std::erase_if(values, [](double value) { return !is_plottable(value); });
  std::sort(values.begin(), values.end());
  BoxStatistics out;
  out.n = values.size();
  if (values.empty()) return out;
  const auto quantile = [&](double q) {
    const double at = q * static_cast<double>(values.size() - 1);
    const auto below = static_cast<size_t>(at);
    return std::lerp(values[below], values[std::min(below + 1, values.size() - 1)], at - static_cast<double>(below));
  };
  out.median = quantile(0.5);
  out.first_quartile = quantile(0.25);
  out.third_quartile = quantile(0.75);
  out.mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  const double reach = 1.5 * (out.third_quartile - out.first_quartile);
  out.low_whisker =
      *std::find_if(values.begin(), values.end(), [&](double value) { return value >= out.first_quartile - reach; });
  out.high_whisker =
      *std::find_if(values.rbegin(), values.rend(), [&](double value) { return value <= out.third_quartile + reach; });
  return out;
}

namespace {

constexpr double kWidth = 560, kNarrowest = 20, kWidest = 64, kNarrowestGroup = 92, kBetweenGroups = 16,
                 kLabelFont = 14, kLine = 18;
constexpr double kMostRoom = 1100;
constexpr size_t kMostRows = 4, kMostDots = 500, kMostDotsOfAll = 5000, kLabelLines = 3;

class BoxDrawing {
 public:
  BoxDrawing(const BoxPlot& plot, Svg& svg, size_t dots_per_box) : plot_(plot), svg_(svg), most_dots_(dots_per_box) {}

  void box(const std::vector<double>& values, size_t series, double x, double slot, const Scale& y,
           const Frame& frame) const {
    const BoxStatistics box = box_statistics(values);
    const std::string n = std::to_string(box.n);
    if (text_width(n, kSmallFont) < slot - 6) {
      svg_.text(x, frame.bottom + 17, n, {.size = kSmallFont, .anchor = Anchor::middle, .color = kGrey});
    } else {
      svg_.text(x + 4.5, frame.bottom + 6, n,
                {.size = kSmallFont, .anchor = Anchor::end, .color = kGrey, .rotation = -90});
    }
    if (box.n == 0) {
      const double middle = (frame.top + frame.bottom) / 2;
      svg_.text(x + 4.5, middle, "no values",
                {.size = kSmallFont, .anchor = Anchor::middle, .color = kGrey, .rotation = -90});
      return;
    }
    const double half = std::clamp(0.36 * slot, 5.0, 20.0);
    const std::string stroke = concat("fill=\"none\" stroke=\"", color(series), "\" stroke-width=\"2\"");
    svg_.path(dots(values, x, 0.8 * half, y),
              concat("stroke=\"", color(series), "\" stroke-opacity=\"0.45\" stroke-width=\"", slot < 28 ? 3 : 4,
                     "\" stroke-linecap=\"round\""));
    svg_.rect(x - half, y(box.third_quartile), 2 * half, y(box.first_quartile) - y(box.third_quartile),
              concat("fill-opacity=\"0.18\" fill=\"", color(series), "\""));
    const auto across = [&](double value, double reach) {
      return concat("M", coordinate(x - reach), " ", coordinate(y(value)), "h", coordinate(2 * reach));
    };
    std::string d = across(box.low_whisker, half / 2) + across(box.high_whisker, half / 2);
    d += concat("M", coordinate(x), " ", coordinate(y(box.low_whisker)), "V", coordinate(y(box.first_quartile)));
    d += concat("M", coordinate(x), " ", coordinate(y(box.high_whisker)), "V", coordinate(y(box.third_quartile)));
    d += concat(across(box.first_quartile, half), "V", coordinate(y(box.third_quartile)), "h", coordinate(-2 * half),
                "Z");
    svg_.path(d, stroke);
    svg_.path(across(box.median, half), concat("stroke=\"", kInk, "\" stroke-width=\"3\""));
    svg_.path(marker(3, x, y(box.mean), slot < 28 ? 3.5 : 4.5),
              concat("fill=\"#ffffff\" stroke=\"", kInk, "\" stroke-width=\"1.5\""));
  }

  // One row of the figure.
  void row(size_t begin, size_t end, double slot, double group_width, const Scale& y, const Frame& frame) const {
    for (size_t g = begin; g < end; ++g) {
      const double left = frame.left + static_cast<double>(g - begin) * group_width, middle = left + group_width / 2;
      const double first = middle - slot * (static_cast<double>(plot_.series.size()) - 1) / 2;
      if (g > begin) svg_.line(left, frame.top, left, frame.bottom, concat("stroke=\"", kGrid, "\""));
      for (size_t s = 0; s < plot_.series.size(); ++s)
        box(values_of(g, s), s, first + static_cast<double>(s) * slot, slot, y, frame);
      const std::vector<std::string> lines = wrapped(plot_.groups[g], group_width - 8, kLabelFont, kLabelLines);
      const bool is_cut = lines.back().ends_with("\u2026");
      for (size_t i = 0; i < lines.size(); ++i) {
        const double at = frame.bottom + label_top + static_cast<double>(i) * kLine;
        svg_.text(middle, at, lines[i],
                  {.size = kLabelFont,
                   .anchor = Anchor::middle,
                   .title = is_cut ? std::string_view(plot_.groups[g]) : std::string_view()});
      }
    }
    svg_.line(frame.left, frame.bottom, frame.right, frame.bottom, concat("stroke=\"", kFrame, "\""));
    svg_.text(frame.left - 8, frame.bottom + 17, "n", {.size = kSmallFont, .anchor = Anchor::end, .color = kGrey});
  }

  const std::vector<double>& values_of(size_t group, size_t series) const {
    static const std::vector<double> none;
    return group < plot_.values.size() && series < plot_.values[group].size() ? plot_.values[group][series] : none;
  }

  double label_top = 0;

 private:
  // Every value, or of many those in even steps of their order; lines of no length with round ends.
  std::string dots(const std::vector<double>& values, double x, double reach, const Scale& y) const {
    std::vector<size_t> order;
    for (size_t i = 0; i < values.size(); ++i) {
      if (is_plottable(values[i])) order.push_back(i);
    }
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return values[a] != values[b] ? values[a] < values[b] : a < b; });
    const size_t shown = std::min(order.size(), most_dots_);
    std::string d;
    for (size_t k = 0; k < shown; ++k) {
      const size_t i = order[shown < 2 ? 0 : k * (order.size() - 1) / (shown - 1)];
      const double jitter = 2 * std::fmod(0.618034 * static_cast<double>(i) + 0.5, 1.0) - 1;
      d += concat("M", coordinate(x + jitter * reach), " ", coordinate(y(values[i])), "h.01");
    }
    return d;
  }

  const BoxPlot& plot_;
  Svg& svg_;
  size_t most_dots_;
};

std::string description(const BoxPlot& plot, const BoxDrawing& drawing) {
  std::string out = "Box plots of " + plot.value_axis + ", median (quartiles).";
  constexpr size_t kMost = 40;
  for (size_t i = 0; i < std::min(kMost, plot.groups.size() * plot.series.size()); ++i) {
    const size_t g = i / plot.series.size(), s = i % plot.series.size();
    const BoxStatistics box = box_statistics(drawing.values_of(g, s));
    out += concat(" ", plot.groups[g], ", ", plot.series[s], ": ");
    out += box.n == 0 ? "no values."
                      : concat(with_interval(box.median, box.first_quartile, box.third_quartile), ", n = ", box.n, ".");
  }
  return out;
}

}  // namespace

std::string box_plot(const BoxPlot& plot) {
  const size_t num_groups = plot.groups.size(), num_series = std::max<size_t>(1, plot.series.size());
  Svg svg;
  BoxDrawing drawing(plot, svg,
                     std::clamp<size_t>(kMostDotsOfAll / std::max<size_t>(1, num_groups * num_series), 20, kMostDots));
  std::vector<double> all;
  size_t most_n = 0;
  for (size_t g = 0; g < num_groups; ++g) {
    for (size_t s = 0; s < plot.series.size(); ++s) {
      const auto& values = drawing.values_of(g, s);
      std::copy_if(values.begin(), values.end(), std::back_inserter(all), is_plottable);
      most_n = std::max(most_n, values.size());
    }
  }
  const auto [low, high] = axis_range(plot.low, plot.high, all);
  const std::vector<Tick> y_ticks = ticks(low, high);
  // Rows of groups of equal width, as few rows as hold them; of very many boxes, the figure becomes wider.
  const double left = room_for_y_axis(y_ticks),
               narrowest = std::max(kNarrowestGroup, kNarrowest * static_cast<double>(num_series) + kBetweenGroups);
  double room = kWidth - 20 - left;
  size_t rows = 1;
  for (;; room += kWidth / 4) {
    const size_t per_row = std::max<size_t>(1, static_cast<size_t>(room / narrowest));
    rows = std::max<size_t>(1, (num_groups + per_row - 1) / per_row);
    if (rows <= kMostRows || room > kMostRoom) break;
  }
  const size_t per_row = std::max<size_t>(1, (num_groups + rows - 1) / rows);
  const double plot_height = rows > 2 ? 210 : 270;
  const double group_width = std::max(narrowest, room / static_cast<double>(per_row)),
               right = left + group_width * static_cast<double>(per_row);
  const double slot = std::min(kWidest, (group_width - kBetweenGroups) / static_cast<double>(num_series));

  const double n_width = text_width(std::to_string(most_n), kSmallFont);
  drawing.label_top = (n_width < slot - 6 ? 22 : n_width + 12) + kLine;
  double top = 20;
  for (size_t r = 0; r < rows; ++r) {
    const size_t begin = r * per_row, end = std::min(num_groups, begin + per_row);
    size_t label_lines = 1;
    for (size_t g = begin; g < end; ++g)
      label_lines = std::max(label_lines, wrapped(plot.groups[g], group_width - 8, kLabelFont, kLabelLines).size());
    const Frame frame{left, top, left + group_width * static_cast<double>(std::max<size_t>(end - begin, 1)),
                      top + plot_height};
    const Scale y{low, high, frame.bottom, frame.top};
    draw_y_axis(svg, frame, y, y_ticks, plot.value_axis);
    drawing.row(begin, end, slot, group_width, y, frame);
    if (all.empty() && plot.series.empty())
      svg.text((frame.left + frame.right) / 2, top + plot_height / 2, "no values",
               {.anchor = Anchor::middle, .color = kGrey});
    top = frame.bottom + drawing.label_top + static_cast<double>(label_lines - 1) * kLine + 24;
  }
  std::vector<LegendEntry> legend;
  for (size_t s = 0; s < plot.series.size(); ++s) legend.push_back({.name = plot.series[s], .series = s});
  top = draw_legend(svg, legend, Swatch::box, 16, right, top - 8);
  return svg.document(right + 20, top + 12, plot.title, description(plot, drawing));
}

}  // namespace vmae::report
