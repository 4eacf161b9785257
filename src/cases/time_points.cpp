#include "vmae/cases/time_points.h"

#include "mask_volume.h"
#include "vmae/cases/read_image.h"
#include "vmae/core/error.h"
#include "vmae/image/picture.h"
#include "vmae/volume/volume.h"

namespace vmae::io {
namespace {

int64_t num_time_points(const SourceFile& file) {
  if (file.prepared_case >= 0 || !file.series.empty() || !file.channels.empty() || is_picture(file.path)) return 1;
  try {
    const auto header = read_image_header(file);
    return header ? header->num_time_points : 1;
  } catch (const Error&) {  // said when the image is read
    return 1;
  }
}

// Of a DICOM file, whose volumes are listed one by one, the time point is known.
void add(const SourceFile& file, int64_t count, std::vector<SourceFile>& to) {
  for (int64_t t = 0; t < count; ++t) {
    to.push_back(file);
    if (count == 1) continue;
    to.back().time_point = t;
    to.back().name += concat("#t", t);
  }
}

bool has_mask_of_its_own(const SourceFile& file) {
  try {
    return is_volume(file.mask) && read_mask_volume(file.mask, file).form == MaskForm::time_points;
  } catch (const Error&) {  // said when the mask is read
    return false;
  }
}

}  // namespace

std::vector<SourceFile> with_time_points(const std::vector<SourceFile>& files) {
  std::vector<SourceFile> expanded;
  for (const SourceFile& file : files) add(file, num_time_points(file), expanded);
  return expanded;
}

std::vector<SourceFile> with_masks_of_time_points(const std::vector<SourceFile>& files) {
  std::vector<SourceFile> expanded;
  for (const SourceFile& file : files) {
    const int64_t count = file.mask.empty() ? 1 : num_time_points(file);
    add(file, count > 1 && has_mask_of_its_own(file) ? count : 1, expanded);
  }
  return expanded;
}

}  // namespace vmae::io
