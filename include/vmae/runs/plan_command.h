#pragma once
// `vmae plan`: nnU-Net's fingerprint and plan of a dataset, from whatever the other commands read.
#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

#include "vmae/core/options.h"
#include "vmae/nnunet/fingerprint.h"

namespace vmae::run {

struct PlanOptions {
  double gpu_memory_gb = 8;
  int64_t foreground_voxels = nnunet::kForegroundVoxels;
  std::vector<std::string> channel_names;  // empty: as the source says
  std::string name = "nnUNetPlans";
  std::vector<std::string> classes;  // as data.classes, data.label_values and data.ignore_label of finetune-seg
  std::vector<int64_t> label_values;
  int64_t ignore_label = -1;
  std::string splits;  // a file of `vmae split`
  int64_t label_fraction = 100;
  int64_t workers = 0;
};
void describe(Options& options, PlanOptions& plan);

struct PlanConfig {
  PlanOptions plan;
};
void describe(Options& options, PlanConfig& config);

struct PlanArguments {
  std::filesystem::path input, output;  // output: a folder; empty: nothing is written
  std::filesystem::path from;           // a plan that is there, in the place of input
  bool overwrite = false;
};

// Prints the plan. Writes dataset_fingerprint.json and NAME.json, or with `from` that plan alone; a plan that is there
// keeps its other configurations. Throws Error(usage): files are there and not to be overwritten, keys that `from` has
// no use for; Error(data) naming the case: no masks, no foreground, images that can't be read.
void plan(const PlanConfig& config, const PlanArguments& arguments, std::ostream& out);

}  // namespace vmae::run
