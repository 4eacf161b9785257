#pragma once
// The two kinds of masks that read_dicom_mask knows; contract in vmae/io/dicom.h.
#include <string>
#include <vector>

#include "dicom_header.h"
#include "vmae/io/dicom.h"
#include "vmae/io/label_map.h"

namespace vmae::io {

// `slices`: the planes of the image, one per z. `image_files`: what it was read from.
DicomLabels read_rtstruct(const DicomFile& file, const std::vector<DicomFrame>& slices, const Volume& image, const std::vector<std::string>& names);
// A segmentation whose frames say where they lie is placed by that; another by the images that its frames were made from.
DicomLabels read_seg(const DicomFile& file, const DicomHeader& header, const std::vector<std::filesystem::path>& image_files, const Volume& image,
                     const std::vector<std::string>& names);
// A segmentation by itself: contract in vmae/io/label_map.h.
LabelMap read_seg_alone(const std::filesystem::path& path);

// A point as fractions of pixels of a slice (column, row), and its distance from the slice in mm.
Vec3 to_pixels(const DicomFrame& slice, const Vec3& point);
// The slice nearest to a point, if it is within half the distance between slices; else -1.
int64_t nearest_slice(const std::vector<DicomFrame>& slices, double slice_step_mm, const Vec3& point);

// Which of the file's structures or segments become which label: those of `names` in its order, or all. label[i] is 0 for one that isn't wanted.
struct LabelChoice {
  std::vector<std::string> names;
  std::vector<uint8_t> label;
};
LabelChoice choose_labels(const std::vector<std::string>& available, const std::vector<std::string>& names, const std::filesystem::path& path);

}  // namespace vmae::io
