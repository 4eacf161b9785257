#pragma once
// Classes in colour, the same in the pictures of reports, in
// contact sheets and in a run's panels; and legends that name them.
#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "vmae/image/image.h"

namespace vmae::run {

using Colour = std::array<uint8_t, 3>;
// Of label 1, 2, ...: Okabe and Ito's seven, then these lighter,
// then darker, then from the first again. io::kIgnored is grey.
Colour class_colour(uint8_t label);
std::string css_colour(const Colour& colour);  // "#e69f00"

struct LegendEntry {
  std::string name;
  Colour colour{};
};
// Labels by the names of 1, 2, ...; 0 is left out, and what has no name is "class 3".
std::vector<LegendEntry> legend_of(const std::set<uint8_t>& labels, const std::vector<std::string>& class_names);
// Below a picture of three channels, in as many lines as it takes. Letters that the picture's font lacks become ?.
void draw_legend(io::Image& picture, const std::vector<LegendEntry>& legend);

}  // namespace vmae::run
