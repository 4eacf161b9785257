#pragma once
// Slices on another grid, as nnU-Net resamples them: scikit-image's resize with mode edge and without anti-aliasing,
// which is scipy.ndimage.zoom with mode nearest and grid_mode. Not PyTorch's interpolation, whose cubic is another.
#include <array>
#include <cstdint>
#include <vector>

#include "vmae/nnunet/plans.h"

namespace vmae::nnunet {

// int(round(old spacing / new spacing * size)), half to even.
std::array<int64_t, 3> resampled_shape(const std::array<int64_t, 3>& shape, const std::array<double, 3>& spacing,
                                       const std::array<double, 3>& new_spacing);

// The axis that is resampled apart, by the order `resampling.order_z`, as its spacing is more than three times
// another's before or afterwards; -1: none.
int separate_axis(const Resampling& resampling, const std::array<double, 3>& spacing,
                  const std::array<double, 3>& new_spacing);

// From `shape` to `new_shape`, which has as many slices. Images keep the range of the volume, where slices are taken
// apart that of each slice. axis: as separate_axis().
std::vector<float> resample_image(const std::vector<float>& values, const std::array<int64_t, 3>& shape,
                                  const std::array<int64_t, 3>& new_shape, const Resampling& resampling, int axis);
// Each label by itself, from the lowest to the highest, wherever at least half of it is.
std::vector<int16_t> resample_labels(const std::vector<int16_t>& labels, const std::array<int64_t, 3>& shape,
                                     const std::array<int64_t, 3>& new_shape, const Resampling& resampling, int axis);

}  // namespace vmae::nnunet
