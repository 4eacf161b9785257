#pragma once
// Options of every kind, for the config tests.
#include "vmae/core/options.h"

namespace vmae::test {

struct SampleOptim {
  double lr = 1e-4, weight_decay = 0.05;
  std::vector<double> betas = {0.9, 0.95};
};
inline void describe(Options& o, SampleOptim& v) {
  o.add("lr", v.lr, "peak learning rate, for the global batch", in_range(0, 10));
  o.add("weight_decay", v.weight_decay, "decoupled weight decay", at_least(0));
  o.add("betas", v.betas, "Adam's decay rates", in_range(0, 1));
}

struct SampleDecoder {
  int64_t depth = 1;
};
inline void describe(Options& o, SampleDecoder& v) { o.add("depth", v.depth, "number of blocks", at_least(1)); }

struct SampleModel {
  std::vector<int64_t> image_size = {96, 160};
  std::vector<std::string> heads;
  bool has_bias = true;
  SampleDecoder decoder;
};
inline void describe(Options& o, SampleModel& v) {
  o.add("image_size", v.image_size, "height and width in pixels", at_least(1));
  o.section("decoder", "The part that rebuilds the image.", v.decoder);
  o.add("heads", v.heads, "names | of the heads");
  o.add("has_bias", v.has_bias, "whether linear layers have a bias");
}

struct SampleConfig {
  std::string dir, device = "auto";
  int64_t seed = 0;
  SampleOptim optim;
  SampleModel model;
};
inline void describe(Options& o, SampleConfig& v) {
  o.add("run.dir", v.dir, "where everything is written");
  o.add("run.device", v.device, "where to compute", one_of({"auto", "cpu", "cuda"}));
  o.add("run.seed", v.seed,
        "of everything random; a long text so that the comment has to be wrapped at the end of the line, which is at "
        "one hundred and ten columns");
  o.section("optim", "The optimizer.", v.optim);
  o.section("model", "The network.", v.model);
}

struct Sample {
  SampleConfig config;
  Options options;
  Sample() { describe(options, config); }
  Sample(const Sample&) = delete;
  Sample& operator=(const Sample&) = delete;
};

}  // namespace vmae::test
