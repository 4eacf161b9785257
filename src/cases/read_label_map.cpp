#include "vmae/cases/read_label_map.h"

#include "mask_volume.h"
#include "vmae/core/error.h"
#include "vmae/core/path_problem.h"
#include "vmae/dicom/kinds.h"
#include "vmae/dicom/masks.h"
#include "vmae/image/file_name.h"
#include "vmae/image/image.h"
#include "vmae/image/picture.h"
#include "vmae/volume/label_values.h"
#include "vmae/volume/volume.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

LabelMap map_of(const fs::path& file, const Volume& volume, bool is_picture) {
  LabelMap map{.size = volume.size,
               .spacing_mm = volume.spacing_mm,
               .origin_mm = volume.origin_mm,
               .direction = volume.direction,
               .has_millimetres = !is_picture,
               .labels = labels_of(volume, file.string() + ":"),
               .file = file};
  return map;
}

}  // namespace

LabelMap read_label_map(const fs::path& file) {
  std::error_code ignored;
  if (const std::string problem = path_problem(file); !problem.empty()) fail_file(file, problem);
  if (fs::is_directory(file, ignored)) fail_file(file, "is a folder where a label map is meant", "name the file");
  if (is_volume(file)) return map_of(file, read_mask_volume(file).volume, false);
  if (is_picture(file)) {
    const LabelPicture picture = read_label_picture(file);
    LabelMap map = map_of(file, picture.volume, true);
    map.has_millimetres = picture.has_millimetres;
    if (picture.is_lossy) refuse_lossy(map.labels, file.string() + ":");
    return map;
  }
  if (is_dicom(file)) return read_seg_alone(file);
  if (is_of_pair(file)) fail_file(file, kPairProblem, kPairHint);
  fail_file(file, "is of an unknown type", "label maps are NIfTI, NRRD, MetaImage, pictures or DICOM segmentations");
}

LabelMap read_label_map(const SourceFile& image) {
  std::error_code ignored;
  if (!is_volume(image.mask) || !fs::exists(image.mask, ignored)) return read_label_map(image.mask);
  return map_of(image.mask, read_mask_volume(image.mask, image).volume, false);
}

}  // namespace vmae::io
