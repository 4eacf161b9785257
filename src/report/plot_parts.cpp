#include "plot_parts.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "utf8.h"
#include "vmae/core/text.h"

namespace vmae::report {
namespace {

constexpr double kLegendFont = 14;

// Two lines at most; more is left out of the middle, for a name's end may hold its value: "A, AUROC 0.91 (0.88-0.94)".
std::vector<std::string> name_lines(const std::string& name, double room) {
  for (const double share : {2.0, 1.8, 1.6, 1.4, 1.2}) {
    std::vector<std::string> lines = wrapped(cut_in_the_middle(name, share * room, kLegendFont), room, kLegendFont, 2);
    if (!lines.back().ends_with("\u2026")) return lines;
  }
  return {cut_in_the_middle(name, room, kLegendFont)};
}

}  // namespace

std::string_view color(size_t i) {
  constexpr std::array<std::string_view, 8> kColors{"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                    "#e69f00", "#56b4e9", "#000000", "#6e7781"};
  return kColors[i % kColors.size()];
}

std::string_view dash(size_t i) {
  constexpr std::array<std::string_view, 7> kDashes{"none", "9 4", "3 3", "11 3 3 3", "5 2", "14 4", "8 3 2 3 2 3"};
  return kDashes[i % kDashes.size()];
}

std::string marker(size_t i, double x, double y, double radius) {
  const auto polygon = [&](const std::vector<std::pair<double, double>>& corners) {
    std::string d;
    for (const auto& [dx, dy] : corners)
      d += concat(d.empty() ? "M" : "L", coordinate(x + dx * radius), " ", coordinate(y + dy * radius));
    return d + "Z";
  };
  const std::string r = coordinate(radius), d = coordinate(2 * radius);
  switch (i % 8) {
    case 0:
      return concat("M", coordinate(x - radius), " ", coordinate(y), "a", r, " ", r, " 0 1 0 ", d, " 0a", r, " ", r,
                    " 0 1 0 -", d, " 0Z");
    case 1:
      return polygon({{-0.9, -0.9}, {0.9, -0.9}, {0.9, 0.9}, {-0.9, 0.9}});
    case 2:
      return polygon({{0, -1.2}, {1.1, 0.9}, {-1.1, 0.9}});
    case 3:
      return polygon({{0, -1.3}, {1.3, 0}, {0, 1.3}, {-1.3, 0}});
    case 4:
      return polygon({{0, 1.2}, {1.1, -0.9}, {-1.1, -0.9}});
    case 5:
      return polygon({{-0.4, -1.2},
                      {0.4, -1.2},
                      {0.4, -0.4},
                      {1.2, -0.4},
                      {1.2, 0.4},
                      {0.4, 0.4},
                      {0.4, 1.2},
                      {-0.4, 1.2},
                      {-0.4, 0.4},
                      {-1.2, 0.4},
                      {-1.2, -0.4},
                      {-0.4, -0.4}});
    case 6:
      return polygon({{-1.2, 0}, {-0.6, -1.1}, {0.6, -1.1}, {1.2, 0}, {0.6, 1.1}, {-0.6, 1.1}});
    default:
      return polygon({{0, 0}, {-1.1, -1.1}, {1.1, -1.1}, {0, 0}, {1.1, 1.1}, {-1.1, 1.1}});  // an hourglass
  }
}

double room_for_y_axis(const std::vector<Tick>& y_ticks) {
  double widest = 0;
  for (const Tick& tick : y_ticks) widest = std::max(widest, text_width(tick.text, kFont));
  return 30 + widest + 10;
}

void draw_y_axis(Svg& svg, const Frame& frame, const Scale& y, const std::vector<Tick>& y_ticks,
                 std::string_view title) {
  svg.open(concat("stroke=\"", kGrid, "\""));
  for (const Tick& tick : y_ticks) svg.line(frame.left, y(tick.value), frame.right, y(tick.value), "");
  svg.close();
  for (const Tick& tick : y_ticks) svg.text(frame.left - 8, y(tick.value) + 5, tick.text, {.anchor = Anchor::end});
  svg.line(frame.left, frame.top, frame.left, frame.bottom, concat("stroke=\"", kFrame, "\""));
  const double height = frame.bottom - frame.top;
  svg.text(20, frame.top + height / 2, title, {.anchor = Anchor::middle, .rotation = -90, .room = height});
}

void draw_x_axis(Svg& svg, const Frame& frame, const Scale& x, const std::vector<Tick>& x_ticks,
                 std::string_view title) {
  double free_from = -1e9;
  for (const Tick& tick : x_ticks) {
    const double at = x(tick.value), half = text_width(tick.text, kFont) / 2;
    svg.line(at, frame.top, at, frame.bottom, concat("stroke=\"", kGrid, "\""));
    svg.line(at, frame.bottom, at, frame.bottom + 4, concat("stroke=\"", kFrame, "\""));
    if (at - half < free_from) continue;
    svg.text(at, frame.bottom + 20, tick.text, {.anchor = Anchor::middle});
    free_from = at + half + 6;
  }
  svg.line(frame.left, frame.bottom, frame.right, frame.bottom, concat("stroke=\"", kFrame, "\""));
  svg.text((frame.left + frame.right) / 2, frame.bottom + 43, title,
           {.anchor = Anchor::middle, .room = frame.right - frame.left});
}

double draw_legend(Svg& svg, const std::vector<LegendEntry>& entries, Swatch swatch, double left, double right,
                   double top) {
  const double mark = swatch == Swatch::box ? 14 : 40, gap = 8, between = 24, line_height = 18, between_entries = 6;
  double widest = 0;
  for (const LegendEntry& one : entries) widest = std::max(widest, text_width(on_one_line(one.name), kLegendFont));
  const double room = right - left, text_room = std::min(room - mark - gap, widest + 1), entry = mark + gap + text_room;
  const auto columns =
      std::max<size_t>(1, std::min(entries.size(), static_cast<size_t>((room + between) / (entry + between))));
  const size_t rows = (entries.size() + columns - 1) / columns;
  double y = top, bottom = top;
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto& [name, series, own_color] = entries[i];
    const std::string_view paint = own_color.empty() ? color(series) : own_color;
    if (i % rows == 0) y = top;
    const size_t column = i / rows;
    const double x = left + static_cast<double>(column) * (entry + between), middle = y + line_height / 2;
    if (swatch == Swatch::box) {
      svg.rect(x + 1, middle - 6, 12, 12,
               concat("fill=\"", paint, "\" fill-opacity=\"0.3\" stroke=\"", paint, "\" stroke-width=\"2\""));
    } else {
      svg.line(x, middle, x + mark, middle,
               concat("stroke=\"", paint, "\" stroke-width=\"2.5\" stroke-dasharray=\"", dash(series), "\""));
      if (swatch == Swatch::line_with_marker)
        svg.path(marker(series, x + mark / 2, middle, 5), concat("fill=\"", paint, "\" stroke=\"#ffffff\""));
    }
    const std::vector<std::string> lines = name_lines(name, text_room);
    const bool is_cut = join(lines, "").find("\u2026") != std::string::npos;
    for (const std::string& line : lines) {
      svg.text(x + mark + gap, y + 14, line,
               {.size = kLegendFont, .title = is_cut ? std::string_view(name) : std::string_view()});
      y += line_height;
    }
    y += between_entries;
    bottom = std::max(bottom, y);
  }
  return bottom;
}

double draw_notes(Svg& svg, const std::vector<std::string>& notes, double left, double right, double top) {
  for (const std::string& note : notes) {
    for (const std::string& line : wrapped(note, right - left, kSmallFont, 4))
      svg.text(left, top += 18, line, {.size = kSmallFont, .color = kGrey});
  }
  return notes.empty() ? top : top + 6;
}

}  // namespace vmae::report
