// Test parts and folds: what follows a fine-tuning run, and several of them.
#include "vmae/tasks/folds.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <type_traits>

#include "nnunet.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/json_text.h"
#include "vmae/core/log.h"
#include "vmae/predict/find_weights.h"
#include "vmae/predict/model_file.h"
#include "vmae/predict/predict.h"
#include "vmae/ranks/world.h"
#include "vmae/sources/csv.h"
#include "vmae/sources/source.h"
#include "vmae/splits/splits_file.h"
#include "vmae/tasks/classify.h"
#include "vmae/tasks/datasets.h"
#include "vmae/tasks/postprocessing.h"
#include "vmae/tasks/segment.h"
#include "vmae/tasks/session.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

// 6 if some could not be predicted.
ExitCode predict_parts(const RunOptions& run, const DataOptions& data, const Datasets& datasets) {
  const fs::path dir(run.dir), weights = find_weights(dir);
  bool some_failed = false;
  const auto predict_into = [&](const std::string& name, const std::vector<io::SourceFile>& cases,
                                const std::vector<std::string>& identifying,
                                const std::vector<io::SourceFile>& beside) {
    const fs::path done = dir / name / "predict.json";
    if (cases.empty() || (fs::exists(done) && fs::last_write_time(done) >= fs::last_write_time(weights))) return;
    log::info(concat("predicting ", cases.size(), " test cases into ", (dir / name).string()));
    fs::remove_all(dir / name);
    const PredictOptions options{.device = run.device, .precision = "auto", .threads = run.threads};
    some_failed |= predict_cases(cases, {weights}, dir / name, options, identifying, beside) == ExitCode::some_failed;
  };
  const TrainVal& split = datasets.split;
  std::vector<io::SourceFile> beside = split.train;
  for (const auto* part : {&split.val, &split.unused}) beside.insert(beside.end(), part->begin(), part->end());
  predict_into("test", split.test, datasets.splits.identifying, beside);
  if (!data.test.empty()) {
    const io::Source external = io::find_source(data.test, "auto", data.findings);
    predict_into("external_test", external.files, external.identifying, {});
  }
  return some_failed ? ExitCode::some_failed : ExitCode::ok;
}

// The same on every rank.
ExitCode by_first(train::World& world, const std::function<ExitCode()>& work) {
  return static_cast<ExitCode>(std::stoi(world.from_first([&] { return std::to_string(static_cast<int>(work())); })));
}

}  // namespace

ExitCode predict_test(const Session& session, const DataOptions& data, const Datasets& datasets) {
  if (session.arguments.dry_run) return ExitCode::ok;
  return by_first(session.world, [&] { return predict_parts(session.options, data, datasets); });
}

bool has_checkpoint(const fs::path& run_dir) { return fs::exists(run_dir / "checkpoints" / "last.safetensors"); }

fs::path fold_folder(const fs::path& run_dir, int64_t fold) { return run_dir / concat("fold_", fold); }

