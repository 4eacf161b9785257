#include "vmae/runs/pretrain_options.h"

namespace vmae::run {

void describe(Options& options, ModelOptions& model) {
  options.add("name", model.name, "the model to train; mae: a Swin masked autoencoder", one_of({"mae"}));
  options.add("init", model.init,
              "weights to start from: safetensors or .pth, ours or the Python reference's; empty: random");
  describe(options, model.mae);
}

void describe(Options& options, PretrainConfig& config) {
  options.section("run", "Where and how", config.run);
  options.section("data", "Images in", config.data);
  options.section("model", "The network", config.model);
  options.section("train", "The training loop", config.train);
  options.section("optim", "AdamW and its schedule: linear warm-up from 0, then half a cosine, per step", config.optim);
}

}  // namespace vmae::run
