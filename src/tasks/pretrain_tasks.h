#pragma once
// The tasks of `vmae pretrain`, a source for each model.
#include <memory>

#include "vmae/runs/pretrain_options.h"
#include "vmae/tasks/datasets.h"
#include "vmae/train/task.h"

namespace vmae::run {

// What a task keeps references to.
struct PretrainParts {
  const PretrainConfig& config;
  const Datasets& datasets;
  const train::Plan& plan;
  train::World& world;
  uint64_t seed() const { return static_cast<uint64_t>(config.run.seed); }
  const data::Dataset& shown_from() const { return datasets.val ? *datasets.val : *datasets.train; }
};

// reconstruct.cpp: mae
std::unique_ptr<train::Task> reconstruction_task(const PretrainParts& parts);
// contrast.cpp: simclr
std::unique_ptr<train::Task> contrastive_task(const PretrainParts& parts);
void check_contrast(const PretrainConfig& config, int64_t num_ranks);  // throws Error(usage)
// Samples of an epoch: batches of few images teach little, so the last ones of a pass open the next epoch.
int64_t contrastive_epoch(const data::Dataset& train, int64_t batch_size);

// model.init into a fresh network, which is then on the device. Throws Error(checkpoint), also for weights of another
// model.name.
void begin_with(torch::nn::Module& network, const ModelOptions& model, at::Device device);

}  // namespace vmae::run
