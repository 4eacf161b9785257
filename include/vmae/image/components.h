#pragma once
// Connected components of label maps, of size[0] x size[1] x size[2] voxels, x fastest; a picture has size[2] = 1.
// Voxels are neighbours where they share a corner: 26 of them in a volume, 8 in a picture.
#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace vmae::io {

// Voxels begin, begin + 1, ..., end - 1 of a row along x.
struct Run {
  int64_t row;  // y + size[1] * z
  int32_t begin, end;
};

// Which component of all `runs` together each of them is of: 0, 1, ... in the order of voxels.
// Runs are in that order, and no voxel is in two of them.
std::vector<int64_t> components_of(std::span<const Run> runs, const std::array<int64_t, 3>& size);

// Of each label but 0, all but the largest component become 0; of equal ones the first in the order of voxels stays.
void keep_largest_components(std::span<uint8_t> labels, const std::array<int64_t, 3>& size);

}  // namespace vmae::io
