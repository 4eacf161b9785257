#pragma once
#include <array>
#include <cstdint>
#include <span>

namespace vmae::io {

// Of each label but 0, all but the largest connected component (corner neighbours count; of equal ones the first
// in the order of voxels) become 0. labels: size[0] x size[1] x size[2], x fastest; a picture has size[2] = 1.
void keep_largest_components(std::span<uint8_t> labels, const std::array<int64_t, 3>& size);

}  // namespace vmae::io
