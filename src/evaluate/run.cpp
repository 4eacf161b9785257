// What a run folder tells about its predictions.
#include <nlohmann/json.hpp>

#include "input.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/hash.h"
#include "vmae/core/log.h"
#include "vmae/image/file_name.h"
#include "vmae/prepared/prepared.h"
#include "vmae/runs/finetune_options.h"
#include "vmae/runs/run_record.h"
#include "vmae/sources/dataset_json.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

nlohmann::json read_json(const fs::path& file) {
  const std::string text = read_file(file);
  if (is_deep_json(text)) fail_file(file, "nests too deeply");
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    fail_file(file, concat("is not JSON: ", error.what()));
  }
}

// Lists of texts that vmae wrote; anything else is left out.
std::vector<std::string> texts_of(const nlohmann::json& json, const char* key) {
  std::vector<std::string> texts;
  if (!json.is_object() || !json.contains(key) || !json[key].is_array()) return texts;
  for (const auto& one : json[key]) {
    if (one.is_string()) texts.push_back(one.get<std::string>());
  }
  return texts;
}

template <class Config>
void adopt(const fs::path& file, EvalModel& model, const std::string& part, Config config) {
  Options options;
  describe(options, config);
  read_config_file(file, options);
  if (config.data.train.size() != 1) {
    fail_file(model.run,
              concat("was trained on ", config.data.train.size(), " sources, so that its truth is not one of them"),
              "give --truth and --pred");
  }
  model.truth = located(file.parent_path(), part == "external_test" ? config.data.test : config.data.train[0]);
  model.label_fraction = config.data.splits.label_fraction;
  model.trained_from = config.model.init;
  if constexpr (std::is_same_v<Config, ClassifyConfig>) {
    model.findings = config.data.findings;
    const fs::path trained_on = located(file.parent_path(), config.data.train[0]);
    if (model.findings.empty() && io::is_prepared(trained_on))  // the truth may be the files that it was prepared from
      model.findings = io::label_columns(io::PreparedDataset(trained_on).info());
  }
  if constexpr (std::is_same_v<Config, SegmentConfig>) model.ignore_label = config.data.ignore_label;
  // else as predict.json says
  if (config.data.image.slice_axis != "auto") model.slice_axis = config.data.image.slice_axis;
}

}  // namespace

EvalModel open_predictions(const fs::path& path) {
  EvalModel model;
  model.predictions = path;
  model.name = path.lexically_normal().filename().string();
  if (model.name.empty()) model.name = path.lexically_normal().parent_path().filename().string();
  for (const char* ending : {".csv", ".tsv"}) {
    if (std::string name = io::without_ending(model.name, ending); !name.empty()) model.name = std::move(name);
  }
  if (!fs::exists(path))
    throw Error(ExitCode::data, path.string() + " does not exist",
                "--pred takes a folder of label maps, or a CSV of scores");
  if (fs::is_directory(path) && fs::exists(path / "predict.json")) {
    const nlohmann::json json = read_json(path / "predict.json");
    model.class_names = texts_of(json, "class_names");
    if (json.contains("options") && json["options"].is_object())
      model.slice_axis = json["options"].value("slice_axis", model.slice_axis);
    if (json.contains("label_values")) model.label_values = json["label_values"].get<std::vector<int64_t>>();
    for (const std::string& name : texts_of(json, "failed")) model.failed.insert(name);
    if (json.is_object() && json.contains("prepared") && json["prepared"].is_object()) {
      const auto text = [&](const char* key) {
        return json["prepared"].contains(key) && json["prepared"][key].is_string()
                   ? json["prepared"][key].get<std::string>()
                   : "";
      };
      model.dataset = text("path");
      model.dataset_digest = text("digest");
    }
    if (json.contains("folds") && json["folds"].is_array()) {
      for (const auto& fold : json["folds"]) {
        for (const std::string& name : texts_of(fold, "failed")) model.failed.insert(name);
      }
    }
  }
  // nnU-Net leaves that of its training set
  if (model.class_names.empty() && fs::is_directory(path) && fs::exists(path / "dataset.json")) {
    const io::DatasetJson dataset = io::read_dataset_json(path / "dataset.json");
    if (dataset.predicts_other_numbers)
      throw Error(
          ExitCode::data,
          concat((path / "dataset.json").string(),
                 ": regions_class_order gives a region a value that it does not hold: nnU-Net numbered the voxels of ",
                 "these predictions differently than the masks are"),
          "bring the predictions to the numbers of the masks, and take regions_class_order out of that file");
    model.class_names = dataset.mask_names;
    model.ignore_label = dataset.ignore_label;
    model.regions = dataset.regions;
    for (const std::string& remark : dataset.remarks) log::warning(concat(path.string(), "/dataset.json: ", remark));
  }
  return model;
}

EvalModel open_run(const fs::path& run, const std::string& part) {
  const RunRecord record = open_run_record(run);
  const auto [found, predictions, folds] = find_predictions(record, part);
  const fs::path config = folds[0] / "config.yaml";  // a run of folds has the config of its first fold
  if (!fs::exists(config))
    throw Error(ExitCode::data, concat(folds[0].string(), " is not a run: it has no config.yaml"),
                "for a folder of predictions: --pred and --truth");
  EvalModel model = open_predictions(predictions);
  model.run = run;
  model.name = run.lexically_normal().filename().string();
  if (model.name.empty()) model.name = run.lexically_normal().parent_path().filename().string();
  if (model.name.starts_with("fold_")) {  // of several runs alike
    const fs::path whole = fs::absolute(run / "").lexically_normal().parent_path().parent_path();
    model.name = whole.filename().string() + "_" + model.name;
  }
  model.config_yaml = read_file(config);
  if (is_classification(model)) {
    adopt(config, model, found, ClassifyConfig());
  } else {
    adopt(config, model, found, SegmentConfig());
  }
  if (fs::exists(folds[0] / "data_card" / "card.json")) model.data_card = folds[0] / "data_card";
  if (found != "external_test") model.test_files.emplace();
  for (const fs::path& fold : folds) {
    const std::string text = read_file(fold / "splits.json");
    const nlohmann::json splits = read_json(fold / "splits.json");
    if (model.test_files) {
      for (const std::string& name : texts_of(splits, "test")) model.test_files->insert(name);
    }
    // Names of files stay out: those of cases are in cases.csv.
    model.splits_text +=
        concat(folds.size() > 1 ? fold.filename().string() + ": " : "", "training ", texts_of(splits, "train").size(),
               ", validation ", texts_of(splits, "val").size(), ", test ", texts_of(splits, "test").size(),
               " cases; SHA-256 of splits.json ", hex(sha256(text)), "\n");
    if (const fs::path card = fold / "data_card" / "card.json"; model.seen_before.empty() && fs::exists(card)) {
      const nlohmann::json seen = read_json(card).value("seen_before", nlohmann::json());
      if (seen.is_object() && seen.value("some", false)) model.seen_before = seen.value("text", "");
    }
    if (!fs::exists(fold / "env.json")) continue;
    const nlohmann::json env = read_json(fold / "env.json");
    for (const char* key : {"vmae_version", "vmae_revision", "libtorch", "cuda", "device", "precision"}) {
      if (env.contains(key))
        model.versions += concat(key, ": ", env[key].is_string() ? env[key].get<std::string>() : env[key].dump(), "\n");
    }
  }
  return model;
}

bool is_classification(const EvalModel& model) {
  return !fs::is_directory(model.predictions) || fs::exists(model.predictions / "cases.csv");
}

}  // namespace vmae::run
