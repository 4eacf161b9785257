#pragma once
// What the masks of a dataset hold, looked at once before training: mistakes show at once, with the case's name, and not after hours.
#include <array>
#include <cstdint>
#include <vector>

#include "vmae/data/dataset.h"

namespace vmae::data {

struct LabelCensus {
  std::array<int64_t, 256> num_pixels{};    // of each mask value, on the grid of the files
  std::array<int64_t, 256> first_sample{};  // where each value occurs first; -1: nowhere
  std::vector<bool> has_foreground;         // per sample: holds a value other than 0 and ignore_label
  int64_t num_with_foreground = 0;          // samples
  int64_t num_classes = 0;                  // the largest value other than ignore_label, plus 1
};

// Reads every mask, in parallel. ignore_label: -1 where there is none. Files whose image or mask can't be read, or whose mask lies on another grid, are
// quarantined. Throws Error(data) when the quarantine's limit is passed.
LabelCensus take_census(const Dataset& dataset, int64_t ignore_label);

// Throws Error(data) naming the sample and the value if a mask holds a value that is neither below num_classes nor ignore_label.
void check_labels(const LabelCensus& census, const Dataset& dataset, int64_t num_classes, int64_t ignore_label);

}  // namespace vmae::data
