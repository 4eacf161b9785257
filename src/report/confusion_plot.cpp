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

constexpr double kSmallestCell = 46, kLargestCell = 92, kLabelRoom = 130, kSmallestFont = 11, kTop = 20;

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

// Where the cells of a matrix lie and what they say.
class ConfusionDrawing {
 public:
  ConfusionDrawing(const ConfusionPlot& plot, Svg& svg) : plot_(plot), svg_(svg), n_(plot.classes.size()) {
    for (const std::string& name : plot.classes) widest_ = std::max(widest_, text_width(on_one_line(name), kFont));
    int64_t most = 0;
    for (size_t i = 0; i < n_ * n_; ++i) most = std::max(most, count_of(i / n_, i % n_));
    label_room_ = std::clamp(widest_ + 2, 60.0, kLabelRoom);
    left_ = 36 + label_room_ + 10;
    const double smallest = std::clamp(text_width(grouped(most), kSmallestFont) + 6, kSmallestCell, kLargestCell);
    side_ = std::clamp((460 - left_) / static_cast<double>(n_), smallest, kLargestCell);
    size_ = side_ * static_cast<double>(n_);
  }

  double right() const { return left_ + std::max(size_, 200.0); }

  void rows() const {
    for (size_t i = 0; i < n_; ++i) {
      const int64_t sum = sum_of(i);
      svg_.text(left_ - 10, y_of(i) + side_ / 2 + 5, plot_.classes[i], {.anchor = Anchor::end, .room = label_room_});
      for (size_t j = 0; j < n_; ++j) cell(i, j, sum);
    }
  }

  // Names of columns and axes; returns where they end.
  double labels() const {
    const double below = kTop + size_;
    const bool is_flat = widest_ <= side_ - 6;
    double longest = 0;
    for (size_t j = 0; j < n_; ++j) {
      const double x = left_ + (static_cast<double>(j) + 0.5) * side_;
      if (is_flat) {
        svg_.text(x, below + 20, plot_.classes[j], {.anchor = Anchor::middle});
      } else {
        svg_.text(x + 5, below + 14, plot_.classes[j], {.anchor = Anchor::end, .rotation = -45, .room = label_room_});
        longest = std::max(longest, std::min(label_room_, text_width(on_one_line(plot_.classes[j]), kFont)));
      }
    }
    svg_.text(22, kTop + size_ / 2, "Truth",
              {.anchor = Anchor::middle, .rotation = -90, .room = std::max(size_, 60.0)});
    const double bottom = below + (is_flat ? 46 : 36 + 0.72 * longest);
    svg_.text(left_ + size_ / 2, bottom, "Prediction", {.anchor = Anchor::middle});
    return bottom;
  }

  std::string description() const {
    int64_t all = 0, right_ones = 0;
    for (size_t i = 0; i < n_; ++i) {
      all += sum_of(i);
      right_ones += count_of(i, i);
    }
    return concat("Confusion matrix of ", n_, " classes; rows: truth, columns: prediction",
                  all > 0 ? concat(", ", grouped(right_ones), " of ", grouped(all), " on the diagonal") : "", ".");
  }

 private:
  int64_t count_of(size_t truth, size_t prediction) const {
    return truth < plot_.counts.size() && prediction < plot_.counts[truth].size() ? plot_.counts[truth][prediction] : 0;
  }

  int64_t sum_of(size_t truth) const {
    int64_t sum = 0;
    for (size_t j = 0; j < n_; ++j) sum += count_of(truth, j);
    return sum;
  }

  double y_of(size_t truth) const { return kTop + static_cast<double>(truth) * side_; }

  // sum: of its row.
  void cell(size_t i, size_t j, int64_t sum) const {
    const double x = left_ + static_cast<double>(j) * side_, y = y_of(i), middle = x + side_ / 2;
    const Shade look = shade(sum > 0 ? static_cast<double>(count_of(i, j)) / static_cast<double>(sum) : 0);
    svg_.rect(x + 0.5, y + 0.5, side_ - 1, side_ - 1,
              concat("rx=\"2\" fill=\"", look.fill, "\" stroke=\"", i == j ? kFrame : kGrid, "\""));
    const std::string count = grouped(count_of(i, j));
    const double font =
        std::min(side_ > 60 ? 17 : kFont, kFont * (side_ - 6) / std::max(1.0, text_width(count, kFont)));
    svg_.text(middle, y + side_ / 2 - 1, count,
              {.size = font, .anchor = Anchor::middle, .color = look.text, .is_bold = i == j});
    svg_.text(middle, y + side_ / 2 + 16, percent(count_of(i, j), sum),
              {.size = kSmallFont, .anchor = Anchor::middle, .color = look.text});
  }

  const ConfusionPlot& plot_;
  Svg& svg_;
  size_t n_;
  double widest_ = 0, label_room_ = 0;  // of the names of classes
  double left_ = 0, side_ = 0, size_ = 0;
};

}  // namespace

std::string confusion_plot(const ConfusionPlot& plot) {
  Svg svg;
  if (plot.classes.empty()) {
    svg.text(180, 45, "no values", {.anchor = Anchor::middle, .color = kGrey});
    return svg.document(360, 80, plot.title, "No classes.");
  }
  const ConfusionDrawing drawing(plot, svg);
  drawing.rows();
  const double right = drawing.right();
  double bottom = drawing.labels();
  if (!plot.name.empty())
    bottom = draw_legend(svg, {{.name = plot.name, .series = plot.series}}, Swatch::box, 36, right, bottom + 12);
  bottom =
      draw_notes(svg, {"Counts, and below them their share of the row; shades show the share."}, 36, right, bottom + 6);
  return svg.document(right + 20, bottom + 10, plot.title, drawing.description());
}

}  // namespace vmae::report
