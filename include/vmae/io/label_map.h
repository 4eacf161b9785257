#pragma once
// A label map by itself, whoever made it.
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "vmae/io/image.h"

namespace vmae::io {

struct LabelMap {
  std::array<int64_t, 3> size{};
  std::array<double, 3> spacing_mm{1, 1, 1}, origin_mm{0, 0, 0};  // ITK's frame, as in Volume
  std::array<double, 9> direction{1, 0, 0, 0, 1, 0, 0, 0, 1};
  bool has_millimetres = true;       // false: a picture
  std::vector<uint8_t> labels;       // x fastest
  std::vector<std::string> names{};  // DICOM-SEG: of labels 1, 2, ... (segment numbers); else empty
};

// NIfTI, NRRD, MetaImage, PNG (and what else is a picture), DICOM-SEG (a grid is made from its own frames: x, y of the frames, z of all their positions, with
// gaps filled by background). Pictures that hold only 0 and 255 become 0 and 1. Throws Error(data) naming the file: not a label map (values that are no
// integers in [0, 255], colour), frames of a SEG that do not lie on one regular grid.
LabelMap read_label_map(const std::filesystem::path& file);

// What differs between two grids, in words ("64 x 64 x 20 voxels against 64 x 64 x 21"), or "" (size equal; spacing within 1 %, origin within a tenth of a
// voxel, axes within 2.5 degrees: as read_mask). A picture is compared by size alone. `reordered` SEGs may lie on the same grid in another order or cover a
// part of it: see onto_grid.
std::string grid_difference(const LabelMap& a, const LabelMap& b);

// `map` on the grid of `reference`: itself if the grids are equal; else, where every voxel of `map` falls on a voxel of `reference` (a part of it, slices in
// reverse, axes exchanged or flipped), its voxels put there and background elsewhere. Throws Error(data, grid_difference) otherwise.
LabelMap onto_grid(const LabelMap& map, const LabelMap& reference);

}  // namespace vmae::io
