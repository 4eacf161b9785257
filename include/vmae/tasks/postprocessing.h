#pragma once
// nnU-Net's postprocessing (nnunet/postprocess.h) of a run of all folds.
#include <filesystem>

#include "vmae/nnunet/labels.h"
#include "vmae/predict/model_file.h"
#include "vmae/runs/finetune_options.h"

namespace vmae::run {

// Of nnU-Nets that `--fold all` trained: looks for it on the predictions in run_dir/out_of_fold, against the masks of
// the cases that the folds of data.splits test, and writes it as run_dir/postprocessing.json and, for nnU-Net's own
// program, postprocessing.pkl. Numbers in both are those of label maps as `vmae predict` writes them. Cases whose
// prediction or mask is not there or can't be read are left out with a warning. What is newer than the predictions of
// all folds stays. card and labels: of the folds' models. Throws Error(data) where no case is left.
void find_postprocessing_of_folds(const std::filesystem::path& run_dir, const SegmentDataOptions& data,
                                  const ModelCard& card, const nnunet::Labels& labels);

}  // namespace vmae::run
