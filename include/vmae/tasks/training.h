#pragma once
// What `vmae pretrain`, `finetune-seg` and `finetune-cls` have in common: options, arguments, and the way from datasets and a model to a finished run.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "vmae/core/config.h"
#include "vmae/core/error.h"
#include "vmae/data/dataset.h"
#include "vmae/pictures/data_card.h"
#include "vmae/runs/split.h"
#include "vmae/runs/training_options.h"
#include "vmae/train/fit.h"
#include "vmae/train/run_folder.h"

namespace vmae::run {

struct TrainArguments {
  train::IfExists if_exists = train::IfExists::refuse;
  bool dry_run = false;
  std::string command_line;       // for env.json
  bool says_in_channels = false;  // model.in_channels is what the user wants; else it is the number of channels where cases have several
};

struct Datasets {
  SourceSplits splits;  // of which `split` has the files
  TrainVal split;
  std::shared_ptr<data::Dataset> train, val;    // val may be null
  std::vector<std::string> volume_rules;        // of the files that train (data/modality.h)
  int64_t in_channels = 0;                      // of the network's input
  std::vector<std::string> channel_names;       // where cases have several channels, which are stacked; "" where one has no name. Else empty
  std::vector<std::string> channel_modalities;  // of each of them; "" where it is not known or differs
  std::string slice_axis = "auto";              // of the volumes that train; auto: there are none, or its sources have several
};

// A run that has begun: all ranks are there; its folder is locked and its log open. The folder is rank 0's alone, and there is none in a dry run.
struct Session {
  Session(const RunOptions& options, const TrainArguments& arguments, const std::string& command, train::World& world);
  const RunOptions& options;
  const TrainArguments& arguments;
  train::World& world;
  at::Device device;
  train::IfExists if_exists;                          // refuse, resume or overwrite: what was asked for, or, after a restart, what there is
  bool begins_anew = false, asked_to_resume = false;  // in a folder whose start failed before its first checkpoint; asked_to_resume: with --resume
  std::unique_ptr<train::RunFolder> folder;
  uint64_t seed() const { return static_cast<uint64_t>(options.seed); }
  bool resumes() const { return if_exists == train::IfExists::resume; }
};

// Of training, validation and test; what masks mean is for the command to add, with the censuses of `parts`.
DataCard card_of(const Datasets& datasets);

Datasets load_datasets(const DataOptions& data, const Session& session, const data::Targets& targets);

// All of it readable, unaugmented and in order, for validation and panels.
data::LoaderOptions loader_options(const DataOptions& data, const train::Plan& plan, uint64_t seed, bool shuffle);
// This rank's part of the next validation batch (without shuffling), without the samples that stand in for unreadable ones: each readable sample counts once.
// Where nothing is left one stays and batch.counts is false, so that all ranks see the same number of batches. False at the end.
bool next_for_validation(data::Loader& loader, data::Batch& batch);
// Up to `count` samples, spread evenly over `indices` (empty: over the dataset), never augmented.
data::Batch panel_batch(const data::Dataset& dataset, const data::AugmentOptions& augment, uint64_t seed, at::Device device, int64_t count,
                        const std::vector<int64_t>& indices = {});
at::Tensor drop_path_draws(const data::Batch& batch, int64_t count);
int64_t count_parameters(const torch::nn::Module& module);  // those that are trained

// Everything that train_to_end() needs of a command.
struct Training {
  const DataOptions& data;
  const Datasets& datasets;
  const train::Plan& plan;
  train::Task& task;  // without draw; metadata: what describes the model
  train::AdamW& optimizer;
  data::LoaderOptions loader;
  std::string model_text;  // for the log: "swin-unet, 3 classes"
  std::string config_yaml;
  std::string init;  // model.init
  DataCard card;
  std::function<void(const std::string& old_yaml)> report_changes;
  std::function<void(train::RunLog& log, int64_t step, int64_t epoch)> draw;
};

// Resumes if asked to, writes what a run folder holds, trains, and says how it went. ok or stopped; everything else is thrown as Error.
ExitCode train_to_end(const Session& session, Training training);

std::string panel_name(const std::string& kind, int64_t epoch);  // "overlay_epoch0012": sorts by name

void report_changed_options(const Options& before, const Options& now);

// What differs between the config of a checkpoint and today's, so that nobody resumes with another config without knowing.
template <class Config>
void report_changed_config(const std::string& old_yaml, Config now) {
  Config before = now;
  Options old_options, new_options;
  describe(old_options, before);
  read_config_text(old_yaml, "the checkpoint's config", old_options);
  describe(new_options, now);
  report_changed_options(old_options, new_options);
}

}  // namespace vmae::run
