#pragma once
// What the values in masks mean. Decided here alone, for a whole dataset at once, from what its author and the
// user say and from what all of its masks hold; training, evaluation and the data card ask here, and prepared
// masks keep the numbers of their files. The rules, in this order (docs/data.md, "What a mask means"):
//   1. 0 is the background.
//   2. The ignored value (data.ignore_label, else the dataset's own "ignore")
//      is no class and counts nowhere, neither in a loss nor in a metric.
//   3. Where data.label_values lists values, these are the classes
//      1, 2, ... in that order, and any other value is an error.
//   4. Where all masks together hold no value but 0 and 255 and at most one
//      class is named, 255 is class 1: a binary mask that was drawn to be seen.
//   5. Else value k is class k. With names, a value beyond them is an error. Without, there are as many classes as the
//      largest value; values that are far apart (128 and 255; 2, 41 and 77) are an error, as they are no numbering.
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"

namespace vmae::io {

using LabelCounts = std::array<int64_t, 256>;  // voxels, or pixels, of each mask value

LabelCounts count_labels(const uint8_t* labels, size_t size);

// What the masks of a dataset hold.
struct LabelFacts {
  LabelCounts voxels{};
  std::array<std::string, 256> first{};  // what holds the value first, in the order of add(): "the mask of case3"
  int64_t num_masks = 0;
  void add(const LabelCounts& counts, const std::string& name);
};

// What is said about them. option: how the user says it in this command, for messages.
struct LabelRules {
  std::vector<std::string> names{};  // of classes 1, 2, ...; empty: not known
  // what the dataset calls the values 1, 2, ...: the names where there are no others.
  // Beside others, which are the user's: other words are fine, exchanged ones an error
  std::vector<std::string> own_names{};
  std::vector<int64_t> values{};  // of classes 1, 2, ... in the files; empty: not said
  int64_t ignore = -1;            // value in the files; -1: none
  // messages name --label-values and --ignore-label instead of data.label_values and data.ignore_label
  bool is_command_line = false;
  std::string section = "data";  // else of the keys
};

// Rule 2; each -1: none said.
constexpr int64_t ignored_value(int64_t by_the_user, int64_t by_the_dataset) {
  return by_the_user >= 0 ? by_the_user : by_the_dataset;
}

// What own_names, which are those of the values 1, 2, ..., call the classes of
// rules.values in their order; a value without a name is called by its number.
std::vector<std::string> names_of_classes(const std::vector<std::string>& own_names,
                                          const std::vector<int64_t>& values);

// Labels after class_of: 0 background, 1 ... names.size() classes, kIgnored.
constexpr uint8_t kIgnored = 255;

struct LabelMeaning {
  // of classes 1, 2, ...: as said, else their values in the files; empty: no mask has any foreground
  std::vector<std::string> names;
  int64_t ignore = -1;                  // kIgnored, or -1 where nothing is ignored
  std::array<uint8_t, 256> class_of{};  // of each value
  std::vector<std::string> rules;       // which were applied, in words: for the log and the data card
  bool keeps_values = true;             // class_of changes nothing that any mask holds

  void apply(uint8_t* labels, size_t size) const;
};

// "region core is wherever a mask holds 2 or 3", of each; how_learnt: of a training, added to it.
std::vector<std::string> region_rules(const std::vector<LabelRegion>& regions, const std::string& how_learnt = "");

// Throws Error(usage) where the rules contradict each other (a value listed twice, 0 or the ignored value as a
// class, another number of names than values, a name for another class than the dataset gives it to), Error(data)
// naming the mask and the value where a mask holds what is no class, or numbers that are no numbering.
LabelMeaning label_meaning(const LabelRules& rules, const LabelFacts& facts);

}  // namespace vmae::io
