#include "vmae/train/checkpoint.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "vmae/core/error.h"
#include "vmae/weights/weights.h"

namespace vmae::train {

namespace fs = std::filesystem;

namespace {

constexpr const char* kOptimizerPrefix = "optimizer.";
constexpr const char* kUnaveragedPrefix = "optimizer.unaveraged.";
constexpr const char* kGeneratorKey = "state.generator";

void keep_previous(const fs::path& last) {
  // a file system without hard links keeps no previous checkpoint; the new one is written atomically all the same
  std::error_code ignored;
  if (!fs::exists(last)) return;
  const fs::path previous = last.parent_path() / "previous.safetensors", link = last.parent_path() / "previous.tmp";
  fs::remove(link, ignored);
  fs::create_hard_link(last, link, ignored);
  if (!ignored) fs::rename(link, previous, ignored);
}

// The module's tensors, averages instead of the weights where there are any.
weights::NamedTensors with_averages(const torch::nn::Module& module, const weights::NamedTensors& averages) {
  const std::map<std::string, at::Tensor> by_key(averages.begin(), averages.end());
  weights::NamedTensors tensors = weights::state_dict(module);
  for (auto& [key, tensor] : tensors) {
    if (const auto average = by_key.find(key); average != by_key.end()) tensor = average->second;
  }
  return tensors;
}

weights::NamedTensors copied(weights::NamedTensors tensors) {
  for (auto& [name, tensor] : tensors) tensor = tensor.detach().to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
  return tensors;
}

}  // namespace

std::string state_text(const RunState& s, const TrainingParts& parts) {
  nlohmann::ordered_json json = {{"step", s.step},
                                 {"epoch", s.position.epoch},
                                 {"sample", s.position.sample},
                                 {"epoch_batch_size", s.epoch_batch_size},
                                 {"best_epoch", s.best_epoch},
                                 {"best_metric", s.best_metric},
                                 {"epoch_to_end", s.epoch_to_end},
                                 {"skipped_steps", s.skipped_steps},
                                 {"interval_loss", s.interval_loss},
                                 {"interval_steps", s.interval_steps},
                                 {"trained_s", s.trained_s},
                                 {"loss_scale", parts.loss_scale.value()},
                                 {"loss_scale_good_steps", parts.loss_scale.good_steps()},
                                 {"optimizer_steps", parts.optimizer.step_count()}};
  if (s.best_epoch >= 0) json["best"] = s.best;
  if (std::isfinite(s.best_loss)) json["best_loss"] = s.best_loss;
  return json.dump();
}

RunState restore_state(const std::string& text, const TrainingParts& parts) {
  const auto json = nlohmann::json::parse(text);
  RunState state;
  state.step = json.at("step");
  state.position = {json.at("epoch"), json.at("sample")};
  state.epoch_batch_size = json.value("epoch_batch_size", int64_t{0});  // older checkpoints don't say
  state.best_epoch = json.at("best_epoch");
  state.best_metric = json.value("best_metric", "loss");  // older checkpoints are pretraining's
  state.epoch_to_end = json.at("epoch_to_end");
  if (json.contains("best")) state.best = json.at("best");
  if (json.contains("best_loss")) state.best_loss = json.at("best_loss");
  state.skipped_steps = json.at("skipped_steps");
  state.interval_loss = json.at("interval_loss");
  state.interval_steps = json.at("interval_steps");
  state.trained_s = json.at("trained_s");
  parts.loss_scale.restore(json.at("loss_scale"), json.at("loss_scale_good_steps"));
  parts.optimizer.set_step_count(json.at("optimizer_steps"));
  return state;
}

weights::NamedTensors optimizer_tensors(const TrainingParts& parts) {
  weights::NamedTensors tensors;
  for (const auto& [name, tensor] : parts.optimizer.state()) tensors.emplace_back(kOptimizerPrefix + name, tensor);
  return tensors;
}

Snapshot take_checkpoint(const fs::path& file, const TrainingParts& parts, const RunState& state,
                         weights::Metadata metadata) {
  const weights::NamedTensors averages = parts.optimizer.averages();
  weights::NamedTensors tensors = with_averages(parts.module, averages);
  for (auto& moment : optimizer_tensors(parts)) tensors.push_back(std::move(moment));
  if (!averages.empty()) {
    const auto parameters = parts.module.named_parameters();
    for (const auto& [key, average] : averages) tensors.emplace_back(kUnaveragedPrefix + key, parameters[key]);
  }
  tensors.emplace_back(kGeneratorKey, at::detail::getDefaultCPUGenerator().get_state());
  metadata["state"] = state_text(state, parts);
  return {file, copied(std::move(tensors)), std::move(metadata), /*keeps_previous=*/true};
}

Snapshot take_weights(const fs::path& file, const torch::nn::Module& module, weights::Metadata metadata,
                      const weights::NamedTensors& averages) {
  return {file, copied(with_averages(module, averages)), std::move(metadata)};
}

bool has_averages(const weights::TensorFile& checkpoint) {
  return std::any_of(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                     [](const auto& entry) { return entry.first.starts_with(kUnaveragedPrefix); });
}

void write(const Snapshot& snapshot) {
  try {
    if (snapshot.keeps_previous) keep_previous(snapshot.file);
    weights::write_safetensors(snapshot.file, snapshot.tensors, snapshot.metadata);
  } catch (const Error& error) {
    throw Error(ExitCode::checkpoint, concat("the checkpoint could not be saved: ", error.what()),
                "the last good checkpoint is untouched: make room, then continue with --resume");
  }
}

RunState load_checkpoint(const weights::TensorFile& checkpoint, const fs::path& file, const TrainingParts& parts) {
  const auto fail = [&](const std::string& what, const std::string& hint) -> Error {
    return {ExitCode::checkpoint, concat(file.string(), ": ", what), hint};
  };
  const auto found = checkpoint.metadata.find("state");
  if (found == checkpoint.metadata.end())
    throw fail("holds weights, but no training state",
               "to start a new run from these weights, set model.init to this file instead of --resume");

  weights::TensorFile model;
  std::map<std::string, at::Tensor> rest, saved_weights;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (name.starts_with(kOptimizerPrefix) || name.starts_with("state."))
      rest.emplace(name, tensor);
    else
      saved_weights.emplace(name, tensor);
  }
  for (const auto& [name, tensor] : saved_weights) {
    const auto trained = rest.find(kUnaveragedPrefix + name);
    model.tensors.emplace_back(name, trained == rest.end() ? tensor : trained->second);
  }
  weights::require_complete(weights::load_into(parts.module, model), file);
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : optimizer_tensors(parts)) {
    const auto saved = rest.find(name);
    if (saved == rest.end())
      throw fail(concat(name, " is missing"),
                 "the file is not a complete checkpoint of this model, or of a run with another optim.name");
    if (saved->second.sizes() != tensor.sizes())
      throw fail(concat(name, " has another shape"), "resume with the model options of the run");
    at::Tensor(tensor).copy_(saved->second);
  }
  for (auto& [name, average] : parts.optimizer.averages()) at::Tensor(average).copy_(saved_weights.at(name));
  if (!rest.contains(kGeneratorKey))
    throw fail("the generator's state is missing", "the file is not a complete checkpoint");
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  generator.set_state(rest.at(kGeneratorKey));

  try {
    return restore_state(found->second, parts);
  } catch (const nlohmann::json::exception& problem) {
    throw fail(concat("the training state is damaged: ", problem.what()), "use checkpoints/previous.safetensors");
  }
}

}  // namespace vmae::train
