#pragma once
// The tasks of `vmae finetune-seg`, and what they need of the masks.
#include <memory>
#include <string>
#include <vector>

#include "vmae/data/label_census.h"
#include "vmae/pictures/data_card.h"
#include "vmae/runs/finetune_options.h"
#include "vmae/tasks/datasets.h"
#include "vmae/train/task.h"

namespace vmae::run {

// What the masks say: which classes there are, and where there is anything.
struct Classes {
  std::vector<std::string> names;  // of values 1, 2, ...
  data::LabelCensus train;
  std::vector<int64_t> shown;  // validation (else training) samples with foreground
  int64_t ignore = -1;         // io::kIgnored, or -1
  DataCard card;
  bool can_measure_dice = false;
  int64_t count() const { return static_cast<int64_t>(names.size()) + 1; }
};

// segment_classes.cpp. Throws Error(data) where masks contradict each other, names or themselves.
Classes find_classes(const SegmentConfig& config, const Datasets& datasets);

// What a task keeps references to.
struct SegmentParts {
  const SegmentConfig& config;
  const Datasets& datasets;
  const train::Plan& plan;
  const Classes& classes;
  train::World& world;
  uint64_t seed() const { return static_cast<uint64_t>(config.run.seed); }
};

// segment_task.cpp: all networks but nnU-Net, from model.init or at random.
std::unique_ptr<train::Task> segment_task(const SegmentParts& parts, const Session& session);

}  // namespace vmae::run
