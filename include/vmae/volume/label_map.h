#pragma once
// A label map by itself, whoever made it, and the grids that label maps lie on.
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace vmae::io {

struct LabelMap {
  std::array<int64_t, 3> size{};
  std::array<double, 3> spacing_mm{1, 1, 1}, origin_mm{0, 0, 0};  // ITK's frame, as in Volume
  std::array<double, 9> direction{1, 0, 0, 0, 1, 0, 0, 0, 1};
  bool has_millimetres = true;       // false: a picture
  std::vector<uint8_t> labels{};     // x fastest
  std::vector<std::string> names{};  // DICOM-SEG: of labels 1, 2, ... (segment numbers); else empty
  std::filesystem::path file{};      // for messages; may be empty
};

// What differs between two grids, in words ("64 x 64 x 20 voxels against 64 x 64 x 21"), or
// "": sizes are equal, spacing within 1 %, origin within a tenth of a voxel along each
// axis, axes within 2.5 degrees, as read_mask. Where one has no millimetres, by size alone.
std::string grid_difference(const LabelMap& a, const LabelMap& b);

// `map` on the grid of `reference`: itself if the grids are equal; else, where every voxel of `map` falls
// on a voxel of `reference` to a tenth (a part of it, slices in reverse, axes exchanged or flipped), its
// voxels put there and background elsewhere. Throws Error(data, grid_difference) otherwise.
LabelMap onto_grid(const LabelMap& map, const LabelMap& reference);

// Both on one grid: that of `reference`, grown (with background) as far as `map` reaches beyond it;
// for SEGs, which cover only the slices where something is. What is measured of classes does not
// change by background around. Throws Error(data, grid_difference) where voxels do not fall on voxels.
std::pair<LabelMap, LabelMap> onto_common_grid(LabelMap map, LabelMap reference);

}  // namespace vmae::io
