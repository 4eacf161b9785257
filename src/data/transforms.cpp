// Two ways to the same result. Slices that already have the network's size and are at most mirrored go in one
// pass from stored to normalised numbers. All others become floats in [0, 1], are resized (by area where they
// shrink), then sampled once with all geometry in one matrix, changed in value, and normalised in place.
#include "vmae/data/transforms.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "pixel_ops.h"
#include "vmae/core/error.h"
#include "vmae/image/resize.h"

namespace vmae::data {
namespace {

// Buffers of one thread; they only grow.
struct Workspace {
  std::vector<float> unit, resized, channel;
  std::vector<uint8_t> mask;
};

Workspace& workspace() {
  thread_local Workspace buffers;
  return buffers;
}

template <class T>
T* sized(std::vector<T>& buffer, int64_t n) {
  if (buffer.size() < static_cast<size_t>(n)) buffer.resize(static_cast<size_t>(n));
  return buffer.data();
}

int64_t num_values(const Slice& slice) { return slice.height * slice.width * slice.channels; }

bool is_eight_bit(io::StoredType type) { return type == io::StoredType::u8 || type == io::StoredType::i8; }
bool is_sixteen_bit(io::StoredType type) { return type == io::StoredType::u16 || type == io::StoredType::i16; }

// ---- stored numbers to [0, 1]

// The two roundings to float, of units and of the result, are those of volumes
// and pictures that are read as floats: the same image gives the same input.
struct ToUnit {
  io::Scaling scaling;
  IntensityRange range;
  double factor = 0.0;

