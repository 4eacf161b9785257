#pragma once
// What a run trained and tested on, and where it left it: for every command that is
// given a run folder, or a folder of folds. Run folders hold sources.json (older ones do
// not): where the sources lay, whatever working folder a later command is started in.
#include <filesystem>
#include <string>
#include <vector>

namespace vmae::run {

struct DataOptions;

// A run folder, or a folder that `--fold` made.
struct RunRecord {
  std::filesystem::path path;                  // as given
  std::vector<std::filesystem::path> folders;  // run folders: `path` itself, or its fold_K in the order of K
  bool has_folds = false;
  const std::filesystem::path& first() const { return folders.front(); }
};

// Whether something of a run is in it: a config or checkpoints, its own or those of folds.
bool is_run(const std::filesystem::path& path);

// Error(usage) where a folder holds a run of its own and folds; Error(data) where it holds neither.
RunRecord open_run_record(const std::filesystem::path& path);

// "out_of_fold", "test", "external_test", or "auto": the first of these that is
// there, in the folder itself or in its only fold that has it. Throws Error(data)
// where there is none, or where several folds have predictions that nothing gathered.
struct RunPredictions {
  std::string part;
  std::filesystem::path folder;
  std::vector<std::filesystem::path> runs;  // whose predictions these are: all folds, or one
};
RunPredictions find_predictions(const RunRecord& record, const std::string& part);

// Paths as the config of `run_folder` has them (data.train, data.val, data.test, data.splits) -> where
// they lie now: the absolute path that the run stored, where there is something, else as they are.
std::string located(const std::filesystem::path& run_folder, const std::string& source);

// sources.json of a run folder: for located(), each source by the path that
// the config has; and what seen_before() needs: "data.train" and "model.init".
void write_sources(const std::filesystem::path& run_folder, const DataOptions& data, const std::string& init);

// The checkpoints of a folder of nnU-Net's own program: fold_K/checkpoint_final.pth (or fold_all) beside plans.json, in
// the order of K, or that of one fold; empty: it is none. Folds without one are named in a warning. Throws Error(usage)
// where fold_all and others are there, Error(checkpoint) where no fold has one.
std::vector<std::filesystem::path> nnunet_checkpoints(const std::filesystem::path& folder);

// "runs/a, or runs/b" for messages: the folds of a record.
std::string fold_names(const RunRecord& record);

}  // namespace vmae::run
