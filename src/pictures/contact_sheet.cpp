#include "vmae/pictures/contact_sheet.h"

#include <algorithm>
#include <cmath>

#include "vmae/image/caption.h"
#include "vmae/image/resize.h"
#include "vmae/pictures/class_colours.h"

namespace vmae::run {
namespace {

constexpr int64_t kTileGapPx = 6, kTileCaptionPx = 22, kColumns = 6;

struct Placed {
  io::Image image;  // RGB, 0 to 255
  std::vector<uint8_t> mask;
};

Placed fit(const Tile& tile, int64_t tile_px) {
  const auto height = static_cast<double>(tile.image.height) * tile.aspect,
             width = static_cast<double>(tile.image.width);
  const double scale = static_cast<double>(tile_px) / std::max(height, width);
  const io::PixelSize from{tile.image.height, tile.image.width};
  const io::PixelSize to{std::max<int64_t>(1, std::llround(scale * height)),
                         std::max<int64_t>(1, std::llround(scale * width))};
  std::vector<float> pixels(static_cast<size_t>(to.height * to.width * tile.image.channels));
  io::resize(tile.image.pixels.data(), from, tile.image.channels, pixels.data(), to);
  double low = tile.range.low, high = tile.range.high;
  if (tile.range.per_slice || !(high > low)) {
    const auto [smallest, largest] = std::minmax_element(pixels.begin(), pixels.end());
    low = *smallest;
    high = std::max<double>(*largest, low + 1e-6);
  }
  Placed placed{{to.height, to.width, 3, std::vector<float>(static_cast<size_t>(to.height * to.width * 3)), 255.0}, {}};
  for (size_t i = 0; i < placed.image.pixels.size(); ++i) {
    const float value = tile.image.channels == 3 ? pixels[i] : pixels[i / 3 * static_cast<size_t>(tile.image.channels)];
    placed.image.pixels[i] = static_cast<float>(255.0 * std::clamp((value - low) / (high - low), 0.0, 1.0));
  }
  if (tile.mask.empty()) return placed;
  placed.mask.resize(static_cast<size_t>(to.height * to.width));
  for (int64_t row = 0; row < to.height; ++row) {
    for (int64_t column = 0; column < to.width; ++column) {
      const int64_t from_row = (2 * row + 1) * from.height / (2 * to.height),
                    from_column = (2 * column + 1) * from.width / (2 * to.width);
      placed.mask[static_cast<size_t>(row * to.width + column)] =
          tile.mask[static_cast<size_t>(from_row * from.width + from_column)];
    }
  }
  return placed;
}

// A pixel of the mask with another label beside it gets the label's colour, the others a tint of it.
void draw_labels(Placed& placed, float tint) {
  const int64_t height = placed.image.height, width = placed.image.width;
  const auto label = [&](int64_t row, int64_t column) {
    return row < 0 || column < 0 || row >= height || column >= width
               ? uint8_t{0}
               : placed.mask[static_cast<size_t>(row * width + column)];
  };
  for (int64_t row = 0; !placed.mask.empty() && row < height; ++row) {
    for (int64_t column = 0; column < width; ++column) {
      const uint8_t here = label(row, column);
      if (here == 0) continue;
      const bool is_inside = label(row - 1, column) == here && label(row + 1, column) == here &&
                             label(row, column - 1) == here && label(row, column + 1) == here;
      const float strength = is_inside ? tint : 1.0F;
      const Colour colour = class_colour(here);
      float* pixel = &placed.image.pixels[static_cast<size_t>(3 * (row * width + column))];
      for (size_t c = 0; c < 3; ++c) pixel[c] = pixel[c] * (1.0F - strength) + static_cast<float>(colour[c]) * strength;
    }
  }
}

}  // namespace

io::Image contact_sheet(const std::vector<Tile>& tiles, const SheetStyle& style) {
  const int64_t tile_px = style.tile_px;
  const auto count = static_cast<int64_t>(tiles.size()), columns = std::min(count, kColumns),
             rows = (count + columns - 1) / std::max<int64_t>(columns, 1);
  io::Image sheet{
      rows * (tile_px + kTileCaptionPx) + kTileGapPx, columns * (tile_px + kTileGapPx) + kTileGapPx, 3, {}, 255.0};
  sheet.pixels.assign(static_cast<size_t>(sheet.height * sheet.width * 3), 255.0F);
  for (int64_t i = 0; i < count; ++i) {
    Placed placed = fit(tiles[static_cast<size_t>(i)], tile_px);
    draw_labels(placed, style.tint);
    const int64_t top = i / columns * (tile_px + kTileCaptionPx) + kTileCaptionPx,
                  left = i % columns * (tile_px + kTileGapPx) + kTileGapPx;
    const int64_t first_row = top + (tile_px - placed.image.height) / 2,
                  first_column = left + (tile_px - placed.image.width) / 2;
    for (int64_t row = 0; row < placed.image.height; ++row) {
      const auto from = placed.image.pixels.begin() + 3 * row * placed.image.width;
      std::copy(from, from + 3 * placed.image.width,
                sheet.pixels.begin() + 3 * ((first_row + row) * sheet.width + first_column));
    }
    io::write_caption(sheet, left, top - 6, io::cut_caption(tiles[static_cast<size_t>(i)].caption, tile_px));
  }
  return sheet;
}

}  // namespace vmae::run
