#pragma once
// What `vmae pretrain`, `finetune-seg` and `finetune-cls` do alike once data,
// model and task are there: from these to a finished (or interrupted) run.
#include <functional>
#include <string>

#include "vmae/core/config.h"
#include "vmae/pictures/data_card.h"
#include "vmae/tasks/datasets.h"
#include "vmae/tasks/session.h"
#include "vmae/train/trainer.h"

namespace vmae::run {

at::Tensor drop_path_draws(const data::Batch& batch, int64_t count);

// Everything that train_to_end() needs of a command.
struct Training {
  const DataOptions& data;
  const Datasets& datasets;
  const train::Plan& plan;
  train::Task& task;
  train::Optimizer& optimizer;
  data::LoaderOptions loader;
  weights::Metadata metadata;  // what describes the model
  std::string model_text;      // for the log: "swin-unet, 3 classes"
  std::string config_yaml;
  std::string init;  // model.init
  DataCard card;
  std::vector<std::pair<std::string, std::string>> files{};  // further ones for the run's folder: name and text
  std::function<void(const std::string& old_yaml)> report_changes;
};

// Resumes if asked to, writes what a run folder holds, trains, and
// says how it went. ok or stopped; everything else is thrown as Error.
ExitCode train_to_end(const Session& session, Training training);

void report_changed_options(const Options& before, const Options& now);

// What differs between the config of a checkpoint and today's,
// so that nobody resumes with another config without knowing.
template <class Config>
void report_changed_config(const std::string& old_yaml, Config now) {
  Config before = now;
  Options old_options, new_options;
  describe(old_options, before);
  read_config_text(old_yaml, "the checkpoint's config", old_options);
  describe(new_options, now);
  report_changed_options(old_options, new_options);
}

}  // namespace vmae::run
