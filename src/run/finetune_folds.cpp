// Test parts and folds: what follows a fine-tuning run, and several of them.
#include <nlohmann/json.hpp>

#include "finetune_steps.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/log.h"
#include "vmae/io/csv.h"
#include "vmae/io/splits_file.h"
#include "vmae/run/predict.h"

namespace vmae::run {

namespace fs = std::filesystem;

ExitCode predict_test(const RunOptions& run, const DataOptions& data, const TrainVal& split, const TrainArguments& arguments) {
  const fs::path output = fs::path(run.dir) / "test";
  std::vector<io::SourceFile> cases = split.test;
  if (!data.test.empty()) {
    const std::vector<io::SourceFile> more = io::list_source(data.test);
    cases.insert(cases.end(), more.begin(), more.end());
  }
  if (arguments.dry_run || cases.empty() || fs::exists(output / "predict.json")) return ExitCode::ok;
  log::info(concat("test part: ", cases.size(), " cases"));
  return predict_cases(cases, {run.dir}, output, {.device = run.device, .threads = run.threads});
}

namespace {

// Files of all folds' test folders as one; CSVs one below the other. No case is in two test parts, so no name comes twice.
void gather(const fs::path& dir, int64_t num_folds) {
  const fs::path output = dir / "out_of_fold";
  fs::remove_all(output);
  fs::create_directories(output);
  std::map<std::string, std::string> tables;
  nlohmann::ordered_json record = nlohmann::ordered_json::object();
  for (int64_t k = 0; k < num_folds; ++k) {
    const fs::path from = dir / concat("fold_", k) / "test";
    if (!fs::is_directory(from)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(from)) {
      if (!entry.is_regular_file()) continue;
      const fs::path relative = entry.path().lexically_relative(from);
      if (relative == "predict.json") {
        const auto json = nlohmann::ordered_json::parse(read_file(entry.path()));
        for (const char* key : {"vmae_version", "model", "class_names"}) record[key] = json.at(key);
        record["folds"].push_back({{"weights", json.at("weights")}, {"cases", json.at("cases")}, {"failed", json.at("failed")}});
      } else if (relative.extension() == ".csv") {
        const std::string text = read_file(entry.path());
        std::string& table = tables[relative.string()];
        table += table.empty() ? text : text.substr(text.find('\n') + 1);
      } else {
        fs::create_directories((output / relative).parent_path());
        fs::copy_file(entry.path(), output / relative);
      }
    }
  }
  for (const auto& [name, table] : tables) write_file_atomically(output / name, table);
  write_file_atomically(output / "predict.json", record.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  log::info("out-of-fold predictions: " + output.string());
}

template <class Config>
ExitCode run_folds(const Config& config, TrainArguments arguments, const std::string& fold, ExitCode (*finetune)(Config, const TrainArguments&)) {
  if (fold.empty()) return finetune(config, arguments);
  if (config.data.splits.file.empty())
    throw Error(ExitCode::usage, "--fold chooses from data.splits, which is not set", "make that file with `vmae split`: data.splits=splits.json");
  const auto num_folds = static_cast<int64_t>(io::read_splits(config.data.splits.file).folds.size());
  const std::optional<int64_t> number = parse_integer(fold);
  if (fold != "all" && (!number || *number < 0 || *number >= num_folds)) {
    throw Error(ExitCode::usage, concat("--fold ", fold, ": ", config.data.splits.file, " has folds 0 to ", num_folds - 1), "give one of them, or all");
  }
  const bool resumes = arguments.if_exists == train::IfExists::resume;
  bool some_failed = false;
  for (int64_t k = number.value_or(0); k <= number.value_or(num_folds - 1); ++k) {
    Config one = config;
    one.data.splits.fold = k;
    one.run.dir = (fs::path(config.run.dir) / concat("fold_", k)).string();
    const bool has_begun = fs::exists(fs::path(one.run.dir) / "checkpoints" / "last.safetensors");
    if (resumes && fold == "all") arguments.if_exists = has_begun ? train::IfExists::resume : train::IfExists::overwrite;
    if (arguments.if_exists == train::IfExists::overwrite) fs::remove_all(fs::path(one.run.dir) / "test");
    log::info(concat("--- fold ", k, " of ", num_folds, ": ", one.run.dir));
    const ExitCode code = finetune(one, arguments);
    log::close_file();
    if (code != ExitCode::ok && code != ExitCode::some_failed) return code;
    some_failed |= code == ExitCode::some_failed;
  }
  if (fold == "all" && !arguments.dry_run) gather(config.run.dir, num_folds);
  return some_failed ? ExitCode::some_failed : ExitCode::ok;
}

}  // namespace

ExitCode finetune_folds(const SegmentConfig& config, const TrainArguments& arguments, const std::string& fold) {
  return run_folds(config, arguments, fold, &finetune_segmentation);
}
ExitCode finetune_folds(const ClassifyConfig& config, const TrainArguments& arguments, const std::string& fold) {
  return run_folds(config, arguments, fold, &finetune_classification);
}

}  // namespace vmae::run