  explicit ToUnit(const Slice& slice) : scaling(slice.scaling), range(slice.range) {
    if (range.per_slice) std::tie(range.low, range.high) = extremes(slice);
    if (range.high > range.low) factor = 1.0 / (range.high - range.low);
  }
  template <class T>
  float in_units(T stored) const {
    return static_cast<float>(scaling.slope * static_cast<double>(stored) + scaling.intercept);
  }
  template <class T>
  float operator()(T stored) const {
    if (factor == 0.0) return 0.0F;  // a constant image
    const auto value = static_cast<float>((in_units(stored) - range.low) * factor);
    return range.clamp ? std::clamp(value, 0.0F, 1.0F) : value;
  }
  std::pair<double, double> extremes(const Slice& slice) const {
    return io::visit(slice.type, [&]<class T>(T) -> std::pair<double, double> {
      const T* values = static_cast<const T*>(slice.pixels);
      T low = values[0], high = values[0];
      for (int64_t i = 0; i < num_values(slice); ++i) {
        low = std::min(low, values[i]);
        high = std::max(high, values[i]);
      }
      return std::minmax({static_cast<double>(in_units(low)), static_cast<double>(in_units(high))});
    });
  }
  // Of the byte that an 8-bit number is stored in.
  void table(io::StoredType type, float* values) const {
    for (int byte = 0; byte < 256; ++byte)
      values[byte] =
          type == io::StoredType::i8 ? (*this)(static_cast<int8_t>(byte)) : (*this)(static_cast<uint8_t>(byte));
  }
  // For 16-bit numbers: one multiplication and one addition in float.
  LinearMap linear_map() const {
    if (factor == 0.0) return {0, 0, 0, 0};
    constexpr float kAny = std::numeric_limits<float>::max();
    return {static_cast<float>(scaling.slope * factor), static_cast<float>((scaling.intercept - range.low) * factor),
            range.clamp ? 0.0F : -kAny, range.clamp ? 1.0F : kAny};
  }
};

}  // namespace

void to_unit(const Slice& slice, float* to) {
  const ToUnit unit(slice);
  const int64_t n = num_values(slice);
  if (is_eight_bit(slice.type)) {
    float table[256];
    unit.table(slice.type, table);
    look_up(static_cast<const uint8_t*>(slice.pixels), n, 1, false, table, to);
  } else if (slice.type == io::StoredType::u16) {
    map_linear(static_cast<const uint16_t*>(slice.pixels), n, 1, unit.linear_map(), to);
  } else if (slice.type == io::StoredType::i16) {
    map_linear(static_cast<const int16_t*>(slice.pixels), n, 1, unit.linear_map(), to);
  } else {
    io::visit(slice.type, [&]<class T>(T) {
      const T* values = static_cast<const T*>(slice.pixels);
      for (int64_t i = 0; i < n; ++i) to[i] = unit(values[i]);
    });
  }
}

namespace {

struct Normalisation {
  float mean, scale;
  bool operator==(const Normalisation&) const = default;
};

Normalisation normalisation_of(const ImageOptions& options, int64_t channel) {
  const auto of = [channel](const std::vector<double>& values) {
    return values[values.size() == 1 ? 0 : static_cast<size_t>(channel)];
  };
  return {static_cast<float>(of(options.mean)), static_cast<float>(1.0 / of(options.std))};
}

// ---- the direct way

bool is_direct(const Slice& slice, const ImageOptions& options, const Augmentation& augmentation) {
  return !augmentation.part && slice.height == options.image_size[0] && slice.width == options.image_size[1] &&
         (slice.channels == 1 || slice.channels == options.in_channels) &&
         (is_eight_bit(slice.type) || is_sixteen_bit(slice.type)) && !augmentation.is_warped &&
         !augmentation.changes_values();
}

// Calls row(first value of the row in the slice, where it goes), for all rows at once where nothing is mirrored.
template <class Row>
void for_each_row(const Slice& slice, Flips flips, float* to, const Row& row) {
  if (!flips.horizontal && !flips.vertical) return row(0, slice.height * slice.width, to);
  for (int64_t r = 0; r < slice.height; ++r) {
    const int64_t from_row = flips.vertical ? slice.height - 1 - r : r;
    row(from_row * slice.width * slice.channels, slice.width, to + r * slice.width);
  }
}

void directly(const Slice& slice, const ImageOptions& options, Flips flips, float* output) {
  const ToUnit unit(slice);
  const int64_t plane = slice.height * slice.width;
  float units[256], table[256];
  if (is_eight_bit(slice.type)) unit.table(slice.type, units);
  for (int64_t channel = 0; channel < options.in_channels; ++channel) {
    const Normalisation norm = normalisation_of(options, channel);
    float* to = output + channel * plane;
    if (slice.channels == 1 && channel > 0 && norm == normalisation_of(options, channel - 1)) {
      std::memcpy(to, to - plane, static_cast<size_t>(plane) * sizeof(float));
      continue;
    }
    const int64_t first_value = slice.channels == 1 ? 0 : channel, stride = slice.channels;
    if (is_eight_bit(slice.type)) {
      normalise(units, 256, norm.mean, norm.scale, table);
      const auto* from = static_cast<const uint8_t*>(slice.pixels) + first_value;
      for_each_row(slice, flips, to, [&](int64_t first, int64_t n, float* row) {
        look_up(from + first, n, stride, flips.horizontal, table, row);
      });
    } else {
      LinearMap map = unit.linear_map();
      map = {map.factor * norm.scale, (map.offset - norm.mean) * norm.scale, (map.low - norm.mean) * norm.scale,
             (map.high - norm.mean) * norm.scale};
      io::visit(slice.type, [&]<class T>(T) {
        if constexpr (std::is_same_v<T, uint16_t> || std::is_same_v<T, int16_t>) {
          const T* from = static_cast<const T*>(slice.pixels) + first_value;
          for_each_row(slice, flips, to, [&](int64_t first, int64_t n, float* row) {
            map_linear(from + first, n, stride, map, row);
            if (flips.horizontal) std::reverse(row, row + n);
          });
        }
      });
    }
  }
}

// ---- the general way

// 1 or in_channels channels are left: grey is repeated when the output is written.
int64_t fit_channels(float* pixels, int64_t num_pixels, int64_t channels, int64_t in_channels) {
  if (channels == 1 || channels == in_channels) return channels;
  for (int64_t i = 0; i < num_pixels; ++i) {
    const float* rgb = pixels + 3 * i;
    pixels[i] = 0.299F * rgb[0] + 0.587F * rgb[1] + 0.114F * rgb[2];  // ITU-R BT.601, as OpenCV
  }
  return 1;
}

void check_channels(int64_t channels, int64_t in_channels) {
  if (channels == 1 || channels == in_channels || (channels == 3 && in_channels == 1)) return;
  throw Error(ExitCode::data, concat("the image has ", channels, " channels, but model.in_channels is ", in_channels),
              channels == 3 ? "set model.in_channels to 3 (colour) or 1 (luminance)"
                            : concat("set model.in_channels to ", channels, ", or convert the image to grey or RGB"));
}

// The part of a slice that is used, and where it lies on the grid of
// the network: everywhere, or with `pad` and `none` in its centre.
struct Placement {
  int64_t first_row = 0, first_column = 0;  // in the slice
  PixelSize part;
  PixelSize size;  // on the grid
  int64_t row = 0, column = 0;
};

Placement place(const Slice& slice, const ImageOptions& options, const Augmentation& augmentation) {
  const int64_t height = options.image_size[0], width = options.image_size[1];
  Placement placement{.part = {slice.height, slice.width}, .size = {height, width}};
  if (augmentation.part) {
    placement.first_row = augmentation.part->row;
    placement.first_column = augmentation.part->column;
    placement.part = augmentation.part->size;
    return placement;
  }
  const double by_height = static_cast<double>(height) / static_cast<double>(slice.height),
               by_width = static_cast<double>(width) / static_cast<double>(slice.width);
  if (options.resize == "crop") {
    const double scale = std::max(by_height, by_width);
    const auto cut = [scale](int64_t side, int64_t target) {
      return std::clamp<int64_t>(std::llround(static_cast<double>(target) / scale), 1, side);
    };
    placement.part = {cut(slice.height, height), cut(slice.width, width)};
    placement.first_row = (slice.height - placement.part.height) / 2;
    placement.first_column = (slice.width - placement.part.width) / 2;
  } else if (options.resize == "none") {
    placement.size = {std::min(slice.height, height), std::min(slice.width, width)};
    placement.part = placement.size;
    placement.first_row =
        std::llround(augmentation.crop_row * static_cast<double>(slice.height - placement.part.height));
    placement.first_column =
        std::llround(augmentation.crop_column * static_cast<double>(slice.width - placement.part.width));
    placement.row = (height - placement.size.height) / 2;
    placement.column = (width - placement.size.width) / 2;
  } else if (options.resize == "pad") {
    const double scale = std::min(by_height, by_width);
    const auto scaled = [scale](int64_t side, int64_t target) {
      return std::clamp<int64_t>(std::llround(scale * static_cast<double>(side)), 1, target);
    };
    placement.size = {scaled(slice.height, height), scaled(slice.width, width)};
    placement.row = (height - placement.size.height) / 2;
    placement.column = (width - placement.size.width) / 2;
  }
  return placement;
}

// From the grid of the network to pixels of the placed part, of which there are `size`.
Affine placement_warp(const Placement& placement, PixelSize size) {
  const double x = static_cast<double>(size.width) / static_cast<double>(placement.size.width);
  const double y = static_cast<double>(size.height) / static_cast<double>(placement.size.height);
  return {x, 0, (0.5 - static_cast<double>(placement.column)) * x - 0.5,
          0, y, (0.5 - static_cast<double>(placement.row)) * y - 0.5};
}

// Moves the used part to the front, in place.
void cut(float* pixels, const Slice& slice, int64_t channels, const Placement& placement) {
  if (placement.part == PixelSize{slice.height, slice.width}) return;
  for (int64_t row = 0; row < placement.part.height; ++row) {
    const float* from = pixels + ((placement.first_row + row) * slice.width + placement.first_column) * channels;
    std::copy(from, from + placement.part.width * channels, pixels + row * placement.part.width * channels);
  }
}

// `pixels`, which have `size`, or a copy resized to `wanted`.
const float* resized(const float* pixels, PixelSize size, int64_t channels, PixelSize wanted, Workspace& work,
                     bool is_cubic = false) {
  if (size == wanted) return pixels;
  float* to = sized(work.resized, wanted.height * wanted.width * channels);
  (is_cubic ? io::resize_cubic : io::resize)(pixels, size, channels, to, wanted);
  return to;
}

// One channel of pixels on the grid of the network, mirrored there, 0 around them.
void put_on_grid(const float* pixels, int64_t channels, const Placement& placement, PixelSize grid, Flips flips,
                 float* output) {
  for (int64_t row = 0; row < grid.height; ++row) {
    const int64_t from_row = (flips.vertical ? grid.height - 1 - row : row) - placement.row;
    const bool is_inside = from_row >= 0 && from_row < placement.size.height;
    const float* from = pixels + (is_inside ? from_row * placement.size.width * channels : 0);
    for (int64_t column = 0; column < grid.width; ++column) {
      const int64_t from_column = (flips.horizontal ? grid.width - 1 - column : column) - placement.column;
      *output++ =
          is_inside && from_column >= 0 && from_column < placement.size.width ? from[from_column * channels] : 0.0F;
    }
  }
}

// Bilinear sampling of an image that grows interpolates once. With the nearest pixel it would grow in blocks: there the
// image is first brought to its size on the grid, linearly, and turned then.
void warp_to_grid(const float* pixels, int64_t channels, const Placement& placement, PixelSize grid,
                  const Augmentation& augmentation, float* output, Workspace& work) {
  const PixelSize shrunk{std::min(placement.part.height, placement.size.height),
                         std::min(placement.part.width, placement.size.width)};
  const PixelSize source = augmentation.is_nearest ? placement.size : shrunk;
  pixels = resized(pixels, placement.part, channels, source, work);
  const Affine whole = then(augmentation.warp, placement_warp(placement, source));
  const int64_t n = source.height * source.width, plane = grid.height * grid.width;
  for (int64_t channel = 0; channel < channels; ++channel) {
    const float* from = pixels;
    if (channels > 1) {
      float* separate = sized(work.channel, n);
      for (int64_t i = 0; i < n; ++i) separate[i] = pixels[i * channels + channel];
      from = separate;
    }
    const Plane<float> part{from, source, source.width};
    float* to = output + channel * plane;
    augmentation.is_nearest ? warp_nearest(part, whole, 0.0F, to, grid) : warp_bilinear(part, whole, 0.0F, to, grid);
  }
}

void change_values(float* values, int64_t n, const Augmentation& augmentation) {
  if (augmentation.brightness != 0.0F || augmentation.contrast != 1.0F) {
    const auto mean = static_cast<float>(mean_of(values, n));
    for (int64_t i = 0; i < n; ++i)
      values[i] = (values[i] - mean) * augmentation.contrast + mean + augmentation.brightness;
  }
  if (augmentation.gamma == 1.0F && !augmentation.minmax) return;
  const auto [low, high] = extremes_of(values, n);
  if (!(high > low)) {
    if (augmentation.minmax) std::fill(values, values + n, 0.0F);
    return;
  }
  normalise(values, n, low, 1.0F / (high - low), values);
  if (augmentation.gamma != 1.0F)
    std::for_each(values, values + n,
                  [&](float& value) { value = std::pow(std::max(value, 0.0F), augmentation.gamma); });
  if (!augmentation.minmax)
    std::for_each(values, values + n,
                  [&, bottom = low, height = high - low](float& value) { value = bottom + value * height; });
}

void generally(const Slice& slice, const ImageOptions& options, const Augmentation& augmentation, float* output) {
  Workspace& work = workspace();
  const PixelSize grid{options.image_size[0], options.image_size[1]};
  const Placement placement = place(slice, options, augmentation);
  float* pixels = sized(work.unit, num_values(slice));
  to_unit(slice, pixels);
  const int64_t channels = fit_channels(pixels, slice.height * slice.width, slice.channels, options.in_channels),
                plane = grid.height * grid.width;
  cut(pixels, slice, channels, placement);
  if (augmentation.is_warped) {
    warp_to_grid(pixels, channels, placement, grid, augmentation, output, work);
  } else {
    const float* placed =
        resized(pixels, placement.part, channels, placement.size, work, augmentation.part.has_value());
    for (int64_t channel = 0; channel < channels; ++channel)
      put_on_grid(placed + channel, channels, placement, grid, augmentation.flips, output + channel * plane);
  }
  if (augmentation.changes_values()) change_values(output, channels * plane, augmentation);
  // from the last, as grey is repeated from the first
  for (int64_t channel = options.in_channels - 1; channel >= 0; --channel) {
    const Normalisation norm = normalisation_of(options, channel);
    normalise(output + (channels == 1 ? 0 : channel * plane), plane, norm.mean, norm.scale, output + channel * plane);
  }
}

void mask_to_input(const Slice& slice, const ImageOptions& options, const Augmentation& augmentation, uint8_t* output) {
  const PixelSize grid{options.image_size[0], options.image_size[1]};
  const int64_t n = grid.height * grid.width;
  if (slice.mask == nullptr) {
    std::fill(output, output + n, uint8_t{0});
    return;
  }
  const Placement placement = place(slice, options, augmentation);
  const Plane<uint8_t> part{slice.mask + placement.first_row * slice.width + placement.first_column, placement.part,
                            slice.width};
  const Affine to_part = placement_warp(placement, placement.part);
  if (augmentation.is_warped) return warp_nearest(part, then(augmentation.warp, to_part), 0, output, grid);
  const uint8_t* placed = slice.mask;
  if (PixelSize{slice.height, slice.width} != grid || placement.part != grid) {
    uint8_t* to = sized(workspace().mask, n);
    warp_nearest(part, to_part, 0, to, grid);
    placed = to;
  }
  for (int64_t row = 0; row < grid.height; ++row) {
    const uint8_t* from = placed + (augmentation.flips.vertical ? grid.height - 1 - row : row) * grid.width;
    if (augmentation.flips.horizontal) {
      std::reverse_copy(from, from + grid.width, output + row * grid.width);
    } else {
      std::copy(from, from + grid.width, output + row * grid.width);
    }
  }
}

}  // namespace

void to_input(const Slice& slice, const ImageOptions& options, const Augmentation& augmentation,
              const SampleBuffers& buffers) {
  check_channels(slice.channels, options.in_channels);
  if (is_direct(slice, options, augmentation)) {
    directly(slice, options, augmentation.flips, buffers.image);
  } else {
    generally(slice, options, augmentation, buffers.image);
  }
  if (buffers.mask != nullptr) mask_to_input(slice, options, augmentation, buffers.mask);
}

void to_input(const io::Image& image, const IntensityRange& range, const ImageOptions& options, Flips flips,
              float* output) {
  Augmentation augmentation;
  augmentation.flips = flips;
  to_input({image.height, image.width, image.channels, io::StoredType::f32, image.pixels.data(), {}, range, nullptr},
           options, augmentation, {output});
}

}  // namespace vmae::data
