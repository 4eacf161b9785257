#pragma once
// The images that a DICOM segmentation is written for, and what is referred to of them.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "../header.h"
#include "../series/stacks.h"
#include "vmae/dicom/seg_write.h"

namespace vmae::io {

struct SegSource {
  DicomFile first;
  DicomHeader header;               // of the first file
  std::vector<SourceSlice> slices;  // in the order of z
  // each slice lies in a plane of its own, all parallel: frames are found by place, else by what they were made from
  bool has_places = false;
};

// `files` and `volume` as read_dicom takes them. Throws Error(data): no image, or one without UIDs.
SegSource read_seg_source(std::span<const std::filesystem::path> files, std::optional<int64_t> volume);

// What an object depends on, as a text.
std::string seed_of(const SegSource& source, std::span<const uint8_t> labels, const DicomSegDescription& description);

}  // namespace vmae::io
