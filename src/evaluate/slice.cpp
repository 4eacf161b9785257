#include "slice.h"

#include <algorithm>
#include <cmath>

#include "vmae/image/picture.h"
#include "vmae/image/resize.h"
#include "vmae/pictures/class_colours.h"

namespace vmae::run {

namespace {

constexpr double kLongestSidePx = 260;

}  // namespace

SliceGrid slice_grid_of(const std::array<int64_t, 3>& size, const std::array<double, 3>& spacing_mm, int axis) {
  const size_t columns = io::column_axis(axis), rows = io::row_axis(axis);
  return {size[rows], size[columns], spacing_mm[rows], spacing_mm[columns]};
}

io::Image shown_slice(const io::Volume& volume, int axis, int64_t index) {
  const io::Image slice = io::slice_of(volume, axis, index);
  io::Image shown{slice.height, slice.width, 3, {}, 255.0};
  const auto channels = static_cast<size_t>(slice.channels), count = static_cast<size_t>(slice.height * slice.width);
  shown.pixels.resize(count * 3);
  for (size_t i = 0; i < count; ++i) {
    double mean = 0;
    for (size_t c = 0; c < channels; ++c) mean += slice.pixels[i * channels + c] / static_cast<double>(channels);
    for (size_t c = 0; c < 3; ++c) {
      const double value = channels == 3 ? slice.pixels[i * 3 + c] : mean;
      shown.pixels[i * 3 + c] = std::isfinite(value) ? static_cast<float>(value) : 0.0F;
    }
  }
  std::vector<float> sorted = shown.pixels;
  std::sort(sorted.begin(), sorted.end());
  const float low = sorted[sorted.size() / 100], high = sorted[sorted.size() - 1 - sorted.size() / 100];
  for (float& value : shown.pixels)
    value = high > low ? std::clamp((value - low) / (high - low), 0.0F, 1.0F) * 255.0F : 0.0F;
  return shown;
}

io::Image dark_slice(const SliceGrid& grid) {
  return {grid.rows, grid.columns, 3, std::vector<float>(static_cast<size_t>(grid.rows * grid.columns * 3), 40.0F),
          255.0};
}

std::string slice_png(const SliceGrid& grid, const io::Image& image, const std::vector<uint8_t>& labels) {
  const double height_mm = static_cast<double>(grid.rows) * grid.row_mm;
  const double width_mm = static_cast<double>(grid.columns) * grid.column_mm;
  const double scale = kLongestSidePx / std::max(height_mm, width_mm);
  const auto height = std::max<int64_t>(1, std::llround(height_mm * scale));
  const auto width = std::max<int64_t>(1, std::llround(width_mm * scale));
  io::Image picture{height, width, 3, std::vector<float>(static_cast<size_t>(height * width * 3)), 255.0};
  io::resize(image.pixels.data(), {grid.rows, grid.columns}, 3, picture.pixels.data(), {height, width});
  if (labels.empty()) return io::encode_png(picture);
  const auto label_at = [&](int64_t y, int64_t x) -> uint8_t {
    if (y < 0 || x < 0 || y >= height || x >= width) return 0;
    return labels[static_cast<size_t>((y * grid.rows / height) * grid.columns + x * grid.columns / width)];
  };
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      const uint8_t label = label_at(y, x);
      if (label == 0) continue;
      bool is_edge = false;
      for (int64_t step = 1; step <= 2; ++step) {
        is_edge |= label_at(y - step, x) != label || label_at(y + step, x) != label;
        is_edge |= label_at(y, x - step) != label || label_at(y, x + step) != label;
      }
      const float strength = is_edge ? 0.95F : 0.2F;
      const Colour colour = class_colour(label);
      float* pixel = &picture.pixels[static_cast<size_t>((y * width + x) * 3)];
      for (size_t c = 0; c < 3; ++c) pixel[c] = pixel[c] * (1 - strength) + static_cast<float>(colour[c]) * strength;
    }
  }
  return io::encode_png(picture);
}

}  // namespace vmae::run
