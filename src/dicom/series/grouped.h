#pragma once
// What group_dicom() (vmae/dicom/group.h) knows of a file, and of a volume.
#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

#include "../header.h"
#include "stacks.h"
#include "vmae/dicom/group.h"

namespace vmae::io {

struct Scanned {
  std::filesystem::path path;
  DicomHeader header;
  std::vector<std::string> identifying;
  std::string problem;
};

// What files of one series share. Of a patient the id, and its issuer after a line break.
struct SeriesKey {
  std::string patient, study, series;
  bool operator==(const SeriesKey&) const = default;
  bool operator<(const SeriesKey& other) const {
    return std::tie(patient, study, series) < std::tie(other.patient, other.study, other.series);
  }
};

inline SeriesKey key_of(const DicomHeader& header) { return {header.patient, header.study_uid, header.series_uid}; }

// A volume, and its slices for masks.
struct Grouped {
  SeriesKey key;
  std::string frame_of_reference_uid;
  DicomSeries series;
  std::vector<SourceSlice> slices;
};

}  // namespace vmae::io
