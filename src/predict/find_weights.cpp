#include "vmae/predict/find_weights.h"

#include <string>

#include "vmae/core/error.h"
#include "vmae/core/path_problem.h"
#include "vmae/runs/run_record.h"

namespace vmae::run {

namespace fs = std::filesystem;

fs::path find_weights(const fs::path& path) {
  const auto fail = [](const fs::path& at, const std::string& problem) {
    return Error(
        ExitCode::checkpoint, concat(at.string(), ": ", problem),
        "give a weights file (.safetensors, .pth, .npz), the folder of a run, or one of nnU-Net's with plans.json");
  };
  if (const std::string problem = path_problem(path); !problem.empty())
    throw fail(path, problem == kAbsent ? "no such file" : problem);
  if (!fs::is_directory(path)) return path;
  for (const char* name : {"best.safetensors", "last.safetensors"}) {
    fs::path file = path / "checkpoints" / name;
    const std::string problem = path_problem(file);
    if (problem.empty()) return file;
    if (problem != kAbsent) throw fail(file, problem);
  }
  if (!fs::is_directory(path / "checkpoints") && is_run(path)) {  // folds
    const RunRecord folds = open_run_record(path);
    if (folds.folders.size() == 1) return find_weights(folds.first());
    throw Error(ExitCode::checkpoint,
                concat(path.string(), " holds ", folds.folders.size(), " folds, and one file of weights is wanted"),
                concat("name one of them: ", fold_names(folds)));
  }
  if (const std::vector<fs::path> files = nnunet_checkpoints(path); !files.empty()) {
    if (files.size() == 1) return files.front();
    std::vector<std::string> names;
    for (const fs::path& file : files) names.push_back(file.string());
    throw Error(ExitCode::checkpoint,
                concat(path.string(), " holds ", files.size(), " folds of nnU-Net, and one file of weights is wanted"),
                "name one of them: " + join(names, ", or "));
  }
  throw fail(path, "a folder without checkpoints/best.safetensors or last.safetensors");
}

std::vector<fs::path> find_all_weights(const fs::path& path) {
  if (!is_run(path)) {
    std::vector<fs::path> of_nnunet = nnunet_checkpoints(path);
    return of_nnunet.empty() ? std::vector{find_weights(path)} : of_nnunet;
  }
  std::vector<fs::path> files;
  for (const fs::path& run : open_run_record(path).folders) files.push_back(find_weights(run));
  return files;
}

}  // namespace vmae::run
