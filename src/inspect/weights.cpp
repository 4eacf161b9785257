// `vmae inspect` of weights, from all but the numbers, and of runs.
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>

#include "kinds.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/json_text.h"
#include "vmae/core/log.h"
#include "vmae/predict/find_weights.h"
#include "vmae/runs/run_record.h"
#include "vmae/splits/splits_file.h"
#include "vmae/weights/stored.h"
#include "vmae/weights/unwrap.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

bool is_weight(const std::string& key) { return !key.starts_with("optimizer.") && !key.starts_with("state."); }
// Not parameters, though they stand in the state dict.
bool is_derived(const std::string& key) {
  return key.ends_with("relative_position_index") || key.ends_with("attn_mask") || key == "pos_embed" ||
         key.ends_with(".running_mean") || key.ends_with(".running_var") || key.ends_with(".num_batches_tracked");
}

weights::StoredWeights read_any(const fs::path& path) {
  weights::StoredWeights file = weights::read_stored(path);
  try {
    if (const std::string removed = weights::unwrap(file, path); !removed.empty()) log::info(removed);
  } catch (const Error& problem) {  // what is in it can be seen all the same, under the names that the file gives
    log::warning(problem.what());
  }
  return file;
}

nlohmann::ordered_json summary(const fs::path& path, const weights::StoredWeights& file) {
  int64_t parameters = 0, bytes = 0;
  bool has_optimizer = false;
  nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
  for (const auto& [key, tensor] : file.tensors) {
    bytes += tensor.numel() * tensor.dtype->bytes;
    has_optimizer |= key.starts_with("optimizer.");
    if (!is_weight(key)) continue;
    if (!is_derived(key)) parameters += tensor.numel();
    tensors.push_back({{"key", key}, {"dtype", tensor.dtype->name}, {"shape", tensor.shape}});
  }
  nlohmann::ordered_json json = {{"file", path.string()},
                                 {"kind", has_optimizer ? "training checkpoint" : "weights"},
                                 {"parameters", parameters},
                                 {"bytes", bytes}};
  for (const auto& [key, value] : file.metadata) {
    if ((key == "model_options" || key == "state") && !is_deep_json(value))
      json[key] = nlohmann::json::parse(value, nullptr, /*allow_exceptions=*/false);
    else if (key != "config")
      json["metadata"][key] = value;
  }
  json["tensors"] = tensors;
  return json;
}

std::string weights_text(const nlohmann::ordered_json& json, bool all_keys) {
  std::ostringstream out;
  out << json["file"].get<std::string>() << ": " << json["kind"].get<std::string>() << ", " << json["tensors"].size()
      << " tensors, " << json["parameters"] << " parameters, " << human_bytes(json["bytes"].get<double>()) << "\n";
  if (json.contains("metadata"))
    for (const auto& [key, value] : json["metadata"].items())
      out << "  " << key << ": " << value.get<std::string>() << "\n";
  for (const char* section : {"model_options", "state"}) {
    if (!json.contains(section) || !json[section].is_object()) continue;
    out << "  " << section << ":\n";
    for (const auto& [key, value] : json[section].items()) out << "    " << key << ": " << value.dump() << "\n";
  }
  out << "  keys:\n";
  constexpr size_t kShownKeys = 12;
  for (size_t i = 0; i < json["tensors"].size(); ++i) {
    if (!all_keys && i == kShownKeys) {
      out << "    ... " << json["tensors"].size() - kShownKeys << " more (--keys lists all)\n";
      break;
    }
    const auto& tensor = json["tensors"][i];
    out << "    " << tensor["key"].get<std::string>() << "  " << tensor["dtype"].get<std::string>() << " "
        << tensor["shape"].dump() << "\n";
  }
  std::string text = out.str();
  text.pop_back();  // the last line's end
  return text;
}

// What a run is, and then its weights: their first line, or with
// all keys everything. Where there are none yet, the run alone.
Inspection inspect_run(const fs::path& path, bool all_keys) {
  const std::string run = run_json(path);
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  std::string text = run_text(run, path);
  const auto has = [&](const char* name) { return fs::exists(path / "checkpoints" / name); };
  if (has("best.safetensors") || has("last.safetensors")) {
    const fs::path file = find_weights(path);
    json = summary(file, read_any(file));
    const std::string whole = weights_text(json, all_keys);
    text +=
        all_keys ? "\n" + whole : concat("\n  weights   ", whole.substr(0, whole.find('\n')), " (--keys says more)");
  } else {
    json = {{"file", path.string()}, {"kind", "run"}};
  }
  json["run"] = nlohmann::ordered_json::parse(run);
  return {json_text(json, 2), text};
}

