#pragma once
// Where images come from. A source is a manifest CSV, a folder (searched
// recursively), or one file; what is found there is a list of images, each a picture,
// a volume or a DICOM series, with its mask, labels and patient where they are known.
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"
#include "vmae/core/error.h"

namespace vmae::io {

struct Source {
  // manifest, nnunet, decathlon, image_mask_folders, dicom, class_folders, files
  std::string layout;
  std::vector<SourceFile> files;         // in an order that depends on their names only
  std::vector<std::string> label_names;  // classes (sorted), or findings (columns)
  bool is_multi_label = false;           // findings: each label is 0 or 1 by itself; else one of the classes is 1
  // of cases of several images, in their order; "" where one has none. Empty: every case is one image
  std::vector<std::string> channel_names;
  std::vector<std::string> mask_names;  // of mask values 1, 2, ... where they are known
  // the mask value that is no class and counts nowhere, where the source names one; -1: none
  int64_t ignore_label = -1;
  std::vector<LabelRegion> regions;   // unions of mask values that the source names besides; in its order
  std::vector<SourceRemark> refused;  // DICOM files that are no image or can't be read
  std::vector<SourceRemark> remarks;  // oddities that were dealt with
  // texts of DICOM headers that identify patients: to be removed from whatever is written
  std::vector<std::string> identifying;
};

// A folder in which there is no image that can be used.
struct NoImages : Error {
  using Error::Error;
};

// layout: auto, or one of those above. findings: the columns of a manifest, or the findings of a
// prepared dataset, that are labels, in this order; or the one column of a manifest that holds classes:
// words that are neither numbers nor yes and no. Empty: as below. Throws Error(usage) where a source
// has no such column, or none at all, naming those that it has. Prepared: a dataset of `vmae prepare`;
// its cases, without those that failed. Manifest (a .csv or .tsv, or a folder whose only one it is):
// header line (csv.h), column `image` (also accepted: image_path, path, file, filename), optional
//   `mask` (mask_path, segmentation; or `label` where its cells are paths), `label` (a class:
//   class_names.h), patient (patients.h), split (train, val, test or empty), fold (integer), modality.
//   Every other column whose cells are all 0, 1, -1 (unknown) or empty is a finding. Paths relative to
//   it. Several columns image:NAME (image:T1, image:FLAIR) instead of `image`: the channels of a case.
// nnU-Net raw (dataset.json, imagesTr, labelsTr, imagesTs; CASE_0000.ext, CASE_0001.ext are the channels of a case),
// Medical Segmentation Decathlon (dataset_json.h; channels are a list of files, or the volumes of a 4-D file),
//   a folder `images` beside one `labels` or `masks` with equal file names (file_name.h).
// DICOM: found by content, grouped into series; RTSTRUCT and SEG become the masks of the series they
// belong to. Class folders: pictures only, in 2 to 20 folders of one level with at least 10 on average,
// whose names have fewer digits than letters (folders named by patients are no classes). Files: every
// picture and volume below the folder. Hidden files and symlink loops are skipped. Throws NoImages with
// what was found where nothing is usable; Error(data) where the manifest has no image column, text is
// not UTF-8, a file is named twice, or image and mask are not one to one. A missing file is not an
// error here: it is quarantined when it is read. Names that are not UTF-8 are escaped (utf8_text.h).
Source find_source(const std::filesystem::path& source, const std::string& layout = "auto",
                   const std::vector<std::string>& findings = {});

// What a folder holds, gathered by a walk that enters every real folder once. In the
// order of names; without hidden files, and folders that a Synology disk or macOS adds.
struct Listing {
  std::vector<std::filesystem::path> pictures, volumes, dicom;
  std::vector<std::filesystem::path> unreadable;  // folders that can't be listed
  std::map<std::string, int64_t> other_extensions;
  int64_t num_of_pairs = 0;  // of these, files of pairs of .hdr and .img
  bool is_empty() const { return pictures.empty() && volumes.empty() && dicom.empty(); }
};
Listing list_folder(const std::filesystem::path& folder);

std::vector<SourceFile> list_source(const std::filesystem::path& source);  // find_source(source).files

}  // namespace vmae::io
