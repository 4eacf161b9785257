// Draws in a fixed order, flips first; matrices map output to input,
// so what is done to the image last comes first in the chain.
#include "vmae/data/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "vmae/core/error.h"

namespace vmae::data {
namespace {

// A linear map about the image's centre, from output to input.
Affine about_centre(double xx, double xy, double yx, double yy, PixelSize size) {
  const double x = static_cast<double>(size.width - 1) / 2, y = static_cast<double>(size.height - 1) / 2;
  return {xx, xy, x - xx * x - xy * y, yx, yy, y - yx * x - yy * y};
}

double draw_angle(const AugmentOptions& options, Random& random) {
  const double most = options.rotate_degrees;
  if (!options.rotate_whole) return random.uniform(-most, most);
  return static_cast<double>(random.below(static_cast<uint64_t>(2 * most))) - most;
}

double radians(double degrees) { return degrees * std::numbers::pi / 180.0; }

}  // namespace

Affine rotation_warp(double degrees, PixelSize size) {
  const double c = std::cos(radians(degrees)), s = std::sin(radians(degrees));
  return about_centre(c, -s, s, c, size);  // y points down: the inverse of a counter-clockwise turn
}

Affine quarter_turn_warp(int turns, PixelSize size) {
  const double aspect = static_cast<double>(size.width) / static_cast<double>(size.height);
  switch (turns & 3) {
    case 1:
      return about_centre(0, -aspect, 1 / aspect, 0, size);
    case 2:
      return about_centre(-1, 0, 0, -1, size);
    case 3:
      return about_centre(0, aspect, -1 / aspect, 0, size);
    default:
      return {};
  }
}

Affine affine_warp(double degrees, double shift_x, double shift_y, double scale, double shear_degrees, PixelSize size) {
  const Affine unshift{1, 0, -shift_x, 0, 1, -shift_y};
  const Affine unscale = about_centre(1 / scale, 0, 0, 1 / scale, size);
  const Affine unshear = about_centre(1, -std::tan(radians(shear_degrees)), 0, 1, size);
  return then(unshift, then(rotation_warp(degrees, size), then(unscale, unshear)));
}

Affine mirror_warp(Flips flips, PixelSize size) {
  return about_centre(flips.horizontal ? -1 : 1, 0, 0, flips.vertical ? -1 : 1, size);
}

Affine crop_warp(PixelSize enlarged, int64_t row, int64_t column, PixelSize size) {
  const double x = static_cast<double>(size.width) / static_cast<double>(enlarged.width),
               y = static_cast<double>(size.height) / static_cast<double>(enlarged.height);
  return {x, 0, (static_cast<double>(column) + 0.5) * x - 0.5, 0, y, (static_cast<double>(row) + 0.5) * y - 0.5};
}

Part random_part(PixelSize image, const std::vector<double>& area, const std::vector<double>& ratio, Random& random) {
  constexpr int kAttempts = 10;
  const auto height = static_cast<double>(image.height), width = static_cast<double>(image.width);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const double pixels = height * width * random.uniform(area[0], area[1]),
                 aspect = std::exp(random.uniform(std::log(ratio[0]), std::log(ratio[1])));
    const PixelSize size{std::llround(std::sqrt(pixels / aspect)), std::llround(std::sqrt(pixels * aspect))};
    if (size.height < 1 || size.width < 1 || size.height > image.height || size.width > image.width) continue;
    const auto row = static_cast<int64_t>(random.below(static_cast<uint64_t>(image.height - size.height + 1)));
    const auto column = static_cast<int64_t>(random.below(static_cast<uint64_t>(image.width - size.width + 1)));
    return {row, column, size};
  }
  const double aspect = std::clamp(width / height, ratio[0], ratio[1]);
  const PixelSize size{std::clamp<int64_t>(std::llround(width / aspect), 1, image.height),
                       std::clamp<int64_t>(std::llround(height * aspect), 1, image.width)};
  return {(image.height - size.height) / 2, (image.width - size.width) / 2, size};
}

Augmentation draw_augmentation(const AugmentOptions& options, Random random, PixelSize size, PixelSize image) {
  Augmentation drawn;
  drawn.minmax = options.minmax;
  drawn.is_nearest = options.interpolation == "nearest";
  drawn.flips.horizontal = random.chance(options.flip_horizontal);
  drawn.flips.vertical = random.chance(options.flip_vertical);
  // Each step is put before those that are there: the sampling chain begins at the output.
  const auto warp = [&drawn](const Affine& step) {
    drawn.warp = drawn.is_warped ? then(step, drawn.warp) : step;
    drawn.is_warped = true;
  };
  if (random.chance(options.rot90)) {
    const Affine turn = quarter_turn_warp(static_cast<int>(random.below(4)), size);
    const bool is_horizontal = random.chance(0.5);
    warp(then(mirror_warp({is_horizontal, !is_horizontal}, size), turn));
  } else if (random.chance(options.rotate)) {
    warp(rotation_warp(draw_angle(options, random), size));
  }
  if (random.chance(options.affine)) {
    const double degrees = random.uniform(-options.affine_degrees, options.affine_degrees);
    const double x = random.uniform(-options.affine_shift, options.affine_shift) * static_cast<double>(size.width);
    const double y = random.uniform(-options.affine_shift, options.affine_shift) * static_cast<double>(size.height);
    const double scale = random.uniform(options.affine_scale[0], options.affine_scale[1]);
    const double shear = random.uniform(-options.affine_shear_degrees, options.affine_shear_degrees);
    warp(affine_warp(degrees, x, y, scale, shear, size));
  }
  if (options.enlarge > 1.0) {
    const PixelSize large{std::llround(options.enlarge * static_cast<double>(size.height)),
                          std::llround(options.enlarge * static_cast<double>(size.width))};
    const auto row = static_cast<int64_t>(random.below(static_cast<uint64_t>(large.height - size.height + 1)));
    const auto column = static_cast<int64_t>(random.below(static_cast<uint64_t>(large.width - size.width + 1)));
    warp(crop_warp(large, row, column, size));
  }
  if (drawn.is_warped && (drawn.flips.horizontal || drawn.flips.vertical)) warp(mirror_warp(drawn.flips, size));
  if (options.brightness > 0)
    drawn.brightness = static_cast<float>(random.uniform(-options.brightness, options.brightness));
  if (options.contrast > 0)
    drawn.contrast = static_cast<float>(random.uniform(1 - options.contrast, 1 + options.contrast));
  if (options.gamma > 0)
    drawn.gamma = static_cast<float>(std::exp(random.uniform(-1.0, 1.0) * std::log1p(options.gamma)));
  if (options.random_crop) {
    drawn.crop_row = random.uniform();
    drawn.crop_column = random.uniform();
  }
  if (!options.crop_area.empty()) drawn.part = random_part(image, options.crop_area, options.crop_ratio, random);
  return drawn;
}

}  // namespace vmae::data
