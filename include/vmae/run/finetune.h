#pragma once
// `vmae finetune-seg` and `vmae finetune-cls`: from pretrained weights and a labelled dataset to a finished (or interrupted) run.
#include <filesystem>
#include <string>

#include "vmae/nn/classifier.h"
#include "vmae/nn/losses.h"
#include "vmae/nn/unet.h"
#include "vmae/run/training.h"

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

// Defaults: those of the recipe. "paper": the reference's (method.md, "Segmentation training"); "auto": ours (docs/recipes.md).
struct SegmentConfig {
  std::string recipe;
  RunOptions run;
  SegmentDataOptions data;
  SegmentModelOptions model;
  train::TrainOptions train{.epochs = 150, .batch_size = 32};
  FinetuneOptimOptions optim;
  nn::SegmentationLossOptions loss;
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

// The defaults of all that a config does not say: those of its recipe, as far as they go with what it says. said.train.epochs = 0: it does not say that; if it
// does, an epoch is one pass.
SegmentConfig defaults_for(const SegmentConfig& said);
ClassifyConfig defaults_for(const ClassifyConfig& said);
// For the log: the recipe, and which keys it is that have other values than the paper's because of it.
std::string text_of_recipe(const SegmentConfig& config);
std::string text_of_recipe(const ClassifyConfig& config);

// What only the weights can tell is taken from them, where the config does not say otherwise: in_channels, embed_dim, num_heads, window_size, mlp_ratio,
// layer_norm_eps, shift_small_grids; and image_size, where it is open (empty) and the weights say it. Not depths and drop path. Throws Error(checkpoint).
void adopt_architecture(nn::SwinOptions& swin, const std::string& init);

// The folder of fold K of a run: run_dir/fold_K.
std::filesystem::path fold_folder(const std::filesystem::path& run_dir, int64_t fold);

// Whose architecture is adopted: model.init's; where a run is resumed, that of the run itself, for what it began from may be gone. fold: as for
// finetune_folds(); of "all", the first fold that has begun.
std::string adopted_weights(const std::string& run_dir, const std::string& init, const std::string& fold, bool resumes);

// One run. Cases that are marked test (or data.test) are predicted with the best weights into run.dir/test afterwards.
ExitCode finetune_segmentation(SegmentConfig config, const TrainArguments& arguments, train::World& world);
ExitCode finetune_classification(ClassifyConfig config, const TrainArguments& arguments, train::World& world);

// fold: "" as the config says; a number: that fold of data.splits, into run.dir/fold_N; "all": one fold after the other, and the predictions of all test
// parts together in run.dir/out_of_fold. With --resume, folds that are finished are left alone, and those that have not begun begin.
ExitCode finetune_folds(const SegmentConfig& config, const TrainArguments& arguments, const std::string& fold, train::World& world);
ExitCode finetune_folds(const ClassifyConfig& config, const TrainArguments& arguments, const std::string& fold, train::World& world);

}  // namespace vmae::run
