#pragma once
// `vmae pretrain`: everything from a config to a finished (or interrupted) run.
#include <string>

#include "vmae/core/error.h"
#include "vmae/core/options.h"
#include "vmae/data/dataset.h"
#include "vmae/nn/mae.h"
#include "vmae/run/split.h"
#include "vmae/train/fit.h"
#include "vmae/train/run_folder.h"

namespace vmae::run {

struct RunOptions {
  std::string dir;
  int64_t seed = 0;
  std::string device = "auto";
  int64_t threads = 0;
};
void describe(Options& options, RunOptions& run);

struct DataOptions {
  std::vector<std::string> train, val;
  std::string test;
  std::vector<double> weights;
  SplitChoice splits;
  double val_fraction = 0.05;
  int64_t workers = 0;
  int64_t prefetch = 4;
  double max_bad_fraction = 0.05;
  data::ImageOptions image;
  data::AugmentOptions augment;
};
void describe(Options& options, DataOptions& data);

struct ModelOptions {
  std::string name = "mae";
  std::string init;
  nn::MaeOptions mae;
};
void describe(Options& options, ModelOptions& model);

struct PretrainConfig {
  RunOptions run;
  DataOptions data;
  ModelOptions model;
  train::TrainOptions train;
  train::OptimOptions optim;
};
void describe(Options& options, PretrainConfig& config);

struct PretrainArguments {
  train::IfExists if_exists = train::IfExists::refuse;
  bool dry_run = false;
  std::string command_line;  // for env.json
};

// Exit code ok or stopped; everything else is thrown as Error.
ExitCode pretrain(PretrainConfig config, const PretrainArguments& arguments);

}  // namespace vmae::run
