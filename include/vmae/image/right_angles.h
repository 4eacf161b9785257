#pragma once
// How far the axes of a volume may be from right angles and from the voxel
// sizes that stand beside them: one rule for NIfTI, NRRD and MetaImage.
#include <array>
#include <cstddef>

namespace vmae::io {

using Axes = std::array<double, 9>;  // columns are the axes, row by row

constexpr double kRight = 1e-4, kMostSkew = 2e-3;  // cosines between axes: right angles; what is made right
constexpr double kMostScale = 0.01;                // of a voxel's size

double length_of(const Axes& axes, size_t axis);

// The largest cosine between two axes; 1 where an axis has no length, or a part that is no number.
double most_skew(const Axes& axes);

// The nearest matrix with perpendicular columns of length 1.
Axes nearest_axes(Axes axes);

}  // namespace vmae::io
