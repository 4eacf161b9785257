#pragma once
// Many slices on one picture, with their masks in colour: something to look at.
#include <string>
#include <vector>

#include "vmae/data/intensity.h"
#include "vmae/image/image.h"

namespace vmae::run {

struct Tile {
  io::Image image;            // in units, 1 or 3 channels
  std::vector<uint8_t> mask;  // height * width labels, or empty
  data::IntensityRange range;
  double aspect = 1.0;  // height of a pixel as a multiple of its width
  std::string caption;
};

struct SheetStyle {
  int64_t tile_px = 180;  // longest side of a tile
  float tint = 0;         // strength of a label's colour within its outline, 0 to 1
};
// Columns x rows of tiles, 3 channels, 0 to 255. Outlines of labels in their colours (class_colours.h).
io::Image contact_sheet(const std::vector<Tile>& tiles, const SheetStyle& style = {});

constexpr int64_t kMaxTiles = 30;

}  // namespace vmae::run
