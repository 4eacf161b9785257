#include "vmae/runs/plan_command.h"

#include <algorithm>
#include <ostream>
#include <set>

#include "vmae/cases/class_names.h"
#include "vmae/cases/label_meaning.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/nnunet/planner.h"
#include "vmae/nnunet/plans.h"
#include "vmae/runs/plan_data.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

constexpr const char* kFingerprintName = "dataset_fingerprint";

// To six digits, as concat() prints numbers.
template <class Values>
std::string by_text(const Values& values) {
  std::vector<std::string> parts;
  for (const auto& value : values) parts.push_back(concat(value));
  return join(parts, " x ");
}

void print_line(std::ostream& out, const std::string& name, const std::string& text) {
  constexpr size_t kWidth = 16;
  out << "  " << name << std::string(kWidth - std::min(kWidth - 1, name.size()), ' ') << text << "\n";
}

void print_data(std::ostream& out, const PlanData& data) {
  print_line(out, "cases",
             concat(data.dataset.num_training, ", ", data.num_without_foreground, " of them without foreground"));
  std::vector<std::string> labels{"background"};
  for (size_t i = 0; i < data.class_names.size(); ++i) {
    const bool is_nameless = data.class_names[i] == io::nameless_label(static_cast<int64_t>(i) + 1);
    if (!is_nameless || data.region_names.empty()) labels.push_back(data.class_names[i]);  // else a part of regions
  }
  if (data.has_ignore) labels.emplace_back("ignore");
  print_line(out, "labels", join(labels, ", "));
  if (!data.region_names.empty()) print_line(out, "regions", join(data.region_names, ", "));
  print_line(out, "after the crop",
             concat(data.fingerprint.median_relative_size_after_cropping * 100, " % of a case are left (median)"));
}

// `names`: of the channels; empty: not known.
void print_plan(std::ostream& out, const nnunet::Plans& plans, const std::vector<std::string>& names) {
  const nnunet::Configuration& flat = plans.flat;
  print_line(out, "median case",
             concat(by_text(plans.median_shape), " voxels of ", by_text(plans.median_spacing), " mm; slices across ",
                    nnunet::slice_axis_of(plans)));
  print_line(out, "pixels", concat(by_text(flat.spacing), " mm; median slice ", by_text(flat.median_size)));
  for (size_t i = 0; i < flat.normalization.size(); ++i) {
    const nnunet::Intensities& channel = plans.channels[i];
    print_line(out, concat("channel ", i),
               concat(i < names.size() && !names[i].empty() ? names[i] + ": " : "", flat.normalization[i],
                      flat.use_mask[i] ? " within the non-zero part" : "", "; foreground ", channel.mean, " +- ",
                      channel.std, ", 0.5 to 99.5 %: ", channel.percentile_00_5, " to ", channel.percentile_99_5));
  }
  print_line(out, "patch", by_text(flat.patch_size));
  print_line(out, "batch", std::to_string(flat.batch_size));
  const nnunet::NetworkPlan& network = flat.network;
  print_line(out, "stages", std::to_string(network.features.size()));
  for (size_t stage = 0; stage < network.features.size(); ++stage)
    print_line(out, "",
               concat(network.features[stage], " features, kernel ", by_text(network.kernels[stage]), ", stride ",
                      by_text(network.strides[stage])));
  print_line(out, "reader", plans.reader_writer);
}

void require_absent(const fs::path& file, bool overwrite) {
  if (fs::exists(file) && !overwrite)
    throw Error(ExitCode::usage, file.string() + " is there already",
                "models may have been trained with it: give another --output, or --overwrite");
}

void make_folder(const fs::path& folder) {
  std::error_code problem;
  fs::create_directories(folder, problem);
  if (problem)
    throw Error(ExitCode::usage, concat(folder.string(), " can't be created: ", problem.message()),
                "give another --output");
}

// Before the work; the folder is made after it, so that work which fails leaves none.
void require_possible(const fs::path& folder) {
  fs::path there = fs::absolute(folder).lexically_normal();
  while (!fs::exists(there) && there != there.root_path()) there = there.parent_path();
  if (!fs::is_directory(there))
    throw Error(ExitCode::usage, concat(folder.string(), " can't be created: ", there.string(), " is no folder"),
                "give another --output");
}

// A plan that is there is printed and written as it is: keys that shape a new one would do nothing.
void require_defaults(PlanConfig config) {
  PlanConfig defaults;
  Options given, standard;
  describe(given, config);
  describe(standard, defaults);
  for (const Option& option : given.all()) {
    if (option.get() != standard.find(option.key)->get())
      throw Error(ExitCode::usage,
                  concat("--from reads a plan as it is, but ", option.key, " is set to ", option.get()),
                  "leave it out, or plan anew: --input PATH");
  }
}

// Of a file NAME.json that is no other file of nnU-Net's in the same folder.
bool is_name_of_a_plan(const std::string& name) {
  constexpr size_t kLongest = 200;  // with endings, also of files that are not yet whole, systems take 255
  const std::set<std::string> taken{"", ".", "..", "dataset", kFingerprintName};
  return !taken.contains(name) && name.find('/') == std::string::npos && name.size() <= kLongest;
}

