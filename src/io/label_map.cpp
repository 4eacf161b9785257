#include "vmae/io/label_map.h"

#include "dicom_masks.h"
#include "label_values.h"
#include "vmae/core/error.h"
#include "vmae/core/path_problem.h"
#include "vmae/io/dicom.h"
#include "vmae/io/picture.h"
#include "vmae/io/volume.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& file, const std::string& what, const std::string& hint = "") {
  throw Error(ExitCode::data, file.string() + ": " + what, hint);
}

LabelMap map_of(const fs::path& file, const Volume& volume, bool is_picture, bool keeps_255 = false) {
  return {.size = volume.size,
          .spacing_mm = volume.spacing_mm,
          .origin_mm = volume.origin_mm,
          .direction = volume.direction,
          .has_millimetres = !is_picture,
          .labels = labels_of(volume, is_picture && !keeps_255, file.string() + ":")};
}

}  // namespace

LabelMap read_label_map(const fs::path& file, bool keeps_255) {
  std::error_code ignored;
  if (const std::string problem = path_problem(file); !problem.empty()) fail(file, problem);
  if (fs::is_directory(file, ignored)) fail(file, "is a folder where a label map is meant", "name the file");
  if (is_volume(file)) {
    const int64_t num_volumes = read_volume_header(file).num_time_points;
    if (num_volumes > 1) fail(file, concat("holds ", num_volumes, " volumes where one label map is meant"), "write one 3D volume of label numbers");
    return map_of(file, read_volume(file), false);
  }
  if (is_picture(file)) return map_of(file, picture_volume(file), true, keeps_255);
  if (is_dicom(file)) return read_seg_alone(file);
  fail(file, "is of an unknown type", "label maps are NIfTI, NRRD, MetaImage, pictures or DICOM segmentations");
}

}  // namespace vmae::io
