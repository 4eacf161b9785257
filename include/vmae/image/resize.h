#pragma once
// Resizing of float pixels, as cv::resize does it: INTER_AREA where the image
// shrinks, INTER_LINEAR where it grows. Results stay within the range of the input.
#include <cstdint>

namespace vmae::io {

struct PixelSize {
  int64_t height = 0, width = 0;
  bool operator==(const PixelSize&) const = default;
};

// `to` has room for to_size.height * to_size.width * channels values, channel
// fastest; thread-safe. An axis that shrinks beside one that grows is resized first.
void resize(const float* from, PixelSize from_size, int64_t channels, float* to, PixelSize to_size);

// The same with INTER_CUBIC (a = -0.75, as torch) where the image grows; what overshoots is cut to the input's range.
void resize_cubic(const float* from, PixelSize from_size, int64_t channels, float* to, PixelSize to_size);

}  // namespace vmae::io
