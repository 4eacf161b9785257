#pragma once
// The two kinds of masks that read_dicom_mask knows (vmae/dicom/masks.h), and the grid that they are put on.
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "../header.h"
#include "stacks.h"
#include "vmae/dicom/masks.h"

namespace vmae::io {

// The image that a mask is put on: its slices, one per z, columns and rows, and how far slices are apart.
struct MaskGrid {
  std::vector<SourceSlice> slices;
  int64_t columns = 0, rows = 0;
  double slice_step_mm = 1;
  int64_t num_voxels() const { return columns * rows * static_cast<int64_t>(slices.size()); }
};

// Contours belong to their plane, and are filled there; see rtstruct.cpp.
DicomLabels read_rtstruct(const DicomFile& file, const MaskGrid& grid, const std::vector<std::string>& names);
// A segmentation whose frames say where they lie is placed by that; another, or one of an image
// whose slices lie at one place, by the images that its frames were made from. Without `with_pixels`
// pixels are read only where segments may overlap, and the map stays empty: for remarks.
DicomLabels read_seg(const DicomFile& file, const DicomHeader& header, const MaskGrid& grid,
                     const std::vector<std::string>& names, bool with_pixels = true);
// What read_dicom_mask would say of a mask, and why it can't be read if it can't.
std::vector<std::string> remarks_on_mask(const std::filesystem::path& path, const MaskGrid& grid);

// A point as fractions of pixels of a slice (column, row), and its distance from the slice in mm.
Vec3 to_pixels(const DicomFrame& slice, const Vec3& point);
// The slice nearest to a point, if it is within half the distance between slices; else -1.
int64_t nearest_slice(const MaskGrid& grid, const Vec3& point);

// The structures or segments of a file by name, the same for all readers: spaces
// around names don't count, names are UTF-8, and one without a name is "ROI N"
// or "segment N", N its number in the file. Those of one name are one structure.
struct StructureNames {
  std::vector<std::string> names;              // each once, in the order of the file
  std::vector<std::pair<int64_t, size_t>> of;  // number in the file, index of its name; in the order of the file
  std::vector<std::string> remarks;            // names that come twice, or differ in case only
  size_t item_of(int64_t number) const;        // which of `of`; of.size() if there is no such number
};
// Throws Error(data): two structures have the same number.
StructureNames structure_names_of(const DicomFile& file, const DicomHeader& header);

// Which structures (StructureNames::names) become which label: those of
// `names` in its order, or all. label[i] is 0 for one that isn't wanted.
struct LabelChoice {
  std::vector<std::string> names;
  std::vector<uint8_t> label;
};
LabelChoice choose_labels(const StructureNames& available, const std::vector<std::string>& names,
                          const std::filesystem::path& path);

// Paints labels, later ones over earlier ones, and counts where that happens: a map has one label for each voxel.
class LabelPainter {
 public:
  explicit LabelPainter(std::vector<uint8_t>& map) : map_(map) {}
  void paint(size_t at, uint8_t label) {
    uint8_t& old = map_[at];
    if (old != 0 && old != label) ++covered_[{old, label}];
    old = label;
    ++num_painted_;
  }
  int64_t num_painted() const { return num_painted_; }
  // "'a' and 'b' overlap in 12 voxels, which are 'b'": the pairs with most voxels.
  std::vector<std::string> remarks(const std::vector<std::string>& names) const;

 private:
  std::vector<uint8_t>& map_;
  std::map<std::pair<uint8_t, uint8_t>, int64_t> covered_;
  int64_t num_painted_ = 0;
};

// "'a', 'b' and 3 more".
std::string quoted_list(const std::vector<std::string>& names);

}  // namespace vmae::io
