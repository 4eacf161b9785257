#include "vmae/io/read_image.h"

#include "label_values.h"
#include "vmae/core/error.h"
#include "vmae/core/path_problem.h"
#include "vmae/io/dicom.h"
#include "vmae/io/picture.h"
#include "vmae/io/volume.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

// A manifest may name a DICOM file, or a folder that holds one series.
std::vector<fs::path> dicom_files(const SourceFile& file) {
  if (!file.series.empty()) return file.series;
  std::error_code ignored;
  if (fs::is_directory(file.path, ignored)) {
    std::vector<fs::path> files;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(file.path)) {
      if (entry.is_regular_file() && is_dicom(entry.path())) files.push_back(entry.path());
    }
    const DicomTree tree = group_dicom(files);
    if (tree.series.size() != 1) {
      throw Error(ExitCode::data, concat(file.path.string(), ": holds ", tree.series.size(), " DICOM series where one image is meant"),
                  "name the folder or a file of one series");
    }
    return tree.series[0].files;
  }
  if (!is_volume(file.path) && !is_picture(file.path) && is_dicom(file.path)) return {file.path};
  return {};
}

std::string subject_of(const SourceFile& file) { return concat(file.path.string(), ": its mask ", file.mask.filename().string()); }

[[noreturn]] void fail_mask(const SourceFile& file, const std::string& what, const std::string& hint = "") {
  throw Error(ExitCode::data, subject_of(file) + " " + what, hint);
}

void check_grid(const SourceFile& file, const Volume& image, const Volume& mask) {
  const std::string hint = "resample it on the image's grid";
  if (mask.size != image.size) fail_mask(file, concat("has ", size_text(mask.size), " voxels, the image ", size_text(image.size)), hint);
  if (is_picture(file.mask) || is_picture(file.path)) return;  // pictures know no millimetres
  const std::string difference =
      place_difference({mask.spacing_mm, mask.origin_mm, mask.direction}, {image.spacing_mm, image.origin_mm, image.direction}, "image");
  if (!difference.empty()) fail_mask(file, "lies elsewhere along " + difference, hint);
}

}  // namespace

Volume read_image(const SourceFile& file) {
  Volume volume;
  if (const auto files = dicom_files(file); !files.empty()) {
    volume = read_dicom(files);
    volume.modality = dicom_modality(volume.modality);
  } else {
    volume = is_picture(file.path) ? picture_volume(file.path) : read_volume(file.path, file.time_point);
  }
  if (!file.modality.empty()) volume.modality = file.modality;
  if (volume.modality == "CT" && volume.units == Units::raw && !is_picture(file.path)) volume.units = Units::hu;
  return volume;
}

std::optional<VolumeHeader> read_image_header(const SourceFile& file) {
  if (is_volume(file.path)) return read_volume_header(file.path);
  if (const auto files = dicom_files(file); !files.empty()) {
    const DicomTree tree = group_dicom(files);
    if (tree.series.size() != 1) {
      throw Error(ExitCode::data, concat(file.path.string(), ": ", tree.refused.empty() ? "is not one DICOM series" : tree.refused[0].reason));
    }
    return tree.series[0].header;
  }
  if (is_picture(file.path)) return std::nullopt;
  throw Error(ExitCode::data, concat(file.path.string(), " is of an unknown type"));
}

std::vector<uint8_t> read_mask(const SourceFile& file, const Volume& image, const std::vector<std::string>& structures, bool keeps_255) {
  if (file.mask.empty()) return {};
  if (const std::string problem = path_problem(file.mask); !problem.empty()) fail_mask(file, problem);
  try {
    if (is_picture(file.mask) || is_volume(file.mask)) {
      const Volume mask = is_picture(file.mask) ? picture_volume(file.mask) : read_volume(file.mask);
      check_grid(file, image, mask);
      return labels_of(mask, is_picture(file.mask) && !keeps_255, subject_of(file));
    }
    return read_dicom_mask(file.mask, dicom_files(file), image, structures).map;
  } catch (const Error& error) {
    if (std::string_view(error.what()).starts_with(file.path.string() + ": ")) throw;  // the mask's path may begin like the image's
    throw Error(error.code(), concat(file.path.string(), ": its mask can't be used: ", error.what()), error.hint());
  }
}

std::vector<std::string> structure_names(const SourceFile& file) {
  return file.mask.empty() || is_picture(file.mask) || is_volume(file.mask) ? std::vector<std::string>{} : dicom_structure_names(file.mask);
}

}  // namespace vmae::io
