#pragma once
// Folds: several fine-tuning runs of one dataset; and the test part that follows each run.
#include <filesystem>
#include <string>

#include "vmae/core/error.h"
#include "vmae/runs/finetune_options.h"
#include "vmae/tasks/train_arguments.h"

namespace vmae::train {
class World;
}

namespace vmae::run {

struct Session;
struct Datasets;

// The folder of fold K of a run: run_dir/fold_K.
std::filesystem::path fold_folder(const std::filesystem::path& run_dir, int64_t fold);

bool has_checkpoint(const std::filesystem::path& run_dir);

// fold: "" as the config says; a number: that fold of data.splits, into run.dir/fold_N; "all": one
// fold after the other, and the predictions of all test parts together in run.dir/out_of_fold.
// With --resume, folds that are finished are left alone, and those that have not begun begin.
ExitCode finetune_folds(const SegmentConfig& config, const TrainArguments& arguments, const std::string& fold,
                        train::World& world);
ExitCode finetune_folds(const ClassifyConfig& config, const TrainArguments& arguments, const std::string& fold,
                        train::World& world);

// Predicts with the run's best weights, unless that is done already: the test part of
// the splits (or of data.train) into run.dir/test, data.test into run.dir/external_test.
ExitCode predict_test(const Session& session, const DataOptions& data, const Datasets& datasets);

}  // namespace vmae::run
