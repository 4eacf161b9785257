#pragma once
// The geometry of nnU-Net's augmentation: a patch out of the middle of an image, as it lies or turned and scaled.
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "vmae/nnunet/augment.h"

namespace vmae::nnunet {

constexpr int16_t kOutside = -1;  // label where the image is not

// Reused from sample to sample.
struct SpatialBuffers {
  std::vector<int32_t> offsets;     // of a row of the patch: from the plane's first pixel to the one above and left
  std::vector<float> right, below;  // weights of the next column and row
};

// The first row and column of the patch in the middle of an image of `size`, which is at least as large.
std::array<int64_t, 2> central_corner(const std::array<int64_t, 2>& size, const std::array<int64_t, 2>& patch);

// A plane of the patch out of one of the image.
template <class T>
void cut_out(const T* from, const std::array<int64_t, 2>& size, const std::array<int64_t, 2>& patch, T* to) {
  const auto [row, column] = central_corner(size, patch);
  from += row * size[1] + column;
  for (int64_t i = 0; i < patch[0]; ++i, from += size[1], to += patch[1]) std::copy_n(from, patch[1], to);
}

// Images bilinearly, with zeros around them. Labels: whichever has most of the four neighbours' weights; of equal
// ones the nearest pixel's, else the smallest.
void turn_and_scale(const AugmentPlan& plan, double rotation, double scale, const float* image, const int16_t* labels,
                    int64_t num_channels, SpatialBuffers& buffers, float* image_out, int16_t* labels_out);

}  // namespace vmae::nnunet
