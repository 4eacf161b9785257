#pragma once
// dataset.json of nnU-Net, version 1 and 2 (https://github.com/MIC-DKFZ/nnUNet, documentation/dataset_format.md,
// region_based_training.md, ignore_label.md), and of the Medical Segmentation Decathlon (medicaldecathlon.com).
// Numbers may be texts ("1"), and maps may go either way ({"liver": 1} or {"1": "liver"}).
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"

namespace vmae::io {

struct DatasetJson {
  // "labels". A region is a list of values; one that holds a single value names
  // it. A value without a name of its own (gaps, parts of regions) is "label N".
  std::vector<std::string> mask_names;  // of mask values 1, 2, ... up to the highest that is named, without "ignore"
  int64_t ignore_label = -1;            // of the name "ignore": higher than all others
  std::vector<LabelRegion> regions;     // of two values or more, in the file's order; values ascend

  // "regions_class_order" gives a region a value that it does not hold:
  // nnU-Net's predictions number their voxels differently than the masks.
  bool predicts_other_numbers = false;

  // "channel_names", or version 1's "modality", as written; "" where one has no name
  std::vector<std::string> channels;
  std::string file_ending;           // in lower case, with its dot; "" if there is none
  int64_t num_training = -1;         // "numTraining"; -1 if there is none
  int64_t num_labels = 0;            // entries of "labels": the background, regions and "ignore" count
  std::string reader_writer;         // "overwrite_image_reader_writer"; "" if there is none
  std::vector<std::string> remarks;  // what is odd and was dealt with

  // Images with their mask: "training" and "validation" (lists),
  // "test", and nnU-Net's "dataset" (by case). Paths as written.
  struct Entry {
    std::string name;                 // of the case, where it has one
    std::vector<std::string> images;  // one per channel
    std::string mask;                 // or ""
    int64_t fold = -1;
  };
  std::vector<Entry> training, validation, test, by_case;
};

// Throws Error(data) that names the file and the key: not JSON, not UTF-8, a key that stands
// there twice, labels of no meaning (no integers from 0 to 255, two names of a value, a
// background that is not 0, an "ignore" that is not the highest), entries without an image.
DatasetJson read_dataset_json(const std::filesystem::path& file);

// Whether it names images at all ("training", "dataset"): other programs
// write files of this name too. Throws Error(data) where it is not JSON.
bool lists_images(const std::filesystem::path& file);

}  // namespace vmae::io
