#include "vmae/tools/export_weights.h"

#include <set>

#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/core/text.h"
#include "vmae/predict/find_weights.h"
#include "vmae/predict/model_file.h"
#include "vmae/weights/nnunet_checkpoint.h"
#include "vmae/weights/pth.h"
#include "vmae/weights/weights.h"

namespace vmae::run {

namespace fs = std::filesystem;

void export_weights(const fs::path& weights_path, const fs::path& output, bool overwrite) {
  std::error_code problem;
  if (fs::exists(output, problem) && !overwrite)
    throw Error(ExitCode::usage, concat("--output ", output.string(), " exists already"),
                "choose another name, or replace it with --overwrite");
  const fs::path path = find_weights(weights_path);
  const weights::TensorFile file = weights::read_weights(path);
  weights::Metadata metadata = file.metadata;
  metadata.erase("checksum");
  metadata.erase("state");
  if (output.extension() == ".pth" || output.extension() == ".pt") {
    weights::write_pth(output, file.tensors, metadata);
  } else if (output.extension() == ".safetensors") {
    weights::write_safetensors(output, file.tensors, metadata);
  } else {
    throw Error(ExitCode::usage, concat("--output ", output.string(), ": unknown kind of file"),
                "end its name in .safetensors or .pth");
  }
  log::info(concat(file.tensors.size(), " tensors of ", path.string(), " written to ", output.string()));
}

// K, or "all", of weights in RUN/fold_K/checkpoints or in a folder fold_K of nnU-Net's, or else their place.
static std::string fold_of(const fs::path& file, size_t place) {
  constexpr std::string_view kFold = "fold_";
  const fs::path folder = fs::absolute(file).parent_path();
  for (const fs::path& one : {folder, folder.parent_path()}) {
    const std::string name = one.filename().string();
    if (!name.starts_with(kFold)) continue;
    const std::string fold = name.substr(kFold.size());
    if (fold == "all" || parse_integer(fold)) return fold;
  }
  return std::to_string(place);
}

// What lies in a folder that is written over and is not of these folds would be predicted with, too.
static void require_no_others(const fs::path& output, const fs::path& weights_path,
                              const std::set<std::string>& folds) {
  std::error_code problem;
  if (fs::equivalent(output, weights_path, problem))
    throw Error(ExitCode::usage, concat("--output ", output.string(), " is the folder of --weights"),
                "give another folder");
  for (fs::directory_iterator entry(output, problem), end; !problem && entry != end; entry.increment(problem)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with("fold_") && !folds.contains(name))
      throw Error(ExitCode::usage,
                  concat("--output ", output.string(), " holds ", name, ", which is not of ", weights_path.string()),
                  "remove it, or give another folder");
  }
}

void export_nnunet(const fs::path& weights_path, const fs::path& output, bool overwrite) {
  std::error_code problem;
  if (fs::exists(output, problem) && !fs::is_empty(output, problem) && !overwrite)
    throw Error(ExitCode::usage, concat("--output ", output.string(), " is not empty"),
                "choose another folder, or replace files of the same name with --overwrite");
  const std::vector<fs::path> files = find_all_weights(weights_path);
  std::set<std::string> folds;
  for (size_t i = 0; i < files.size(); ++i) folds.insert("fold_" + fold_of(files[i], i));
  require_no_others(output, weights_path, folds);
  bool has_label_values = false;
  for (size_t fold = 0; fold < files.size(); ++fold) {
    const weights::TensorFile file = weights::read_weights(files[fold]);
    if (!file.metadata.contains("nnunet_plans") || !file.metadata.contains("nnunet_dataset"))
      throw Error(ExitCode::checkpoint, files[fold].string() + ": no nnU-Net, so nnU-Net can't predict with it",
                  "give a run of model.name=nnunet, or leave --nnunet out");
    const weights::NnUnetCheckpointFacts facts{.plans = file.metadata.at("nnunet_plans"),
                                               .dataset = file.metadata.at("nnunet_dataset"),
                                               .fold = fold_of(files[fold], fold),
                                               .mirror_axes = load_model(files[fold], at::kCPU).mirror_axes};
    if (fold > 0 && read_file(output / "plans.json") != facts.plans)
      throw Error(ExitCode::checkpoint, concat(weights_path.string(), ": its folds have different plans"),
                  "export one fold at a time");
    const fs::path folder = output / ("fold_" + facts.fold);
    fs::create_directories(folder);
    write_file_atomically(output / "plans.json", facts.plans);
    write_file_atomically(output / "dataset.json", facts.dataset);
    weights::write_nnunet_checkpoint(folder / "checkpoint_final.pth", file.tensors, facts);
    has_label_values = has_label_values || file.metadata.contains("label_values");
  }
  if (has_label_values)
    log::warning(
        "nnU-Net's files number classes 1, 2, ...: data.label_values is not in them, and no postprocessing, "
        "which names labels by these values");
  for (const char* name : {"postprocessing.json", "postprocessing.pkl"}) {
    fs::remove(output / name, problem);  // another run's
    if (fs::exists(weights_path / name, problem) && !has_label_values)
      fs::copy_file(weights_path / name, output / name);
  }
  log::info(concat(count_text(std::ssize(files), "fold"), " of ", weights_path.string(), " written to ",
                   output.string(), " for nnUNetv2_predict_from_modelfolder"));
}

}  // namespace vmae::run
