#pragma once
// nnU-Net's ExperimentPlanner, version 2.8.1, for its 2D configuration: from a fingerprint to a plan.
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "vmae/nnunet/plans.h"

namespace vmae::nnunet {

// What dataset.json says, or would say.
struct DatasetFacts {
  std::string name;
  std::vector<std::string>
      channel_names;         // CT, noNorm, zscore, rescale_to_0_1 and rgb_to_0_1 in any case mean something
  int64_t num_labels = 2;    // entries of "labels": the background, regions and "ignore" count
  int64_t num_training = 0;  // cases
  std::string reader_writer = "SimpleITKIO";
};

struct PlannerOptions {
  double gpu_memory_gb = 8;
  std::string plans_name = "nnUNetPlans";
};

// Throws Error(data): slices too small to be halved once, as many channels as the fingerprint has not.
Plans plan(const DatasetFacts& dataset, const Fingerprint& fingerprint, const PlannerOptions& options);

// Of a channel of this name: CTNormalization, ...; of names that mean nothing ZScoreNormalization.
std::string normalization_of(const std::string& channel_name);
bool names_a_normalization(const std::string& channel_name);
// `name`, or where it would not be normalised so, the channel name that is.
std::string channel_name_for(const std::string& normalization, const std::string& name);

// How many numbers the feature maps of one image hold, as nnU-Net counts them: all convolutions, the transposed ones
// and the head of the highest resolution.
int64_t feature_map_size(const NetworkPlan& network, const std::array<int64_t, 2>& patch_size, int64_t num_labels);

}  // namespace vmae::nnunet
