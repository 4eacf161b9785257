// Axes of volumes: which one the slices lie along, and one slice of it.
#include "vmae/io/image.h"

#include <algorithm>

namespace vmae::io {

int slice_axis(const VolumeHeader& header) {
  for (const int axis : {2, 1, 0}) {
    if (header.size[axis] == 1) return axis;  // a 2D image
  }
  const double largest_mm = *std::max_element(header.spacing_mm.begin(), header.spacing_mm.end());
  int best = 2;
  double best_squareness = -1.0;
  for (const int axis : {2, 1, 0}) {
    if (header.spacing_mm[axis] < 0.99 * largest_mm) continue;
    const auto [shorter, longer] = std::minmax(header.size[axis == 0 ? 1 : 0], header.size[axis == 2 ? 1 : 2]);
    const double squareness = static_cast<double>(shorter) / static_cast<double>(longer);
    if (squareness > best_squareness) {
      best = axis;
      best_squareness = squareness;
    }
  }
  return best;
}

Image slice_of(const Volume& volume, int axis, int64_t index) {
  const std::array<int64_t, 3> stride{1, volume.size[0], volume.size[0] * volume.size[1]};
  const int column_axis = axis == 0 ? 1 : 0, row_axis = axis == 2 ? 1 : 2;
  Image image;
  image.height = volume.size[row_axis];
  image.width = volume.size[column_axis];
  image.channels = 1;
  image.pixels.resize(static_cast<size_t>(image.height * image.width));
  float* to = image.pixels.data();
  for (int64_t row = 0; row < image.height; ++row) {
    const float* from = volume.voxels.data() + index * stride[axis] + row * stride[row_axis];
    for (int64_t column = 0; column < image.width; ++column) *to++ = from[column * stride[column_axis]];
  }
  return image;
}

}  // namespace vmae::io
