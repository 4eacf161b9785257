#pragma once
// A case as a source lists it: where its image, its further channels and its mask are, and what is known of it.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace vmae::io {

// One picture, one volume (one time point of a 4-D file), or one DICOM series.
struct SourceFile {
  // absolute, or relative to the working folder as the user's own path was; of a DICOM series the first file
  std::filesystem::path path;
  // relative to the manifest or the folder, for messages and sample ids; unique in a source
  std::string name{};
  std::string patient{};  // from the manifest or DICOM's PatientID; else the name. Never written anywhere as such
  std::string split{};    // from the manifest ("train", "val", "test") or the folders of nnU-Net, or ""

  // DICOM: all files of the series, in the order of its slices; else empty
  std::vector<std::filesystem::path> series{};
  int64_t time_point = 0;  // of a 4-D file
  std::string modality{};  // DICOM's code (CT, MR, PT, US, DX, ...), "" if not known
  int64_t fold = -1;       // from the manifest; -1 where there is none
  // label map on the image's grid (picture or volume), DICOM RTSTRUCT or SEG; empty: none
  std::filesystem::path mask{};
  std::vector<float> labels{};  // one per name in Source::label_names; NaN where unknown. Empty: none
  int64_t prepared_case = -1;   // of the prepared dataset at `path`; -1: this is a file
  // false: `patient` only keeps together what belongs to one case (patients.h)
  bool is_patient_known = false;
  // further registered images of this case (channels.h), each with path, name, series, time_point and modality
  std::vector<SourceFile> channels{};
};

// What is worth telling about a case or a file, or why it can't be used. `text` names neither a path nor a patient.
struct SourceRemark {
  std::string name;  // relative to the source
  std::string text;
};

// nnU-Net's regions: "whole tumour" is wherever the mask holds any of these values.
struct LabelRegion {
  std::string name;
  std::vector<int64_t> values;
};

}  // namespace vmae::io
