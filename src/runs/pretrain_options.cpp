#include "vmae/runs/pretrain_options.h"

namespace vmae::run {

void describe(Options& options, ModelOptions& model) {
  options.add(
      "name", model.name,
      "the model to train. mae: a Swin masked autoencoder; simclr: the same encoder by contrastive learning of views",
      one_of({"mae", "simclr"}));
  options.add("init", model.init,
              "weights to start from: safetensors or .pth, ours or the Python reference's; empty: random");
  describe(options, model.mae);
  describe(options, model.contrast);
}

void describe(Options& options, PretrainConfig& config) {
  options.section("run", "Where and how", config.run);
  options.section("data", "Images in", config.data);
  options.section("views",
                  "simclr: the two views of an image. They are made of values in [0, 1], before data.mean and "
                  "data.std; data.flip_horizontal and the other augmentations of `data` apply to each view as well",
                  config.views);
  options.section("model", "The network", config.model);
  options.section("train", "The training loop", config.train);
  options.section("optim", "the optimizer and its schedule: linear warm-up from 0, then optim.schedule, per step",
                  config.optim);
}

}  // namespace vmae::run
