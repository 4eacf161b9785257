#pragma once
// nnU-Net's plan of a dataset: nnUNetPlans.json of version 2.8.1, with its 2D configuration. Axes as in fingerprint.h,
// those of slices after the transposition: rows, columns.
#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "vmae/nnunet/fingerprint.h"

namespace vmae::nnunet {

// PlainConvUNet: per stage, from the highest resolution to the bottleneck.
struct NetworkPlan {
  std::vector<int64_t> features;
  std::vector<std::array<int64_t, 2>> kernels;
  std::vector<std::array<int64_t, 2>> strides;  // of the first convolution of a stage; {1, 1} in the first
  std::vector<int64_t> convs_encoder;
  std::vector<int64_t> convs_decoder;  // one stage less
  bool operator==(const NetworkPlan&) const = default;
};

// resample_data_or_seg_to_shape and what it is called with.
struct Resampling {
  bool is_seg = false;
  int64_t order = 3, order_z = 0;
  std::optional<bool> force_separate_z{};  // empty: as the spacings say
  bool operator==(const Resampling&) const = default;
};

struct Configuration {
  std::string data_identifier;
  std::string preprocessor = "DefaultPreprocessor";
  int64_t batch_size = 0;
  std::array<int64_t, 2> patch_size{};
  std::array<double, 2> median_size{}, spacing{};
  std::vector<std::string> normalization;  // of each channel: CTNormalization, ...
  std::vector<bool> use_mask;              // of each channel: normalised where the image is not 0 alone
  Resampling data{false, 3, 0, {}}, seg{true, 1, 0, {}}, probabilities{false, 1, 0, {}};
  NetworkPlan network;
  bool batch_dice = true;
  bool operator==(const Configuration&) const = default;
};

struct Plans {
  std::string dataset_name, plans_name = "nnUNetPlans";
  std::array<double, 3> median_spacing{};  // after the transposition
  std::array<int64_t, 3> median_shape{};   // likewise
  std::string reader_writer;
  std::array<int64_t, 3> transpose_forward{0, 1, 2}, transpose_backward{0, 1, 2};
  Configuration flat;  // "2d"
  std::string planner = "ExperimentPlanner", label_manager = "LabelManager";
  std::vector<Intensities> channels;
  // What the file held that this was read from, as JSON: other configurations and keys. Written back with the plans.
  std::string rest;
};

// x, y or z: across which axis of a volume its slices lie.
std::string slice_axis_of(const Plans& plans);

// Also of older versions of nnU-Net, which name their network's parts otherwise, and configurations that inherit from
// others. Throws Error(data) naming file and key: no JSON, a key that is missing or has no meaning, a network or a way
// of resampling that is not nnU-Net's own (PlainConvUNet with instance norm and leaky ReLU).
Plans read_plans(const std::filesystem::path& file);
Plans plans_of_json(const std::string& text, const std::filesystem::path& for_messages);  // of such a file's text
// Configurations of the plan in `file`, but for 2d and for those that `plans` has itself, become those of `plans` too,
// as nnU-Net does it where it plans again.
// Throws Error(data) where that file is no plan.
void keep_other_configurations(const std::filesystem::path& file, Plans& plans);
void write_plans(const std::filesystem::path& file, const Plans& plans);
std::string plans_json(const Plans& plans);  // what the file holds

}  // namespace vmae::nnunet
