#pragma once
// What the numbers of masks mean to nnU-Net's networks (its LabelManager): classes that exclude each other, of which
// the network has a softmax, or regions that may overlap, each with a sigmoid of its own.
#include <cstdint>
#include <filesystem>
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
  std::vector<LabelEntry> foreground;  // classes 1, 2, ..., or regions in the file's order
  std::vector<int64_t> region_order;   // "regions_class_order": the number that each region is painted with, in turn
  bool has_ignore = false;             // voxels of kIgnoredLabel count nowhere; in files the number behind all others
  bool has_regions() const { return !region_order.empty(); }
  // of the network: regions, or classes and the background
  int64_t num_heads() const { return static_cast<int64_t>(foreground.size()) + (has_regions() ? 0 : 1); }
  bool operator==(const Labels&) const = default;
};

// Of classes 1, 2, ... Throws Error(data): none, more than masks have numbers for.
Labels labels_of_classes(const std::vector<std::string>& names, bool has_ignore);

// "labels" and "regions_class_order" of a dataset.json, as LabelManager reads them; entries of nothing but the
// background are left out. Throws Error(data) naming file and key: no background 0, no foreground, numbers beyond 254,
// classes that are not 1, 2, ..., regions without an order, an "ignore" that is not the highest + 1.
Labels labels_of_json(const std::string& dataset_json, const std::filesystem::path& for_messages);

// A dataset.json. reader_writer: "overwrite_image_reader_writer", left out where empty.
// Throws Error(data): names that the file can't have.
std::string dataset_json_text(const Labels& labels, const std::vector<std::string>& channel_names, int64_t num_training,
                              const std::string& file_ending, const std::string& reader_writer);

// Numbers of n voxels from the network's output, num_heads() x n: the class of the highest logit, the first of equal
// ones; or region over region, in their order, where the logit is above 0.
void paint(const Labels& labels, const float* logits, int64_t n, uint8_t* numbers);

}  // namespace vmae::nnunet
