#pragma once
// All geometry of a sample is one matrix and one sampling pass. Coordinates: pixel centres lie at
// integers, (0, 0) is the centre of the first pixel, x counts columns, y rows. An image covers the
// area of its pixels, [-0.5, width - 0.5) x [-0.5, height - 0.5): inside it the outermost pixels reach
// to its edge, outside of it lies `border`. Image and mask therefore end at the same place. (PyTorch's
// grid_sample with align_corners=false and padding_mode="border" inside, and `border` outside.)
#include <cstdint>

#include "vmae/image/resize.h"

namespace vmae::data {

using io::PixelSize;

// Output pixel (x, y) is sampled from the input at (xx x + xy y + x0, yx x + yy y + y0).
struct Affine {
  double xx = 1, xy = 0, x0 = 0;
  double yx = 0, yy = 1, y0 = 0;
};

// A point goes through `first`, its result through `second`.
Affine then(const Affine& first, const Affine& second);

// A rectangle of single-channel pixels in memory.
template <class T>
struct Plane {
  const T* pixels;
  PixelSize size;
  int64_t row_stride;  // in pixels
};

// `to` has room for to_size.height * to_size.width values. Nearest: a coordinate half way between two
// pixels takes the later one. An identity, a mirror or a quarter turn reproduces the pixels exactly.
// Sides up to 2^20 pixels; thread-safe. is_portable: without AVX2, which changes no bit (for tests).
void warp_bilinear(const Plane<float>& from, const Affine& affine, float border, float* to, PixelSize to_size,
                   bool is_portable = false);
void warp_nearest(const Plane<uint8_t>& from, const Affine& affine, uint8_t border, uint8_t* to, PixelSize to_size,
                  bool is_portable = false);
void warp_nearest(const Plane<float>& from, const Affine& affine, float border, float* to, PixelSize to_size);

}  // namespace vmae::data
