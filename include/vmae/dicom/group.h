#pragma once
// DICOM files into series, and which masks were drawn on them. No identifying value ever enters a message.
#include <filesystem>
#include <string>
#include <vector>

#include "vmae/dicom/kinds.h"
#include "vmae/image/image.h"

namespace vmae::io {

// One volume's worth of slices: same patient, study and series, geometry, pixel format and time point, sorted
// along the normal of the slices. What lies at one place is told apart by the tags and dimension indices that
// say how (time point, acquisition, echo, b-value, ...), in single images and in the frames of a file alike.
struct DicomSeries {
  // in the order of z; a multi-frame file is one or several series of its own
  std::vector<std::filesystem::path> files;
  int64_t volume = 0, num_volumes = 1;  // which of those in the multi-frame file
  // of DicomTree::masks, those that were drawn on these images, by file name; of several none can be preferred
  std::vector<size_t> masks{};
  std::string series_uid;  // to match masks; not written
  std::string patient;     // PatientID (with its issuer), or ""; to be hashed, never written
  std::string modality;
  VolumeHeader header;
  std::vector<std::string>
      // what is odd and was dealt with: "3 slices are missing: ...", "2 duplicates
      // left out", "gantry tilt of 12.5 degrees", "mixed geometry: ..."
      remarks;
};

struct DicomMask {
  std::filesystem::path path;
  DicomKind kind = DicomKind::rtstruct;
  std::vector<std::string> series_uids;  // of the images it was drawn on; empty if it does not say
  std::string frame_of_reference_uid;
  std::string patient;
  // why it is a mask of none of the series here: they are another
  // patient's, it does not say which, ...; "" if it is of one
  std::string problem;
};

struct DicomRefusal {
  std::filesystem::path path;
  std::string reason;  // names neither path nor patient
};

struct DicomTree {
  std::vector<DicomSeries> series;  // in an order that depends on the files' names only
  std::vector<DicomMask> masks;
  std::vector<DicomRefusal> refused;  // what is no image, or can't be read
  // Identifying texts found (names, ids, birth dates, accession numbers, ...): for redacting paths. Never written.
  std::vector<std::string> identifying;
};

// Reads all headers (in parallel, without pixel data) and groups them. `files` in any order.
DicomTree group_dicom(const std::vector<std::filesystem::path>& files);

}  // namespace vmae::io
