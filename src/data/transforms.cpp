// Each step works in place or from one small buffer per thread to the next; the last one writes the tensor's memory.
#include "vmae/data/transforms.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "vmae/core/error.h"
#include "vmae/io/resize.h"

namespace vmae::data {
namespace {

constexpr size_t kMaxSampled = 1'000'000;

// An evenly spread subset; a stride that has no factor in common with the size visits every row and column.
std::vector<float> subsample(const std::vector<float>& values) {
  if (values.size() <= kMaxSampled) return values;
  size_t stride = (values.size() + kMaxSampled - 1) / kMaxSampled;
  while (std::gcd(stride, values.size()) != 1) ++stride;
  std::vector<float> subset;
  subset.reserve(values.size() / stride + 1);
  for (size_t i = 0; i < values.size(); i += stride) subset.push_back(values[i]);
  return subset;
}

double percentile_of(std::vector<float>& values, double percent) {
  const double position = percent / 100.0 * static_cast<double>(values.size() - 1);
  const auto below = values.begin() + static_cast<std::ptrdiff_t>(position);
  std::nth_element(values.begin(), below, values.end());
  const double low = *below, fraction = position - std::floor(position);
  if (fraction == 0.0) return low;
  return low + fraction * (*std::min_element(below + 1, values.end()) - low);
}

IntensityRange minmax_of(const std::vector<float>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {*low, *high};
}

IntensityRange zscore_of(const std::vector<float>& values) {
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  const double squares = std::accumulate(values.begin(), values.end(), 0.0, [mean](double sum, float v) { return sum + (v - mean) * (v - mean); });
  return {mean, mean + std::sqrt(squares / n), /*clamp=*/false};
}

void rescale(std::vector<float>& pixels, const IntensityRange& range) {
  if (!(range.high > range.low)) {
    std::fill(pixels.begin(), pixels.end(), 0.0F);
    return;
  }
  const double scale = 1.0 / (range.high - range.low);
  for (float& pixel : pixels) {
    const auto value = static_cast<float>((pixel - range.low) * scale);
    pixel = range.clamp ? std::clamp(value, 0.0F, 1.0F) : value;
  }
}

// 1 or in_channels channels: grey is repeated when the output is written.
void fit_channels(io::Image& image, int64_t in_channels) {
  if (image.channels == 1 || image.channels == in_channels) return;
  if (image.channels != 3 || in_channels != 1) {
    throw Error(ExitCode::data, concat("the image has ", image.channels, " channels, but model.in_channels is ", in_channels),
                image.channels == 3 ? "set model.in_channels to 3 (colour) or 1 (luminance)"
                                    : concat("set model.in_channels to ", image.channels, ", or convert the image to grey or RGB"));
  }
  const size_t num_pixels = image.pixels.size() / 3;
  for (size_t i = 0; i < num_pixels; ++i) {
    const float* rgb = &image.pixels[3 * i];
    image.pixels[i] = 0.299F * rgb[0] + 0.587F * rgb[1] + 0.114F * rgb[2];  // ITU-R BT.601, as OpenCV
  }
  image.pixels.resize(num_pixels);
  image.channels = 1;
}

// Cuts the centre that has the aspect of the network's input, in place.
void crop(io::Image& image, int64_t height, int64_t width) {
  const double scale = std::max(static_cast<double>(height) / static_cast<double>(image.height), static_cast<double>(width) / static_cast<double>(image.width));
  const auto cut = [scale](int64_t side, int64_t target) { return std::clamp<int64_t>(std::llround(static_cast<double>(target) / scale), 1, side); };
  const int64_t new_height = cut(image.height, height), new_width = cut(image.width, width);
  const int64_t first_row = (image.height - new_height) / 2, first_column = (image.width - new_width) / 2;
  for (int64_t row = 0; row < new_height; ++row) {
    const float* from = image.pixels.data() + ((first_row + row) * image.width + first_column) * image.channels;
    std::copy(from, from + new_width * image.channels, image.pixels.data() + row * new_width * image.channels);
  }
  image.height = new_height;
  image.width = new_width;
}

// Where the resized image lies on the grid of the network: everywhere, or with `pad` in its centre.
struct Placement {
  io::PixelSize size;
  int64_t row = 0, column = 0;
};

Placement place(const io::Image& image, const ImageOptions& options) {
  const int64_t height = options.image_size[0], width = options.image_size[1];
  if (options.resize != "pad") return {{height, width}};
  const double scale = std::min(static_cast<double>(height) / static_cast<double>(image.height), static_cast<double>(width) / static_cast<double>(image.width));
  const auto scaled = [scale](int64_t side, int64_t target) { return std::clamp<int64_t>(std::llround(scale * static_cast<double>(side)), 1, target); };
  const io::PixelSize size{scaled(image.height, height), scaled(image.width, width)};
  return {size, (height - size.height) / 2, (width - size.width) / 2};
}

}  // namespace

void check(const ImageOptions& options) {
  const auto require = [](bool is_good, const std::string& problem) {
    if (!is_good) throw Error(ExitCode::usage, problem);
  };
  const auto num_channels = static_cast<size_t>(options.in_channels);
  const auto ascending_pair = [](const std::vector<double>& values) { return values.size() == 2 && values[0] < values[1]; };
  require(options.image_size.size() == 2 && options.image_size[0] > 0 && options.image_size[1] > 0, "model.image_size must be [H, W], both at least 1");
  require(options.in_channels >= 1, concat("model.in_channels is ", options.in_channels, "; allowed: at least 1"));
  require(ascending_pair(options.percentiles), "data.percentiles must be two values, the lower first, as in [0.5, 99.5]");
  require(options.intensity != "window" || ascending_pair(options.window),
          "data.intensity is window, so data.window must be two values, the lower first, as in [-160, 240]");
  require(options.mean.size() == 1 || options.mean.size() == num_channels,
          concat("data.mean has ", options.mean.size(), " values; allowed: 1, or one per channel (", num_channels, ")"));
  require(options.std.size() == 1 || options.std.size() == num_channels,
          concat("data.std has ", options.std.size(), " values; allowed: 1, or one per channel (", num_channels, ")"));
}

IntensityRange intensity_range(const std::vector<float>& values, double stored_max, const ImageOptions& options) {
  const auto num_bad = std::count_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  if (num_bad > 0)
    throw Error(ExitCode::data, concat("holds ", num_bad, " values that are NaN or infinite, of ", values.size()), "replace them, for example by 0");
  std::string intensity = options.intensity;
  if (intensity == "auto") intensity = stored_max > 0 ? "stored" : "percentile";
  if (intensity == "window") return {options.window[0], options.window[1]};
  if (intensity == "zscore") return zscore_of(values);
  if (intensity == "minmax") return {0.0, 1.0, /*clamp=*/true, /*per_slice=*/true};
  if (intensity == "stored") {
    if (!(stored_max > 0))
      throw Error(ExitCode::data, "has physical units, not a stored range, so data.intensity = stored has no meaning for it",
                  "set data.intensity to auto, percentile or window");
    return {0.0, stored_max};
  }
  std::vector<float> subset = subsample(values);
  const double low = percentile_of(subset, options.percentiles[0]);
  return {low, percentile_of(subset, options.percentiles[1])};
}

void to_input(io::Image image, const IntensityRange& range, const ImageOptions& options, Flips flips, float* output) {
  rescale(image.pixels, range.per_slice ? minmax_of(image.pixels) : range);
  fit_channels(image, options.in_channels);
  if (options.resize == "crop") crop(image, options.image_size[0], options.image_size[1]);

  thread_local std::vector<float> resized;
  const Placement placement = place(image, options);
  resized.resize(static_cast<size_t>(placement.size.height * placement.size.width * image.channels));
  io::resize(image.pixels.data(), {image.height, image.width}, image.channels, resized.data(), placement.size);

  const int64_t height = options.image_size[0], width = options.image_size[1];
  for (int64_t channel = 0; channel < options.in_channels; ++channel) {
    const size_t index = static_cast<size_t>(channel);
    const auto mean = static_cast<float>(options.mean[options.mean.size() == 1 ? 0 : index]);
    const auto scale = static_cast<float>(1.0 / options.std[options.std.size() == 1 ? 0 : index]);
    const int64_t from_channel = image.channels == 1 ? 0 : channel;
    for (int64_t row = 0; row < height; ++row) {
      const int64_t from_row = (flips.vertical ? height - 1 - row : row) - placement.row;
      const bool is_inside = from_row >= 0 && from_row < placement.size.height;
      const float* from = resized.data() + (is_inside ? from_row * placement.size.width * image.channels + from_channel : 0);
      for (int64_t column = 0; column < width; ++column) {
        const int64_t from_column = (flips.horizontal ? width - 1 - column : column) - placement.column;
        const float value = is_inside && from_column >= 0 && from_column < placement.size.width ? from[from_column * image.channels] : 0.0F;
        *output++ = (value - mean) * scale;
      }
    }
  }
}

}  // namespace vmae::data
