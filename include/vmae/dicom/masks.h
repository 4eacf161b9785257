#pragma once
// RTSTRUCT and SEG into label maps.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "vmae/image/image.h"
#include "vmae/volume/label_map.h"

namespace vmae::io {

// Segment or structure names, and the label map (uint8, 0 background, 1... in this order) on the grid of `image`, which
// was read from `image_files` and `volume`. Names are trimmed and in UTF-8; those that are equal are one structure, and
// one without a name is "ROI N" or "segment N" by its number. RTSTRUCT: closed planar contours, each in its plane; of
// planes that fall within one slice, the one nearest to its centre. In a plane they are filled by the even-odd rule
// along each row of pixel centres, a contour that is there twice once. Later structures win where they overlap.
// Contours outside of the image's slices are left out. SEG: BINARY, FRACTIONAL from half of its maximum, and LABELMAP,
// whose pixels are segment numbers; frames by position, also parts of slices and flipped ones, or by the image that
// they were made from where they have no position or all slices of the image have the same. `names`: those structures
// only, in this order; empty: all. Throws Error(data) if it does not lie on the image's grid, or a name is unknown.
struct DicomLabels {
  std::vector<std::string> names;
  std::vector<std::uint8_t> map;  // size of the image
  // what the map does not say: structures that overlap, contours that were left out, equal names, ...
  std::vector<std::string> remarks;
};
DicomLabels read_dicom_mask(const std::filesystem::path& mask, const std::vector<std::filesystem::path>& image_files,
                            const Volume& image, const std::vector<std::string>& names = {},
                            std::optional<int64_t> volume = {});

// The names of an RTSTRUCT's structures or a SEG's segments, each once, in the order of the file. Throws Error(data).
std::vector<std::string> dicom_structure_names(const std::filesystem::path& mask);

// A segmentation by itself: read_label_map() in vmae/cases/read_label_map.h says what of it.
LabelMap read_seg_alone(const std::filesystem::path& path);

// Whose a DICOM-SEG is: the patient's id, and texts of its header that
// identify the patient. Empty of other files, and where it can't be read.
struct LabelMapOwner {
  std::string patient;
  std::vector<std::string> identifying;
};
LabelMapOwner owner_of(const std::filesystem::path& file);

}  // namespace vmae::io
