#pragma once
// What the masks of a dataset hold, looked at once before training:
// mistakes show at once, with the case's name, and not after hours.
#include <array>
#include <cstdint>
#include <vector>

#include "vmae/cases/label_meaning.h"
#include "vmae/data/dataset.h"

namespace vmae::data {

struct LabelCensus {
  // of each mask value, on the grid of the files; after in_classes() of each class
  io::LabelCounts num_pixels{};
  std::array<int64_t, 256> first_sample{};  // where each value occurs first; -1: nowhere
  // per sample: the values other than 0 that its mask holds, with their pixels
  std::vector<std::vector<std::pair<uint8_t, int64_t>>> samples;
  // per sample: holds a value other than 0 and ignore_label
  std::vector<bool> has_foreground;
  // per sample: its image or mask can't be used, so nothing is counted of it
  std::vector<bool> is_unusable;
  int64_t num_with_foreground = 0, num_unusable = 0;  // samples
};

// Reads every mask, in parallel. ignore_label: -1 where there is none. Files whose image or mask can't be read,
// or whose mask lies on another grid, are quarantined. Throws Error(data) when the quarantine's limit is passed.
LabelCensus take_census(const Dataset& dataset, int64_t ignore_label);

// Adds what a census found; values are named by their first sample.
void add_facts(const LabelCensus& census, const Dataset& dataset, io::LabelFacts& facts);

// The census with classes in the place of values.
LabelCensus in_classes(LabelCensus census, const io::LabelMeaning& meaning);

}  // namespace vmae::data
