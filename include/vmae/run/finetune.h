#pragma once
// `vmae finetune-seg` and `vmae finetune-cls`: from pretrained weights and a labelled dataset to a finished (or interrupted) run.
#include <filesystem>
#include <string>

#include "vmae/run/finetune_options.h"
#include "vmae/run/training.h"

namespace vmae::run {

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
