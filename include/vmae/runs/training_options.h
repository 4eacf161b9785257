#pragma once
// The keys that `vmae pretrain`, `finetune-seg` and `finetune-cls` have in common.
#include <cstdint>
#include <string>
#include <vector>

#include "vmae/core/config.h"
#include "vmae/data/augment.h"
#include "vmae/data/image_options.h"
#include "vmae/runs/split.h"
#include "vmae/train/train_options.h"

namespace vmae::run {

struct RunOptions {
  std::string dir;
  int64_t seed = 0;
  std::string device = "auto";
  int64_t threads = 0;
  double timeout_s = 600;
  bool deterministic = true;
};
void describe(Options& options, RunOptions& run);

struct DataOptions {
  std::vector<std::string> train, val;
  std::string test;
  std::vector<double> weights;
  std::vector<std::string> findings;  // of a classification: as io::find_source()
  SplitChoice splits;
  std::string channels = "stacked";
  double val_fraction = 0.05;
  int64_t workers = 0;
  int64_t prefetch = 4;
  double max_bad_fraction = 0.05;
  data::ImageOptions image;
  data::AugmentOptions augment;
};
void describe(Options& options, DataOptions& data);

template <class Config>
std::string config_text(Config config) {
  Options options;
  describe(options, config);
  return config_yaml(options, /*with_comments=*/false);
}

// Sources without those that are an empty text, which is none.
std::vector<std::string> named_sources(std::vector<std::string> sources);

// Of what a run needs, what can be told before anything is looked at; writes: it is no dry run. Throws Error(usage).
void require_keys(const RunOptions& run, const DataOptions& data, bool writes);

}  // namespace vmae::run
