#pragma once
// Keys and defaults of `vmae pretrain`.
#include <string>

#include "vmae/nn/model_options.h"
#include "vmae/runs/training_options.h"

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

}  // namespace vmae::run
