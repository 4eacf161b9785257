#pragma once
// `vmae inspect`: what a file or folder holds.
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <vector>

#include "vmae/runs/names.h"

namespace vmae::run {

struct InspectArguments {
  std::filesystem::path path;
  bool as_json = false;
  bool all_keys = false;              // of weights: every key with its shape
  bool verify = false;                // of a prepared dataset: read everything and compare the digest
  std::filesystem::path png;          // contact sheet of images; empty: none
  std::filesystem::path card;         // of labelled images: folder for a data card; empty: none
  std::vector<int64_t> label_values;  // of the card: as data.label_values
  int64_t ignore_label = -1;          // of the card: as data.ignore_label
  std::filesystem::path npy;          // stored numbers of one image; empty: none
  // of a prepared dataset: what it was made from, to name on the
  // screen the files of its cases, and those that were left out
  NameArguments names;
};

// What is in a prepared dataset, a checkpoint, a weights file, a run folder, or anything that `vmae prepare` reads.
// Throws Error where the path can't be looked at, or where it holds no images for what is asked of them.
void inspect(const InspectArguments& arguments, std::ostream& out);

// --card: writes the data card of a source, prepared or not, which is sampled as in training: with LibTorch.
void inspect_card(const InspectArguments& arguments);

}  // namespace vmae::run
