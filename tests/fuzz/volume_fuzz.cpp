// NIfTI, NRRD and MetaImage. The extension, by which the reader is chosen, is guessed from the content.
#include "scratch_file.h"
#include "vmae/cases/read_label_map.h"
#include "vmae/core/error.h"
#include "vmae/volume/volume.h"

namespace {

std::string extension_of(std::string_view bytes) {
  if (bytes.starts_with("NRRD")) return ".nrrd";
  if (bytes.starts_with("\x1f\x8b")) return ".nii.gz";
  return bytes.substr(0, 1024).find("NDims") != std::string_view::npos ? ".mha" : ".nii";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes = vmae::test::text_of(data, size);
  const vmae::test::ScratchFile file("input" + extension_of(bytes), bytes);
  try {
    const vmae::io::VolumeHeader header = vmae::io::read_volume_header(file.path());
    for (const int64_t time_point : {int64_t{0}, header.num_time_points - 1}) {
      const vmae::io::Volume volume = vmae::io::read_volume(file.path(), time_point);
      if (volume.size != header.size ||
          volume.stored.size() != static_cast<size_t>(volume.num_values()) * vmae::io::size_of(volume.type))
        std::abort();
    }
  } catch (const vmae::Error&) {
  }
  try {
    const vmae::io::LabelMap map = vmae::io::read_label_map(file.path());
    if (map.labels.size() != static_cast<size_t>(map.size[0] * map.size[1] * map.size[2])) std::abort();
  } catch (const vmae::Error&) {
  }
  return 0;
}
