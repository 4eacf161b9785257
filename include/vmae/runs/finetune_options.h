#pragma once
// Keys and defaults of `vmae finetune-seg` and `vmae finetune-cls`.
#include <cstdint>
#include <string>
#include <vector>

#include "vmae/nn/loss_options.h"
#include "vmae/nn/model_options.h"
#include "vmae/runs/training_options.h"

namespace vmae::run {

struct TransferOptions {
  std::string init;
  std::string transfer = "auto";
  bool allow_mismatch = false;
  std::string freeze = "none";
};

struct FinetuneOptimOptions : train::OptimOptions {
  double layer_decay = 1.0;
  double task_lr_scale = 1.0;
};
void describe(Options& options, FinetuneOptimOptions& optim);

struct SegmentDataOptions : DataOptions {
  std::vector<std::string> classes;
  std::vector<int64_t> label_values;
  int64_t ignore_label = -1;
  double foreground_share = 0.0;
};
void describe(Options& options, SegmentDataOptions& data);

struct SegmentModelOptions : TransferOptions {
  std::string name = "swin-unet";
  nn::UnetOptions net;
};
void describe(Options& options, SegmentModelOptions& model);

// Of model.name = nnunet.
struct NnUnetRunOptions {
  std::string plan, preprocessed;
};
void describe(Options& options, NnUnetRunOptions& nnunet);

// Defaults: those of the recipe. "paper": the reference's (method.md,
// "Segmentation training"); "auto": ours (docs/recipes.md).
struct SegmentConfig {
  std::string recipe;
  RunOptions run;
  SegmentDataOptions data;
  SegmentModelOptions model;
  train::TrainOptions train{.epochs = 150, .batch_size = 32};
  FinetuneOptimOptions optim;
  nn::SegmentationLossOptions loss;
  NnUnetRunOptions nnunet;
  explicit SegmentConfig(const std::string& recipe = "auto");
};
void describe(Options& options, SegmentConfig& config);

struct ClassifyDataOptions : DataOptions {
  std::string pool = "mean";
};
void describe(Options& options, ClassifyDataOptions& data);

struct ClassifyModelOptions : TransferOptions {
  std::string name = "swin-classifier";
  nn::ClassifierOptions net;
};
void describe(Options& options, ClassifyModelOptions& model);

struct ClassifyTrainOptions : train::TrainOptions {
  std::string best_metric = "AUROC";
};
void describe(Options& options, ClassifyTrainOptions& train);

// Defaults: as of SegmentConfig.
struct ClassifyConfig {
  std::string recipe;
  RunOptions run;
  ClassifyDataOptions data;
  ClassifyModelOptions model;
  ClassifyTrainOptions train;
  FinetuneOptimOptions optim;
  nn::ClassificationLossOptions loss;
  explicit ClassifyConfig(const std::string& recipe = "auto");
};
void describe(Options& options, ClassifyConfig& config);

// The defaults of all that a config does not say: those of its recipe, as far as they go with
// what it says. said.train.epochs = 0: it does not say that; if it does, an epoch is one pass.
SegmentConfig defaults_for(const SegmentConfig& said);
ClassifyConfig defaults_for(const ClassifyConfig& said);
// For the log: the recipe, and which keys it is that have other values than the paper's because of it.
std::string text_of_recipe(const SegmentConfig& config);
std::string text_of_recipe(const ClassifyConfig& config);

}  // namespace vmae::run
