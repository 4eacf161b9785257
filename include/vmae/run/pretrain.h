#pragma once
// `vmae pretrain`: everything from a config to a finished (or interrupted) run.
#include <string>

#include "vmae/nn/mae.h"
#include "vmae/run/training.h"

namespace vmae::run {

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

// Exit code ok or stopped; everything else is thrown as Error.
ExitCode pretrain(PretrainConfig config, const TrainArguments& arguments, train::World& world);

}  // namespace vmae::run