namespace {

// Files of all folds' test folders as one; CSVs one below the
// other. No case is in two test parts, so no name comes twice.
void gather(const fs::path& dir, int64_t num_folds) {
  const fs::path output = dir / "out_of_fold";
  fs::remove_all(output);
  fs::create_directories(output);
  std::map<std::string, std::string> tables;
  nlohmann::ordered_json record = nlohmann::ordered_json::object();
  for (int64_t k = 0; k < num_folds; ++k) {
    const fs::path from = fold_folder(dir, k) / "test";
    if (!fs::is_directory(from)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(from)) {
      if (!entry.is_regular_file()) continue;
      const fs::path relative = entry.path().lexically_relative(from);
      if (relative == "predict.json") {
        const auto json = nlohmann::ordered_json::parse(read_file(entry.path()));
        for (const char* key : {"vmae_version", "model", "class_names"}) record[key] = json.at(key);
        for (const char* key : {"label_values", "options", "prepared"}) {
          if (json.contains(key)) record[key] = json[key];
        }
        record["folds"].push_back(
            {{"weights", json.at("weights")}, {"cases", json.at("cases")}, {"failed", json.at("failed")}});
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
  write_file_atomically(output / "predict.json", json_text(record, 2) + "\n");
  log::info("out-of-fold predictions: " + output.string());
}

// Each case has one out-of-fold prediction.
void require_separate_tests(const io::Splits& splits, const std::string& file) {
  std::set<std::string> seen;
  for (const io::SplitFold& fold : splits.folds) {
    for (const std::string& name : fold.test) {
      if (!seen.insert(name).second)
        throw Error(
            ExitCode::data,
            concat(file, ": ", name, " is in the test parts of two folds, so that --fold all can't put them together"),
            "train the folds one by one: --fold 0, --fold 1, ...");
    }
  }
}

template <class Config>
ExitCode run_folds(const Config& config, TrainArguments arguments, const std::string& fold, train::World& world,
                   ExitCode (*finetune)(Config, const TrainArguments&, train::World&)) {
  if (fold.empty()) return finetune(config, arguments, world);
  if (config.data.splits.file.empty())
    throw Error(ExitCode::usage, "--fold chooses from data.splits, which is not set",
                "make that file with `vmae split`: data.splits=splits.json");
  const io::Splits splits = io::read_splits(config.data.splits.file);
  const auto num_folds = static_cast<int64_t>(splits.folds.size());
  const std::optional<int64_t> number = parse_integer(fold);
  if (fold != "all" && (!number || *number < 0 || *number >= num_folds)) {
    throw Error(ExitCode::usage,
                concat("--fold ", fold, ": ", config.data.splits.file, " has folds 0 to ", num_folds - 1),
                "give one of them, or all");
  }
  const bool resumes = arguments.if_exists == train::IfExists::resume;
  if (fold == "all") require_separate_tests(splits, config.data.splits.file);
  bool some_failed = false;
  for (int64_t k = number.value_or(0); k <= number.value_or(num_folds - 1); ++k) {
    Config one = config;
    one.data.splits.fold = k;
    one.run.dir = fold_folder(config.run.dir, k).string();
    if (resumes && fold == "all") {  // a fold that was not begun yet begins
      const bool has_begun = world.from_first([&] { return has_checkpoint(one.run.dir) ? "yes" : ""; }) == "yes";
      arguments.if_exists = has_begun ? train::IfExists::resume : train::IfExists::refuse;
    }
    if (fold == "all" && k > 0 && !arguments.dry_run) arguments.first_fold = fold_folder(config.run.dir, 0);
    log::info(concat("--- fold ", k, " of ", num_folds, ": ", one.run.dir));
    const ExitCode code = finetune(one, arguments, world);
    log::close_file();
    if (code != ExitCode::ok && code != ExitCode::some_failed) return code;
    some_failed |= code == ExitCode::some_failed;
  }
  const bool has_test = std::all_of(splits.folds.begin(), splits.folds.end(),
                                    [](const io::SplitFold& part) { return !part.test.empty(); });
  if (fold == "all" && !arguments.dry_run && has_test) {
    by_first(world, [&] {
      gather(config.run.dir, num_folds);
      if constexpr (std::is_same_v<Config, SegmentConfig>) {
        if (config.model.name == "nnunet") {
          const LoadedModel model = load_model(find_weights(fold_folder(config.run.dir, 0)), at::kCPU);
          find_postprocessing_of_folds(config.run.dir, config.data, model.card, model.labels);
        }
      }
      return ExitCode::ok;
    });
  }
  return some_failed ? ExitCode::some_failed : ExitCode::ok;
}

}  // namespace

ExitCode finetune_folds(const SegmentConfig& config, const TrainArguments& arguments, const std::string& fold,
                        train::World& world) {
  SegmentConfig shared = config;
  if (config.model.name == "nnunet" && config.nnunet.preprocessed.empty() && !fold.empty() && !arguments.dry_run)
    shared.nnunet.preprocessed = (fs::path(config.run.dir) / "preprocessed").string();
  return run_folds(shared, arguments, fold, world, &finetune_segmentation);
}
ExitCode finetune_folds(const ClassifyConfig& config, const TrainArguments& arguments, const std::string& fold,
                        train::World& world) {
  return run_folds(config, arguments, fold, world, &finetune_classification);
}

}  // namespace vmae::run