// How many folds the splits of a run have; 0 where the file is no longer what, or where, it was.
size_t num_folds_of(const nlohmann::ordered_json& run, const fs::path& folder) {
  const auto differs = run.value("differs", nlohmann::ordered_json::object());
  if (!differs.contains("data.splits")) return 0;
  try {
    return io::read_splits(located(folder, differs["data.splits"]["value"].get<std::string>())).folds.size();
  } catch (const Error& error) {  // the folds that are there can be told all the same
    log::debug(error.what());
    return 0;
  }
}

// A line of each fold, with its state and best validation; the rest is for who looks at one of them.
Inspection inspect_folds(const RunRecord& record) {
  nlohmann::ordered_json json = {
      {"file", record.path.string()}, {"kind", "folds"}, {"folds", nlohmann::ordered_json::array()}};
  size_t num_folds = 0;
  std::string text;
  for (const fs::path& fold : record.folders) {
    const bool has_test = fs::exists(fold / "test" / "predict.json");
    nlohmann::ordered_json one = {{"folder", fold.string()}, {"has_test_predictions", has_test}};
    try {
      const fs::path file = find_weights(fold);
      const std::string whole = weights_text(one["weights"] = summary(file, read_any(file)), /*all_keys=*/false);
      one["run"] = nlohmann::ordered_json::parse(run_json(fold));
      if (num_folds == 0) num_folds = num_folds_of(one["run"], fold);
      const std::string run = run_text(one["run"].dump(), fold), best = "\n  best";
      text += "\n  " + run.substr(0, run.find('\n'));
      if (const size_t at = run.find(best); at != std::string::npos) {
        const size_t begin = run.find_first_not_of(' ', at + best.size());
        text += "; best " + run.substr(begin, run.find('\n', begin) - begin);
      }
      text += "\n    " + whole.substr(0, whole.find('\n'));
    } catch (const Error& error) {
      text += concat("\n  ", error.what());
      one["problem"] = error.what();
    }
    text += has_test ? "; test predictions" : "";
    json["folds"].push_back(std::move(one));
  }
  const std::string count =
      num_folds > 0 ? concat(record.folders.size(), " of ", num_folds) : concat(record.folders.size());
  text = concat(record.path.string(), ": ", count,
                num_folds == 1 || (num_folds == 0 && record.folders.size() == 1) ? " fold" : " folds") +
         text;
  if (num_folds > 0) json["num_folds"] = num_folds;
  const bool is_gathered = fs::exists(record.path / "out_of_fold" / "predict.json");
  json["has_out_of_fold_predictions"] = is_gathered;
  text += concat("\n", is_gathered ? "  out-of-fold predictions: " + (record.path / "out_of_fold").string() + "\n" : "",
                 "  more of one: vmae inspect ", record.first().string());
  return {json_text(json, 2), text};
}

Inspection inspect_file(const fs::path& file, bool all_keys) {
  const auto json = summary(file, read_any(file));
  return {json_text(json, 2), weights_text(json, all_keys)};
}

// A folder of nnU-Net's: of several folds a line each.
Inspection inspect_nnunet(const fs::path& path, bool all_keys) {
  const std::vector<fs::path> files = nnunet_checkpoints(path);
  if (files.size() < 2) return inspect_file(find_weights(path), all_keys);
  nlohmann::ordered_json json = {
      {"file", path.string()}, {"kind", "folds"}, {"folds", nlohmann::ordered_json::array()}};
  std::string text = concat(path.string(), ": ", files.size(), " folds of nnU-Net");
  for (const fs::path& file : files) {
    json["folds"].push_back(summary(file, read_any(file)));
    const std::string whole = weights_text(json["folds"].back(), /*all_keys=*/false);
    text += "\n  " + whole.substr(0, whole.find('\n'));
  }
  return {json_text(json, 2), text + "\n  more of one: vmae inspect " + files.front().string()};
}

}  // namespace

Inspection inspect_weights(const fs::path& path, const InspectArguments& arguments) {
  const bool all_keys = arguments.all_keys;
  if (fs::is_directory(path)) {
    if (!is_run(path)) return inspect_nnunet(path, all_keys);
    if (const RunRecord record = open_run_record(path); record.has_folds) return inspect_folds(record);
    return inspect_run(path, all_keys);
  }
  return inspect_file(find_weights(path), all_keys);
}

}  // namespace vmae::run
