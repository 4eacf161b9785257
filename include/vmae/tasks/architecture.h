#pragma once
// What the architecture of a network for fine-tuning is, where the config does not say it.
#include <string>

#include "vmae/core/launch.h"
#include "vmae/runs/finetune_options.h"
#include "vmae/train/run_folder.h"

namespace vmae::run {

// What only the weights can tell is taken from them, where the config does not say otherwise: in_channels,
// embed_dim, num_heads, window_size, mlp_ratio, layer_norm_eps, shift_small_grids; and image_size, where
// it is open (empty) and the weights say it. Not depths and drop path. Of a run of TransUNet its parts and
// in_channels, not image_size and dropout. Of other networks nothing. Throws Error(checkpoint).
void adopt_architecture(SegmentModelOptions& model, const std::string& init);
void adopt_architecture(ClassifyModelOptions& model, const std::string& init);

// Whose architecture is adopted: model.init's; where a run is resumed (also by its launcher, train::after_restart()),
// that of the run itself, for what it began from may be gone. fold: as for finetune_folds(); of "all", the first fold
// that has begun.
std::string adopted_weights(const std::string& run_dir, const std::string& init, const std::string& fold,
                            const Launch& launch, train::IfExists wanted);

}  // namespace vmae::run
