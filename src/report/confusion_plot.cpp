#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "plot_parts.h"
#include "utf8.h"
#include "vmae/core/text.h"
#include "vmae/report/figures.h"

namespace vmae::report {
namespace {

constexpr double kSmallestCell = 46, kLargestCell = 92, kLabelRoom = 130, kSmallestFont = 11;

struct Shade {
  std::string fill;
  const char* text = "#000000";
};

// From white to dark grey, for colours mean models; the text
// in whichever of dark and white has more contrast (WCAG 2.2).
Shade shade(double share) {
  constexpr std::array<double, 3> kLightest{250, 250, 250}, kDarkest{64, 68, 74};
  std::array<int, 3> rgb{};
  double luminance = 0;
  constexpr std::array<double, 3> kWeights{0.2126, 0.7152, 0.0722};
  for (size_t i = 0; i < rgb.size(); ++i) {
    rgb[i] = static_cast<int>(std::lround(std::lerp(kLightest[i], kDarkest[i], std::clamp(share, 0.0, 1.0))));
    luminance += kWeights[i] * std::pow((rgb[i] / 255.0 + 0.055) / 1.055, 2.4);
  }
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "#%02x%02x%02x", rgb[0] & 0xff, rgb[1] & 0xff, rgb[2] & 0xff);
  return {text.data(), luminance < 0.179 ? "#ffffff" : "#000000"};
}

std::string grouped(int64_t count) {
  std::string digits = std::to_string(count);
  for (size_t at = digits.size(); at > 3 + (count < 0 ? 1U : 0U); at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

std::string percent(int64_t count, int64_t sum) {
  if (sum <= 0) return "\u2013";
  const double share = 100 * static_cast<double>(count) / static_cast<double>(sum);
  return share > 0 && share < 0.5 ? "<1%" : concat(std::lround(share), "%");
}

}  // namespace

std::string confusion_plot(const ConfusionPlot& plot) {
  const size_t n = plot.classes.size();
  const auto count_of = [&](size_t truth, size_t prediction) {
    return truth < plot.counts.size() && prediction < plot.counts[truth].size() ? plot.counts[truth][prediction] : 0;
  };
  if (n == 0) {
    Svg none;
    none.text(180, 45, "no values", {.anchor = Anchor::middle, .color = kGrey});
    return none.document(360, 80, plot.title, "No classes.");
  }
  int64_t most = 0;
  for (size_t i = 0; i < n * n; ++i) most = std::max(most, count_of(i / n, i % n));
  double widest = 0;
  for (const std::string& name : plot.classes) widest = std::max(widest, text_width(on_one_line(name), kFont));
  const double label_room = std::clamp(widest + 2, 60.0, kLabelRoom), left = 36 + label_room + 10, top = 20;
  const double smallest = std::clamp(text_width(grouped(most), kSmallestFont) + 6, kSmallestCell, kLargestCell);
  const double cell = std::clamp((460 - left) / static_cast<double>(n), smallest, kLargestCell);
  const double size = cell * static_cast<double>(n), right = left + std::max(size, 200.0);
  const bool is_flat = widest <= cell - 6;

  Svg svg;
  int64_t all = 0, right_ones = 0;
  for (size_t i = 0; i < n; ++i) {
    int64_t sum = 0;
    for (size_t j = 0; j < n; ++j) sum += count_of(i, j);
    all += sum;
    right_ones += count_of(i, i);
    const double y = top + static_cast<double>(i) * cell;
    svg.text(left - 10, y + cell / 2 + 5, plot.classes[i], {.anchor = Anchor::end, .room = label_room});
    for (size_t j = 0; j < n; ++j) {
      const double x = left + static_cast<double>(j) * cell, middle = x + cell / 2;
      const Shade look = shade(sum > 0 ? static_cast<double>(count_of(i, j)) / static_cast<double>(sum) : 0);
      svg.rect(x + 0.5, y + 0.5, cell - 1, cell - 1,
               concat("rx=\"2\" fill=\"", look.fill, "\" stroke=\"", i == j ? kFrame : kGrid, "\""));
      const std::string count = grouped(count_of(i, j));
      const double font =
          std::min(cell > 60 ? 17 : kFont, kFont * (cell - 6) / std::max(1.0, text_width(count, kFont)));
      svg.text(middle, y + cell / 2 - 1, count,
               {.size = font, .anchor = Anchor::middle, .color = look.text, .is_bold = i == j});
      svg.text(middle, y + cell / 2 + 16, percent(count_of(i, j), sum),
               {.size = kSmallFont, .anchor = Anchor::middle, .color = look.text});
    }
  }
  const double below = top + size;
  double longest = 0;
  for (size_t j = 0; j < n; ++j) {
    const double x = left + (static_cast<double>(j) + 0.5) * cell;
    if (is_flat) {
      svg.text(x, below + 20, plot.classes[j], {.anchor = Anchor::middle});
    } else {
      svg.text(x + 5, below + 14, plot.classes[j], {.anchor = Anchor::end, .rotation = -45, .room = label_room});
      longest = std::max(longest, std::min(label_room, text_width(on_one_line(plot.classes[j]), kFont)));
    }
  }
  svg.text(22, top + size / 2, "Truth", {.anchor = Anchor::middle, .rotation = -90, .room = std::max(size, 60.0)});
  double bottom = below + (is_flat ? 46 : 36 + 0.72 * longest);
  svg.text(left + size / 2, bottom, "Prediction", {.anchor = Anchor::middle});
  if (!plot.name.empty())
    bottom = draw_legend(svg, {{.name = plot.name, .series = plot.series}}, Swatch::box, 36, right, bottom + 12);
  bottom =
      draw_notes(svg, {"Counts, and below them their share of the row; shades show the share."}, 36, right, bottom + 6);
  const std::string diagonal =
      all > 0 ? concat(", ", grouped(right_ones), " of ", grouped(all), " on the diagonal") : "";
  return svg.document(right + 20, bottom + 10, plot.title,
                      concat("Confusion matrix of ", n, " classes; rows: truth, columns: prediction", diagonal, "."));
}

}  // namespace vmae::report
