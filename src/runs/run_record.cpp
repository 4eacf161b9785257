#include "vmae/runs/run_record.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/json_text.h"
#include "vmae/core/log_once.h"
#include "vmae/core/path_problem.h"
#include "vmae/core/text.h"
#include "vmae/runs/training_options.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

constexpr const char* kSources = "sources.json";
constexpr const char* kNoTest =
    "train with a test part (vmae split, or data.test), or predict with `vmae predict` and give --pred and --truth";

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool is_run_folder(const fs::path& path) { return is_there(path / "config.yaml") || is_there(path / "checkpoints"); }

// fold_K below `path` that are what is looked for, in the order of K.
std::vector<fs::path> folds_in(const fs::path& path, bool (*is_one)(const fs::path&)) {
  std::map<int64_t, fs::path> folds;
  std::error_code problem;
  for (fs::directory_iterator entry(path, problem), end; !problem && entry != end; entry.increment(problem)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with("fold_") || !is_one(path / name)) continue;
    const std::optional<int64_t> number = parse_integer(name.substr(5));
    if (number && *number >= 0) folds.emplace(*number, path / name);
  }
  std::vector<fs::path> sorted;
  for (const auto& [number, fold] : folds) sorted.push_back(fold);
  return sorted;
}

// What there is instead of test predictions, and what to do.
std::string without_test(const RunRecord& record) {
  for (const fs::path& folder : record.folders) {
    if (is_there(folder / "config.yaml") &&
        read_file(folder / "config.yaml").find("\n  mask_ratio:") != std::string::npos)
      return "it is a run of pretraining, which predicts nothing: give runs of finetune-seg or finetune-cls";
    if (!is_there(folder / "splits.json")) continue;
    const auto splits = nlohmann::json::parse(read_file(folder / "splits.json"), nullptr, /*allow_exceptions=*/false);
    if (splits.is_object() && splits.contains("test") && splits["test"].is_array() && !splits["test"].empty())
      return concat(
          "its test part (", splits["test"].size(), " cases in ", (folder / "splits.json").string(),
          ") is predicted at the end of training: wait for that, or go on with the command that began it and --resume");
  }
  return kNoTest;
}

}  // namespace

bool is_run(const fs::path& path) { return is_run_folder(path) || !folds_in(path, is_run_folder).empty(); }

RunRecord open_run_record(const fs::path& path) {
  if (const std::string problem = path_problem(path); !problem.empty())
    throw Error(ExitCode::data, concat(path.string(), problem == kAbsent ? " is not a run: it " : " ", problem),
                "give the folder of a run: its run.dir");
  RunRecord record{path, folds_in(path, is_run_folder), true};
  if (is_run_folder(path)) {
    if (!record.folders.empty())
      throw Error(ExitCode::usage, concat(path.string(), " holds a run of its own and folds"),
                  concat("name the one that you mean: ", path.string(), "/checkpoints/best.safetensors, or ",
                         fold_names(record)));
    return {path, {path}, false};
  }
  if (record.folders.empty())
    throw Error(ExitCode::data,
                concat(path.string(), " is not a run: it has neither config.yaml nor folds (fold_0, ...)"),
                "for a folder of predictions: --pred and --truth");
  return record;
}

std::vector<fs::path> nnunet_checkpoints(const fs::path& folder) {
  constexpr const char* kName = "checkpoint_final.pth";
  if (is_there(folder / kName)) return {folder / kName};  // one fold
  if (!is_there(folder / "plans.json")) return {};
  std::vector<fs::path> files;
  std::vector<std::string> unfinished;
  for (const fs::path& fold : folds_in(folder, [](const fs::path& path) { return fs::is_directory(path); })) {
    if (is_there(fold / kName))
      files.push_back(fold / kName);
    else
      unfinished.push_back(fold.filename().string());
  }
  const fs::path of_all = folder / "fold_all" / kName;
  if (is_there(of_all)) {
    if (files.empty()) return {of_all};
    throw Error(ExitCode::usage, concat(folder.string(), " holds fold_all and other folds"),
                concat("name what is meant: ", of_all.string(), ", or the folder of each fold"));
  }
  if (files.empty() && !unfinished.empty())
    throw Error(ExitCode::checkpoint, concat(folder.string(), ": no ", kName, " in ", join(unfinished, ", ")),
                "nnU-Net writes it at the end of a fold's training; another checkpoint can be named itself");
  if (!unfinished.empty())
    log::warning_once(folder.string() + ":", concat(join(unfinished, ", "), " left out: no ", kName));
  return files;
}

std::string fold_names(const RunRecord& record) {
  std::vector<std::string> names;
  for (const fs::path& fold : record.folders) names.push_back(fold.string());
  return join(names, ", ");
}

RunPredictions find_predictions(const RunRecord& record, const std::string& part) {
  const auto has = [](const fs::path& folder, const std::string& name) {
    return is_there(folder / name / "predict.json");
  };
  for (const char* one : {"out_of_fold", "test", "external_test"}) {
    if (part != "auto" && part != one) continue;
    if (has(record.path, one)) return {one, record.path / one, record.folders};
    if (!record.has_folds) continue;
    std::vector<fs::path> found;
    std::copy_if(record.folders.begin(), record.folders.end(), std::back_inserter(found),
                 [&](const fs::path& fold) { return has(fold, one); });
    if (found.size() == 1) return {one, found[0] / one, found};
    if (found.size() > 1)
      throw Error(
          ExitCode::data,
          concat(record.path.string(), ": ", found.size(), " folds have ", one, " predictions, each of its own model"),
          concat("give one of them (", fold_names({record.path, found, true}),
                 "), or gather the test parts with the command that trained them, --fold all and --resume"));
  }
  throw Error(ExitCode::data, concat(record.path.string(), " has no ", part == "auto" ? "test" : part, " predictions"),
              without_test(record));
}

std::string located(const fs::path& run_folder, const std::string& source) {
  if (source.empty() || fs::path(source).is_absolute() || !is_there(run_folder / kSources)) return source;
  const auto json = nlohmann::json::parse(read_file(run_folder / kSources), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object())
    throw Error(ExitCode::data, concat((run_folder / kSources).string(), ": is not a JSON object"),
                "delete it, or bring it back");
  const auto found = json.find(source);
  if (found == json.end() || !found->is_string()) return source;
  const std::string stored = found->get<std::string>();
  std::error_code ignored;
  return is_there(stored) && !fs::equivalent(stored, source, ignored) ? stored : source;
}

void write_sources(const fs::path& run_folder, const DataOptions& data, const std::string& init) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  std::vector<std::string> sources = data.train;
  sources.insert(sources.end(), data.val.begin(), data.val.end());
  sources.push_back(data.test);
  sources.push_back(data.splits.file);
  for (const std::string& source : sources) {
    if (!source.empty()) json[source] = fs::absolute(source).lexically_normal().string();
  }
  json["data.train"] = nlohmann::json::array();
  for (const std::string& source : data.train) {
    if (!source.empty()) json["data.train"].push_back(json[source]);
  }
  if (!init.empty()) json["model.init"] = fs::absolute(init).lexically_normal().string();
  write_file_atomically(run_folder / kSources, json_text(json, 1) + "\n");
}

}  // namespace vmae::run
