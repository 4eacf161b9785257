#pragma once
// Keys and defaults of `vmae pretrain`.
#include <string>

#include "vmae/data/view_options.h"
#include "vmae/nn/model_options.h"
#include "vmae/runs/training_options.h"

namespace vmae::run {

struct ModelOptions {
  std::string name = "mae";
  std::string init;
  nn::MaeOptions mae;            // the encoder of every model, and what mae has besides
  nn::ContrastOptions contrast;  // what simclr has besides
  nn::SimclrOptions simclr() const { return {mae.swin, contrast}; }
};
void describe(Options& options, ModelOptions& model);

struct PretrainConfig {
  RunOptions run;
  DataOptions data;
  data::ViewOptions views;
  ModelOptions model;
  train::TrainOptions train;
  train::OptimOptions optim;
};
void describe(Options& options, PretrainConfig& config);

}  // namespace vmae::run
