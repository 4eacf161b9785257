#include "seg_source.h"

#include <set>

#include "../series/geometry.h"
#include "vmae/core/error.h"
#include "vmae/core/hash.h"

namespace vmae::io {

SegSource read_seg_source(std::span<const std::filesystem::path> files, std::optional<int64_t> volume) {
  SegSource source;
  for (const std::filesystem::path& path : files) {
    const DicomFile file = open_dicom(path);
    const DicomHeader header = read_dicom_header(file);
    if (source.slices.empty()) {
      source.first = file;
      source.header = header;
    }
    if (header.sop_class.empty() || header.sop_instance_uid.empty())
      fail_file(path, "has no SOP class or instance UID, which a DICOM segmentation refers to");
    add_slices(header, frames_of(header, volume, path), source.slices);
  }
  source.has_places = lie_apart(source.slices);
  if (source.has_places) return source;
  std::set<std::string> references;
  for (const SourceSlice& slice : source.slices) {
    if (!references.insert(concat(slice.sop_instance, '/', slice.frame_number)).second)
      fail_file(files[0],
                "is of a series whose images have the same UID and no place of their own, so a segmentation can't "
                "tell them apart");
  }
  return source;
}

std::string seed_of(const SegSource& source, std::span<const uint8_t> labels, const DicomSegDescription& description) {
  Sha256 hash;
  const auto add = [&](const std::string& text) { hash.add(concat(text.size(), ' ', text)); };
  for (const SourceSlice& slice : source.slices) add(concat(slice.sop_instance, ' ', slice.frame_number));
  for (const std::string& name : description.class_names) add(name);
  for (const std::string* text :
       {&description.algorithm_name, &description.algorithm_version, &description.series_description})
    add(*text);
  hash.add(labels.data(), labels.size());
  return hex(hash.finish());
}

}  // namespace vmae::io