void check_arguments(const PlanConfig& config, const PlanArguments& arguments) {
  if (arguments.input.empty() == arguments.from.empty())
    throw Error(ExitCode::usage,
                arguments.input.empty() ? "neither --input nor --from is set" : "both --input and --from are set",
                "give the data to plan for: --input PATH; or a plan that is there already: --from FILE");
  if (!arguments.from.empty()) require_defaults(config);
  if (!arguments.from.empty() && !fs::is_regular_file(arguments.from))
    throw Error(ExitCode::data, concat("--from is ", arguments.from.string(), ", which is no file"),
                "give nnUNetPlans.json, which nnU-Net and --output write");
  if (config.plan.splits.empty() && config.plan.label_fraction != 100)
    throw Error(
        ExitCode::usage,
        concat("plan.label_fraction = ", config.plan.label_fraction, " chooses from plan.splits, which is not set"),
        "give the file of `vmae split`: plan.splits=splits.json");
  if (!config.plan.splits.empty() && !fs::is_regular_file(config.plan.splits))
    throw Error(ExitCode::data, concat("plan.splits = ", config.plan.splits, " is no file"),
                "make it with `vmae split`");
  for (const std::string& remark : io::check_class_names(config.plan.classes, "plan.classes", ExitCode::usage))
    log::warning(remark);
  io::label_meaning({.names = config.plan.classes,
                     .values = config.plan.label_values,
                     .ignore = config.plan.ignore_label,
                     .section = "plan"},
                    {});  // throws before cases are read
  if (!is_name_of_a_plan(config.plan.name))
    throw Error(ExitCode::usage, "plan.name is '" + config.plan.name + "', which is no name of a file for a plan",
                "plan.name=nnUNetPlans");
}

nnunet::Plans read_plans_to_write(const fs::path& file) {
  nnunet::Plans plans = nnunet::read_plans(file);
  if (!is_name_of_a_plan(plans.plans_name))
    fail_file(file, concat("\"plans_name\" is \"", plans.plans_name, "\", which is no name of a file for a plan"),
              "nnU-Net's own is nnUNetPlans");
  return plans;
}

void warn_of_flat_slices(const nnunet::Configuration& flat) {
  const auto [height, width] = flat.patch_size;
  if (height > 1 && width > 1) return;
  log::warning(concat("slices of this plan are one pixel ", height == 1 ? "high" : "wide", ": ",
                      by_text(flat.patch_size),
                      " pixels, as they lie across the axis with the largest spacing. See whether the spacing in the ",
                      "files is right"));
}

}  // namespace

void describe(Options& options, PlanOptions& plan) {
  options.add("gpu_memory_gb", plan.gpu_memory_gb,
              "GPU memory in GB that the plan is made for: patch and batch grow with it", in_range(1, 1000));
  options.add("foreground_voxels", plan.foreground_voxels,
              "foreground voxels that are drawn of all cases together for the statistics of intensities, 4 bytes of "
              "memory each and per channel. nnU-Net's number is the default",
              in_range(1000, 1e9));
  options.add("channel_names", plan.channel_names,
              "names of the channels, which decide how they are normalised: CT, noNorm, rescale_to_0_1, rgb_to_0_1; "
              "all others: z-score. Empty: dataset.json's, the manifest's, or the modality");
  options.add("name", plan.name, "name of the plan and of its file");
  options.add("classes", plan.classes, "names of the classes 1, 2, ..., as data.classes of finetune-seg");
  options.add("label_values", plan.label_values,
              "mask values of the classes 1, 2, ..., as in [128, 255]: as data.label_values of finetune-seg",
              in_range(1, 255));
  options.add("ignore_label", plan.ignore_label,
              "mask value of voxels that count nowhere; -1: the one that the dataset names, else none",
              in_range(-1, 255));
  options.add(
      "splits", plan.splits,
      "file of `vmae split`: the plan is made of the cases that train or validate in any of its folds. Empty: of "
      "all cases with a mask that are not marked as test");
  options.add("label_fraction", plan.label_fraction,
              "of splits: percent of the training part, one of the file's fractions, or 100", in_range(1, 100));
  options.add("workers", plan.workers, "threads that read cases; 0: as many as affinity and cgroup allow",
              in_range(0, 1024));
}

void describe(Options& options, PlanConfig& config) {
  options.section("plan", "nnU-Net's plan of a dataset", config.plan);
}

void plan(const PlanConfig& config, const PlanArguments& arguments, std::ostream& out) {
  check_arguments(config, arguments);
  const bool is_new = arguments.from.empty();
  nnunet::Plans plans;
  if (!is_new) plans = read_plans_to_write(arguments.from);
  const std::string name = is_new ? config.plan.name : plans.plans_name;
  const fs::path plans_file = arguments.output / (name + ".json"),
                 fingerprint_file = arguments.output / concat(kFingerprintName, ".json");
  if (!arguments.output.empty()) {
    require_absent(plans_file, arguments.overwrite);
    if (is_new) require_absent(fingerprint_file, arguments.overwrite);
    require_possible(arguments.output);
    if (fs::exists(plans_file)) nnunet::keep_other_configurations(plans_file, plans);
  }
  PlanData data;
  if (is_new) {
    data = read_plan_data(arguments.input, config.plan);
    const std::string rest = plans.rest;
    plans = nnunet::plan(data.dataset, data.fingerprint, {config.plan.gpu_memory_gb, name});
    plans.rest = rest;
    warn_of_flat_slices(plans.flat);
  }
  out << "nnU-Net's 2D configuration of " << plans.dataset_name << "\n";
  if (is_new) print_data(out, data);
  print_plan(out, plans, data.dataset.channel_names);
  out << std::flush;
  if (arguments.output.empty()) return;
  make_folder(arguments.output);
  if (is_new) nnunet::write_fingerprint(fingerprint_file, data.fingerprint);
  nnunet::write_plans(plans_file, plans);
  log::info("written to " + arguments.output.string());
}

}  // namespace vmae::run
