// A checkpoint is a dict: network_weights, optimizer_state, grad_scaler_state, logging, _best_ema, current_epoch,
// init_args (what the trainer was made with: plans, configuration, fold, dataset_json, device), trainer_name,
// inference_allowed_mirroring_axes.
#include "vmae/weights/nnunet_checkpoint.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "input_file.h"
#include "nnunet_facts.h"
#include "pth_archive.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/json_text.h"
#include "vmae/core/log.h"
#include "vmae/weights/nnunet.h"
#include "vmae/weights/unwrap.h"
#include "vmae/weights/weights.h"

namespace vmae::weights {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;  // the order of labels is the order of the network's heads

Json parsed_object(const std::string& text) {
  Json json = is_deep_json(text) ? Json() : Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : Json();
}

}  // namespace

bool is_nnunet_checkpoint(const TensorFile& file) { return is_nnunet(file.metadata); }

TensorFile read_nnunet_checkpoint(const fs::path& path) {
  TensorFile file = read_weights(path);
  if (!is_nnunet_checkpoint(file))
    fail(path, "is no checkpoint of nnU-Net v2: it has no network_weights with init_args and trainer_name",
         "give checkpoint_final.pth or checkpoint_best.pth of a folder fold_N");
  return file;
}

namespace {

at::IValue ivalue_of(const Json& json) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_float()) return json.get<double>();
  if (json.is_number_integer()) return json.get<int64_t>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_array()) {
    c10::impl::GenericList list(c10::AnyType::get());
    for (const Json& item : json) list.push_back(ivalue_of(item));
    return list;
  }
  if (json.is_object()) {
    c10::impl::GenericDict dict(c10::StringType::get(), c10::AnyType::get());
    for (const auto& [key, value] : json.items()) dict.insert(key, ivalue_of(value));
    return dict;
  }
  return {};
}

// Mean over the classes that are there, as numpy's nanmean.
double mean_dice(const std::vector<double>& dice) {
  double sum = 0, count = 0;
  for (const double one : dice) {
    if (std::isnan(one)) continue;
    sum += one;
    ++count;
  }
  return dice.empty() ? 0 : sum / count;
}

// nnU-Net's LocalLogger: one entry of each list and epoch. Its moving average begins with the first value.
Json log_lists(const std::vector<NnUnetEpoch>& log) {
  Json lists;
  for (const char* name : {"mean_fg_dice", "ema_fg_dice", "dice_per_class_or_region", "train_losses", "val_losses",
                           "lrs", "epoch_start_timestamps", "epoch_end_timestamps"})
    lists[name] = Json::array();
  double average = 0;
  for (const NnUnetEpoch& epoch : log) {
    const double mean = mean_dice(epoch.dice);
    average = lists["ema_fg_dice"].empty() ? mean : average * 0.9 + 0.1 * mean;
    lists["mean_fg_dice"].push_back(mean);
    lists["ema_fg_dice"].push_back(average);
    lists["dice_per_class_or_region"].push_back(epoch.dice);
    lists["train_losses"].push_back(epoch.train_loss);
    lists["val_losses"].push_back(epoch.val_loss);
    lists["lrs"].push_back(epoch.lr);
    lists["epoch_start_timestamps"].push_back(epoch.begin_s);
    lists["epoch_end_timestamps"].push_back(epoch.end_s);
  }
  return lists;
}

// Of torch.optim.SGD as nnU-Net makes it, before its first step.
Json fresh_optimizer(size_t num_parameters) {
  std::vector<size_t> numbers(num_parameters);
  std::iota(numbers.begin(), numbers.end(), size_t{0});
  Json group{{"lr", 0.01},       {"momentum", 0.99},   {"dampening", 0},     {"weight_decay", 3e-5},
             {"nesterov", true}, {"maximize", false},  {"foreach", nullptr}, {"differentiable", false},
             {"fused", nullptr}, {"initial_lr", 0.01}, {"params", numbers}};
  return {{"state", Json::object()}, {"param_groups", Json::array({group})}};
}

Json fold_of(const std::string& fold) {
  const bool is_number = !fold.empty() && fold.size() < 10 && fold.find_first_not_of("0123456789") == std::string::npos;
  return is_number ? Json(std::stoll(fold)) : Json(fold);
}

Json initial_arguments(const fs::path& path, const NnUnetCheckpointFacts& facts) {
  const Json plans = parsed_object(facts.plans), dataset = parsed_object(facts.dataset);
  if (plans.is_null() || dataset.is_null())
    fail(path, concat("cannot be written: its ", plans.is_null() ? "plans" : "dataset.json", " is no JSON object"));
  return {{"plans", plans},
          {"configuration", facts.configuration},
          {"fold", fold_of(facts.fold)},
          {"dataset_json", dataset}};
}

// All but the weights.
Json rest_of_checkpoint(const fs::path& path, size_t num_parameters, const NnUnetCheckpointFacts& facts) {
  const Json logging = log_lists(facts.log), &averages = logging.at("ema_fg_dice");
  return {{"optimizer_state", fresh_optimizer(num_parameters)},
          {"grad_scaler_state", nullptr},
          {"logging", logging},
          {"_best_ema", averages.empty() ? Json() : *std::max_element(averages.begin(), averages.end())},
          {"current_epoch", facts.log.size()},
          {"init_args", initial_arguments(path, facts)},
          {"trainer_name", facts.trainer},
          {"inference_allowed_mirroring_axes", facts.mirror_axes.empty() ? Json() : Json(facts.mirror_axes)}};
}

}  // namespace

void write_nnunet_checkpoint(const fs::path& path, const NamedTensors& state, const NnUnetCheckpointFacts& facts) {
  guarded(path, [&] {
    NamedTensors once;  // compact before the copies, which then share their storage
    for (const auto& [key, tensor] : state) once.emplace_back(key, compact(tensor));
    c10::impl::GenericDict root(c10::StringType::get(), c10::AnyType::get());
    root.insert(kNnUnetWeights, dict_of_tensors(path, with_copies(once)));
    const Json rest = rest_of_checkpoint(path, state.size(), facts);
    for (const auto& [key, value] : rest.items()) root.insert(key, ivalue_of(value));
    write_pth_archive(path, root, {});
  });
}

}  // namespace vmae::weights
