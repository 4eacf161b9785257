#pragma once
// The internal picture of an image. Axis order is defined here, once:
//   Volume voxels are stored x fastest, then y, then z (as ITK and NIfTI do): voxel (x, y, z) is voxels[x + size[0] * (y + size[1] * z)].
//   A slice perpendicular to z is an Image with rows = y and columns = x; perpendicular to y: rows = z, columns = x; to x: rows = z, columns = y.
//   origin, spacing and direction are ITK's: millimetres in the LPS frame, direction is the row-major 3x3 matrix whose columns are the axes.
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace vmae::io {

// One 2D image, rows by columns by channels, channel fastest (BHWC's HWC). Colour is RGB.
struct Image {
  int64_t height = 0, width = 0, channels = 0;
  std::vector<float> pixels;  // height * width * channels, in the file's own units
  double stored_max = 0.0;    // largest value that the stored type can hold (255, 65535), 0 where the units are physical (volumes, float pictures)
};

struct Volume {
  std::array<int64_t, 3> size{};  // x, y, z
  std::array<double, 3> spacing_mm{1, 1, 1}, origin_mm{0, 0, 0};
  std::array<double, 9> direction{1, 0, 0, 0, 1, 0, 0, 0, 1};
  std::vector<float> voxels;
};

// Geometry without voxels: what listing a dataset needs, read from the header alone.
struct VolumeHeader {
  std::array<int64_t, 3> size{};
  std::array<double, 3> spacing_mm{1, 1, 1};
};

// The axis of acquisition: largest spacing; among equals (within 1 %) the one that leaves the most nearly square slices, then z.
// An axis of length 1 comes before all: the file is one 2D image.
int slice_axis(const VolumeHeader& header);

// Slice `index` along `axis` (0 x, 1 y, 2 z) in the orientation defined above.
Image slice_of(const Volume& volume, int axis, int64_t index);

}  // namespace vmae::io
