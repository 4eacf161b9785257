// A checkpoint is a dict: network_weights, optimizer_state, grad_scaler_state, logging, _best_ema, current_epoch,
// init_args (what the trainer was made with: plans, configuration, fold, dataset_json, device), trainer_name,
// inference_allowed_mirroring_axes.
#include "nnunet_facts.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "input_file.h"
#include "value_json.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/json_text.h"

namespace vmae::weights {
namespace {

namespace fs = std::filesystem;
using Kind = Value::Kind;
using Json = nlohmann::ordered_json;  // the order of labels is the order of the network's heads

// A part of a dict, or nullptr.
const Value* value_under(const Value* dict, const char* key, Kind kind) {
  const Value* found = dict == nullptr ? nullptr : dict->find(key);
  return found != nullptr && found->kind == kind ? found : nullptr;
}

[[noreturn]] void fail_without(const fs::path& path, const std::string& what) {
  fail(path, concat("is a checkpoint of nnU-Net without ", what), "use the one that nnU-Net wrote");
}

Json parsed_object(const std::string& text) {
  Json json = is_deep_json(text) ? Json() : Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : Json();
}

// What the trainer was made with, or the file of the same content that nnU-Net keeps above the folder of the fold.
std::string object_text(const Value* arguments, const char* key, const char* name, const fs::path& path) {
  if (const Value* found = value_under(arguments, key, Kind::dict)) return json_text(json_of(*found, path));
  const fs::path beside = fs::absolute(path).parent_path().parent_path() / name;
  if (!fs::exists(beside)) {
    fail(path, concat("is a checkpoint of nnU-Net without init_args.", key, ", and there is no ", beside.string()),
         "keep it where nnU-Net wrote it: in fold_N, with plans.json and dataset.json one folder above");
  }
  const Json json = parsed_object(read_file(beside));
  if (json.is_null()) fail(beside, "is no JSON object");
  return json_text(json);
}

// None is none.
std::string mirror_axes_text(const Value& root, const fs::path& path) {
  const Value* axes = root.find("inference_allowed_mirroring_axes");
  if (axes == nullptr || axes->kind == Kind::none) return "[]";
  const bool is_list = axes->kind == Kind::list || axes->kind == Kind::tuple;
  if (!is_list || !std::all_of(axes->items.begin(), axes->items.end(),
                               [](const Value* axis) { return axis->kind == Kind::integer; }))
    fail(path, "inference_allowed_mirroring_axes in it is no list of axes");
  return json_text(json_of(*axes, path));
}

}  // namespace

void add_nnunet_facts(const Value& root, const fs::path& path, Metadata& metadata) {
  const Value *arguments = value_under(&root, "init_args", Kind::dict),
              *trainer = value_under(&root, "trainer_name", Kind::text);
  if (value_under(&root, kNnUnetWeights, Kind::dict) == nullptr || (arguments == nullptr && trainer == nullptr)) return;
  const Value* configuration = value_under(arguments, "configuration", Kind::text);
  if (configuration == nullptr) fail_without(path, "init_args.configuration");
  if (trainer == nullptr) fail_without(path, "trainer_name");
  metadata["model"] = "nnunet";
  metadata["nnunet_plans"] = object_text(arguments, "plans", "plans.json", path);
  metadata["nnunet_dataset"] = object_text(arguments, "dataset_json", "dataset.json", path);
  metadata["nnunet_configuration"] = configuration->text;
  metadata["nnunet_trainer"] = trainer->text;
  metadata["nnunet_mirror_axes"] = mirror_axes_text(root, path);
  if (const Value* fold = value_under(arguments, "fold", Kind::integer))
    metadata["nnunet_fold"] = std::to_string(fold->integer);
  else if (const Value* name = value_under(arguments, "fold", Kind::text))
    metadata["nnunet_fold"] = name->text;
}

bool is_nnunet(const Metadata& metadata) {
  return metadata.contains("nnunet_plans") && metadata.contains("nnunet_trainer");
}

}  // namespace vmae::weights
