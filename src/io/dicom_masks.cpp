#include "dicom_masks.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <algorithm>
#include <cmath>

#include "dicom_geometry.h"
#include "vmae/core/error.h"

namespace vmae::io {

Vec3 to_pixels(const DicomFrame& slice, const Vec3& point) {
  const Vec3 from_corner = minus(point, slice.plane->position);
  return {dot(from_corner, slice.plane->x) / slice.spacing_mm[0], dot(from_corner, slice.plane->y) / slice.spacing_mm[1],
          dot(from_corner, slice.plane->normal())};
}

int64_t nearest_slice(const std::vector<DicomFrame>& slices, double slice_step_mm, const Vec3& point) {
  int64_t best = -1;
  double best_mm = slice_step_mm / 2;
  for (size_t z = 0; z < slices.size(); ++z) {
    const double distance_mm = std::abs(to_pixels(slices[z], point)[2]);
    if (distance_mm > best_mm || (best >= 0 && distance_mm == best_mm)) continue;
    best = static_cast<int64_t>(z);
    best_mm = distance_mm;
  }
  return best;
}

LabelChoice choose_labels(const std::vector<std::string>& available, const std::vector<std::string>& names, const std::filesystem::path& path) {
  LabelChoice choice{names.empty() ? available : names, std::vector<uint8_t>(available.size(), 0)};
  if (choice.names.empty()) fail_dicom(path, "has no structures");
  if (choice.names.size() > 255) fail_dicom(path, concat("has ", choice.names.size(), " structures, 255 are supported"), "name those that are wanted");
  for (size_t i = 0; i < choice.names.size(); ++i) {
    // Of several with the same name, all; without `names` each its own label.
    bool is_found = false;
    for (size_t k = 0; k < available.size(); ++k) {
      if (names.empty() ? k != i : available[k] != names[i]) continue;
      choice.label[k] = static_cast<uint8_t>(i + 1);
      is_found = true;
    }
    if (!is_found) fail_dicom(path, concat("has no structure '", choice.names[i], "'"), "it has: " + join(available, ", "));
  }
  return choice;
}

std::vector<std::string> dicom_structure_names(const std::filesystem::path& mask) {
  const DicomFile file = open_dicom(mask);
  const bool is_rtstruct = read_dicom_header(file).kind == DicomKind::rtstruct;
  const DcmTagKey list = is_rtstruct ? DCM_StructureSetROISequence : DCM_SegmentSequence;
  std::vector<std::string> names;
  for (size_t i = 0; i < num_items(file.data(), list); ++i) {
    names.push_back(text_of(*item_of(file.data(), list, i), is_rtstruct ? DCM_ROIName : DCM_SegmentLabel));
  }
  return names;
}

DicomLabels read_dicom_mask(const std::filesystem::path& mask, const std::vector<std::filesystem::path>& image_files, const Volume& image,
                            const std::vector<std::string>& names) {
  const DicomFile file = open_dicom(mask);
  const DicomHeader header = read_dicom_header(file);
  if (header.kind != DicomKind::rtstruct && header.kind != DicomKind::seg) fail_dicom(mask, "is neither a structure set (RTSTRUCT) nor a segmentation (SEG)");
  if (header.kind == DicomKind::seg) return read_seg(file, header, image_files, image, names);
  return read_rtstruct(file, slices_of(image_files, image.size[2]), image, names);
}

}  // namespace vmae::io
