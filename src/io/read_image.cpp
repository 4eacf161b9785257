#include "vmae/io/read_image.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "vmae/core/error.h"
#include "vmae/io/dicom.h"
#include "vmae/io/picture.h"
#include "vmae/io/volume.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

// Pixels that were integers are kept as such, whatever they passed through.
template <class T>
void store(const std::vector<float>& pixels, StoredType type, Volume& volume) {
  volume.type = type;
  volume.stored.resize(pixels.size() * sizeof(T));
  auto* to = reinterpret_cast<T*>(volume.stored.data());
  for (size_t i = 0; i < pixels.size(); ++i) to[i] = static_cast<T>(pixels[i]);
}

Volume picture_volume(const fs::path& path) {
  const Image image = read_picture(path);
  Volume volume;
  volume.size = {image.width, image.height, 1};
  volume.channels = image.channels;
  volume.stored_max = image.stored_max;
  if (image.stored_max == 255.0) {
    store<uint8_t>(image.pixels, StoredType::u8, volume);
  } else if (image.stored_max == 65535.0) {
    store<uint16_t>(image.pixels, StoredType::u16, volume);
  } else {
    store<float>(image.pixels, StoredType::f32, volume);
  }
  return volume;
}

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

[[noreturn]] void fail_mask(const SourceFile& file, const std::string& what, const std::string& hint = "") {
  throw Error(ExitCode::data, concat(file.path.string(), ": its mask ", file.mask.filename().string(), " ", what), hint);
}

void check_grid(const SourceFile& file, const Volume& image, const Volume& mask) {
  if (mask.size != image.size) {
    fail_mask(file,
              concat("has ", mask.size[0], " x ", mask.size[1], " x ", mask.size[2], " voxels, the image ", image.size[0], " x ", image.size[1], " x ",
                     image.size[2]),
              "resample it on the image's grid");
  }
  if (is_picture(file.mask) || is_picture(file.path)) return;  // pictures know no millimetres
  for (size_t axis = 0; axis < 3; ++axis) {
    const double spacing_mm = image.spacing_mm[axis];
    double cosine = 0;
    for (size_t row = 0; row < 3; ++row) cosine += image.direction[3 * row + axis] * mask.direction[3 * row + axis];
    if (std::abs(mask.spacing_mm[axis] - spacing_mm) > 0.01 * spacing_mm || std::abs(mask.origin_mm[axis] - image.origin_mm[axis]) > 0.1 * spacing_mm ||
        cosine < 0.999) {
      fail_mask(file,
                concat("lies elsewhere along axis ", axis, ": spacing ", mask.spacing_mm[axis], " mm (image ", spacing_mm, "), origin ", mask.origin_mm[axis],
                       " mm (image ", image.origin_mm[axis], "), cosine between the axes ", cosine),
                "resample it on the image's grid");
    }
  }
}

std::vector<uint8_t> to_labels(const SourceFile& file, const Volume& mask, bool keeps_255) {
  const std::vector<float> stored = values(mask);
  std::vector<uint8_t> labels(static_cast<size_t>(mask.size[0] * mask.size[1] * mask.size[2]));
  const auto channels = static_cast<size_t>(mask.channels);
  float largest = 0;
  bool is_binary = true;
  for (size_t i = 0; i < labels.size(); ++i) {
    const float value = stored[i * channels];
    if (!(value >= 0 && value <= 255) || value != std::floor(value)) fail_mask(file, concat("holds the value ", value), "labels are integers from 0 to 255");
    for (size_t c = 1; c < channels; ++c) {
      if (stored[i * channels + c] != value) fail_mask(file, "is a colour picture", "write label numbers into a grey picture");
    }
    largest = std::max(largest, value);
    labels[i] = static_cast<uint8_t>(value);
  }
  for (const uint8_t label : labels) is_binary &= label == 0 || static_cast<float>(label) == largest;
  if (is_picture(file.mask) && is_binary && largest == 255 && !keeps_255) std::replace(labels.begin(), labels.end(), uint8_t{255}, uint8_t{1});
  return labels;
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
  std::error_code ignored;
  if (!fs::exists(file.mask, ignored)) fail_mask(file, "does not exist");
  try {
    if (is_picture(file.mask) || is_volume(file.mask)) {
      const Volume mask = is_picture(file.mask) ? picture_volume(file.mask) : read_volume(file.mask);
      check_grid(file, image, mask);
      return to_labels(file, mask, keeps_255);
    }
    return read_dicom_mask(file.mask, dicom_files(file), image, structures).map;
  } catch (const Error& error) {
    if (std::string_view(error.what()).starts_with(file.path.string())) throw;
    throw Error(error.code(), concat(file.path.string(), ": its mask can't be used: ", error.what()), error.hint());
  }
}

std::vector<std::string> structure_names(const SourceFile& file) {
  return file.mask.empty() || is_picture(file.mask) || is_volume(file.mask) ? std::vector<std::string>{} : dicom_structure_names(file.mask);
}

}  // namespace vmae::io
