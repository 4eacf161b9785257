#pragma once
// Where images come from. A source is a manifest CSV, a folder (searched recursively), or one file; what is found there is a list of images, each a picture, a
// volume or a DICOM series, with its mask, labels and patient where they are known.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "vmae/io/image.h"

namespace vmae::io {

// One picture, one volume (one time point of a 4-D file), or one DICOM series.
struct SourceFile {
  std::filesystem::path path;  // absolute, or relative to the working folder as the user's own path was; of a DICOM series the first file
  std::string name{};          // relative to the manifest or the folder, for messages and sample ids; unique in a source
  std::string patient{};       // from the manifest or DICOM's PatientID; else the name. Never written anywhere as such
  std::string split{};         // from the manifest ("train", "val", "test") or the folders of nnU-Net, or ""

  std::vector<std::filesystem::path> series{};  // DICOM: all files of the series, in the order of its slices; else empty
  int64_t time_point = 0;                       // of a 4-D file
  std::string modality{};                       // DICOM's code (CT, MR, PT, US, DX, ...), "" if not known
  int64_t fold = -1;                            // from the manifest; -1 where there is none
  std::filesystem::path mask{};                 // label map on the image's grid (picture or volume), DICOM RTSTRUCT or SEG; empty: none
  std::vector<float> labels{};                  // one per name in Source::label_names; NaN where unknown. Empty: none
  int64_t prepared_case = -1;                   // of the prepared dataset at `path`; -1: this is a file
};

// Manifest: CSV with a header line (RFC 4180 quoting, comma or semicolon or tab, UTF-8 with or without BOM), column `image`
// (also accepted: image_path, path, file, filename), optional `patient`, `split` (train, val, test or empty);
// other columns (mask, label, fold, modality ...) are left to later commands. Paths relative to the CSV.
// Folder: every picture and volume below it, hidden files and symlink loops skipped, sorted by name so that the order does not depend on the file system.
// A single picture or volume file is a source of one.
// Throws Error(data) with what was found where it is empty, has no image column, or names a file twice.
// A missing file is not an error here: it is quarantined when it is read.
std::vector<SourceFile> list_source(const std::filesystem::path& source);

}  // namespace vmae::io
