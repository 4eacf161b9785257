#pragma once
// What nnU-Net's augmentation does to the values of one plane of pixels, in place.
#include <array>
#include <cstdint>
#include <vector>

namespace vmae::nnunet {

// Between two pixels of a row.
struct BetweenPixels {
  int64_t index, next;
  float weight;  // of the next one
};

// Reused from sample to sample.
struct ValueBuffers {
  std::vector<float> plane, row;
  std::vector<BetweenPixels> columns;
};

// n normal numbers, times `std`, in pairs: Box and Muller's transform of the bits of Random(seed), (radius * cosine,
// radius * sine). The radius is from the upper 24 bits, plus one, the angle within the first quadrant from the lower
// 24, the signs of both numbers are bits 31 and 30.
void add_noise(float* values, int64_t n, double std, uint64_t seed);

// Gaussian weights, cut off at three standard deviations (3, 5 or 7 of them), and as many along the columns; the
// plane is reflected at its border pixels.
void blur(float* plane, const std::array<int64_t, 2>& size, const std::array<double, 2>& std, ValueBuffers& buffers);

void multiply(float* values, int64_t n, double factor);

// About the mean; what leaves the range that the values had is cut off.
void change_contrast(float* values, int64_t n, double factor);

// To `scale` of the size by taking the nearest pixels, and back bilinearly.
void lower_resolution(float* plane, const std::array<int64_t, 2>& size, double scale, ValueBuffers& buffers);

// Values as shares of their range to the power of `exponent`; mean and standard deviation stay.
void change_gamma(float* values, int64_t n, double exponent, bool inverted);

}  // namespace vmae::nnunet
