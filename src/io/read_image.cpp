// Pictures and volumes by their extension; DICOM series by their list of files.
#include "vmae/io/read_image.h"

#include <cmath>
#include <cstring>

#include "vmae/core/error.h"
#include "vmae/io/picture.h"
#include "vmae/io/volume.h"

namespace vmae::io {
namespace {

Volume volume_of(const Image& picture) {
  Volume volume;
  volume.size = {picture.width, picture.height, 1};
  volume.channels = picture.channels;
  volume.stored_max = picture.stored_max;
  volume.stored.resize(picture.pixels.size() * sizeof(float));
  std::memcpy(volume.stored.data(), picture.pixels.data(), volume.stored.size());
  return volume;
}

Volume read_path(const std::filesystem::path& path, int64_t time_point) {
  if (is_volume(path)) return read_volume(path, time_point);
  if (is_picture(path)) return volume_of(read_picture(path));
  throw Error(ExitCode::data, concat(path.string(), " is of an unknown type"));
}

}  // namespace

Volume read_image(const SourceFile& file) {
  Volume volume = read_path(file.path, file.time_point);
  if (!file.modality.empty()) volume.modality = file.modality;
  return volume;
}

std::vector<uint8_t> read_mask(const SourceFile& file, const Volume& image) {
  const Volume mask = read_path(file.mask, 0);
  if (mask.size != image.size || mask.channels != 1) throw Error(ExitCode::data, concat(file.mask.string(), ": is not on the grid of its image"));
  const std::vector<float> labels = values(mask);
  std::vector<uint8_t> map(labels.size());
  for (size_t i = 0; i < labels.size(); ++i) {
    if (!(labels[i] >= 0 && labels[i] <= 255) || labels[i] != std::floor(labels[i]))
      throw Error(ExitCode::data, concat(file.mask.string(), ": holds the value ", labels[i]), "labels are whole numbers from 0 to 255");
    map[i] = static_cast<uint8_t>(labels[i]);
  }
  return map;
}

std::optional<VolumeHeader> read_image_header(const SourceFile& file) {
  if (is_volume(file.path)) return read_volume_header(file.path);
  if (is_picture(file.path)) return {};
  throw Error(ExitCode::data, concat(file.path.string(), " is of an unknown type"));
}

}  // namespace vmae::io
