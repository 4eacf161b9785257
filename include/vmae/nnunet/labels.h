#pragma once
// What the numbers of masks mean to nnU-Net's networks (its LabelManager): classes that exclude each other, of which
// the network has a softmax, or regions that may overlap, each with a sigmoid of its own.
#include <cstdint>
#include <string>
#include <vector>

namespace vmae::nnunet {

constexpr uint8_t kIgnoredLabel = 255;  // in masks of ours, whatever number the dataset gives to what is ignored

struct LabelEntry {
  std::string name;
  std::vector<int64_t> values;  // of a class one
  bool operator==(const LabelEntry&) const = default;
};

// The "labels" of dataset.json.
struct Labels {
  std::vector<LabelEntry> foreground;  // classes or regions, in the file's order
  std::vector<int64_t> region_order;   // "regions_class_order": the number that each region is painted with, in turn
  bool has_ignore = false;             // voxels of kIgnoredLabel count nowhere; in files the number behind all others
  bool has_regions() const { return !region_order.empty(); }
  // of the network: regions, or classes and the background
  int64_t num_heads() const { return static_cast<int64_t>(foreground.size()) + (has_regions() ? 0 : 1); }
  bool operator==(const Labels&) const = default;
};

// Of classes 1, 2, ...
Labels labels_of_classes(const std::vector<std::string>& names, bool has_ignore);

}  // namespace vmae::nnunet
