#include "vmae/pictures/class_colours.h"

#include <algorithm>
#include <cstdio>

#include "vmae/cases/label_meaning.h"
#include "vmae/core/text.h"
#include "vmae/image/caption.h"

namespace vmae::run {
namespace {

// Okabe and Ito 2008: told apart by people with any colour vision.
constexpr std::array<Colour, 7> kColours{
    {{230, 159, 0}, {86, 180, 233}, {0, 158, 115}, {240, 228, 66}, {0, 114, 178}, {213, 94, 0}, {204, 121, 167}}};
constexpr Colour kGrey{150, 150, 150};
constexpr int64_t kLinePx = 22, kSquarePx = 12, kLegendGapPx = 6, kBetweenPx = 18;

void draw_square(io::Image& picture, int64_t left, int64_t top, const Colour& colour) {
  const int64_t right = std::min(left + kSquarePx, picture.width);
  for (int64_t y = top; y < top + kSquarePx; ++y) {
    for (int64_t x = left; x < right; ++x)
      std::copy(colour.begin(), colour.end(), picture.pixels.begin() + 3 * (y * picture.width + x));
  }
}

}  // namespace

Colour class_colour(uint8_t label) {
  if (label == io::kIgnored) return kGrey;
  const size_t number = (label + 255U) % 256U, round = number / kColours.size() % 3;
  Colour colour = kColours[number % kColours.size()];
  for (uint8_t& part : colour) {
    if (round == 1) part = static_cast<uint8_t>((part + 255) / 2);
    if (round == 2) part = static_cast<uint8_t>(part / 2);
  }
  return colour;
}

std::string css_colour(const Colour& colour) {
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "#%02x%02x%02x", unsigned{colour[0]}, unsigned{colour[1]},
                unsigned{colour[2]});
  return text.data();
}

std::vector<LegendEntry> legend_of(const std::set<uint8_t>& labels, const std::vector<std::string>& class_names) {
  std::vector<LegendEntry> legend;
  for (const uint8_t label : labels) {
    if (label == 0) continue;
    std::string name = concat("class ", int{label});
    if (label == io::kIgnored) name = "ignored";
    if (label <= class_names.size()) {
      const std::string& own = class_names[label - 1U];
      name = parse_integer(own) ? concat("class ", own) : own;
    }
    legend.push_back({std::move(name), class_colour(label)});
  }
  return legend;
}

void draw_legend(io::Image& picture, const std::vector<LegendEntry>& legend) {
  struct Place {
    std::string text;
    int64_t left = 0, line = 0;
  };
  std::vector<Place> places;
  int64_t left = kLegendGapPx, line = 0;
  for (const LegendEntry& entry : legend) {
    const int64_t before_text = kSquarePx + kLegendGapPx;
    const std::string text = io::cut_caption(entry.name, picture.width - 2 * kLegendGapPx - before_text);
    const int64_t width = before_text + io::caption_width(text);
    if (left > kLegendGapPx && left + width > picture.width - kLegendGapPx) {
      left = kLegendGapPx;
      ++line;
    }
    places.push_back({text, left, line});
    left += width + kBetweenPx;
  }
  if (places.empty()) return;
  const int64_t top = picture.height;
  picture.height += (line + 1) * kLinePx + kLegendGapPx;
  picture.pixels.resize(static_cast<size_t>(picture.height * picture.width * 3), 255.0F);
  for (size_t i = 0; i < places.size(); ++i) {
    const int64_t y = top + kLegendGapPx + places[i].line * kLinePx;
    draw_square(picture, places[i].left, y, legend[i].colour);
    io::write_caption(picture, places[i].left + kSquarePx + kLegendGapPx, y + kSquarePx - 1, places[i].text);
  }
}

}  // namespace vmae::run
