#pragma once
// A label map by itself, whoever made it.
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "vmae/io/image.h"
#include "vmae/io/source.h"

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

// NIfTI, NRRD, MetaImage (also a channel per class, as read_mask says), pictures, DICOM-SEG. Numbers are those of the file (label_meaning.h).
// SEG: its own frames make the grid. Where they have places: x and y of the frames, z along their normal, all frames of one segment or another; slices between
// them that have no frame are background, those before and behind are not in the grid, as the file does not say that they exist (see onto_common_grid). The
// step along z is SpacingBetweenSlices where it fits, else the smallest between frames; of a single slice SpacingBetweenSlices, else SliceThickness. Without
// places (radiographs): z counts the images that the file refers to, has_millimetres is false. Labels as in read_dicom_mask: later segments win.
// Throws Error(data) naming the file: not a label map (values that are no integers in [0, 255], colour, several volumes, RTSTRUCT and other DICOM), frames of a
// SEG that do not lie on one regular grid (uneven slices, a tilted gantry).
LabelMap read_label_map(const std::filesystem::path& file);

// The mask of an image by itself: that of its time point.
LabelMap read_label_map(const SourceFile& image);

// Whose a DICOM-SEG is: the patient's id, and texts of its header that identify the patient. Empty of other files, and where it can't be read.
struct LabelMapOwner {
  std::string patient;
  std::vector<std::string> identifying;
};
LabelMapOwner owner_of(const std::filesystem::path& file);

// What differs between two grids, in words ("64 x 64 x 20 voxels against 64 x 64 x 21"), or "": sizes are equal, spacing within 1 %, origin within a tenth of a
// voxel along each axis, axes within 2.5 degrees, as read_mask. Where one has no millimetres, by size alone.
std::string grid_difference(const LabelMap& a, const LabelMap& b);

// `map` on the grid of `reference`: itself if the grids are equal; else, where every voxel of `map` falls on a voxel of `reference` to a tenth (a part of it,
// slices in reverse, axes exchanged or flipped), its voxels put there and background elsewhere. Throws Error(data, grid_difference) otherwise.
LabelMap onto_grid(const LabelMap& map, const LabelMap& reference);

// Both on one grid: that of `reference`, grown (with background) as far as `map` reaches beyond it; for SEGs, which cover only the slices where something is.
// What is measured of classes does not change by background around. Throws Error(data, grid_difference) where voxels do not fall on voxels.
std::pair<LabelMap, LabelMap> onto_common_grid(LabelMap map, LabelMap reference);

}  // namespace vmae::io
