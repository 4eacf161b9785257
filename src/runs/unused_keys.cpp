#include "vmae/runs/unused_keys.h"

#include <utility>

#include "vmae/core/error.h"
#include "vmae/core/log.h"

namespace vmae::run {

namespace {

// "key = value" of what two configs have otherwise: the values of the first.
template <class Config>
std::vector<std::string> differences(Config is, Config other) {
  Options values, others;
  describe(values, is);
  describe(others, other);
  std::vector<std::string> texts;
  for (const Option& option : values.all()) {
    const std::string value = option.get();
    if (value != others.find(option.key)->get())
      texts.push_back(concat(option.key, " = ", value.empty() ? "\"\"" : value));
  }
  return texts;
}

void reset_unused(train::OptimOptions& optim, const train::OptimOptions& standard) {
  const bool is_adamw = optim.name == "adamw";
  if (!is_adamw) {
    optim.betas = standard.betas;
    optim.eps = standard.eps;
  }
  if (is_adamw) {
    optim.momentum = standard.momentum;
    optim.nesterov = standard.nesterov;
  }
  if (optim.name == "lars")
    optim.decay_norm_and_bias = standard.decay_norm_and_bias;
  else
    optim.trust_coefficient = standard.trust_coefficient;
  if (!optim.schedule.starts_with("poly")) optim.poly_power = standard.poly_power;
}

void reset_unused(nn::SegmentationLossOptions& loss, const nn::SegmentationLossOptions& standard) {
  const bool has_dice = loss.name.starts_with("dice"), is_sum = has_dice && loss.name != "dice";
  if (!has_dice) {
    loss.dice = standard.dice;
    loss.include_background = standard.include_background;
    loss.batch_dice = standard.batch_dice;
    loss.smooth = standard.smooth;
  }
  if (!is_sum) {
    loss.dice_weight = standard.dice_weight;
    loss.ce_weight = standard.ce_weight;
  }
  if (!loss.class_weights.empty()) loss.balance = standard.balance;
  if (!loss.name.ends_with("focal")) loss.focal_gamma = standard.focal_gamma;
}

template <class Config>
void warn_of(const std::vector<std::string>& keys, const Config& config) {
  if (keys.empty()) return;
  std::string loss;
  if constexpr (std::is_same_v<Config, SegmentConfig>) loss = concat(", loss.name = ", config.loss.name);
  log::warning(concat("means nothing with model.name = ", config.model.name, ", optim.name = ", config.optim.name,
                      ", optim.schedule = ", config.optim.schedule, loss, ": ", join(keys, ", ")));
}

}  // namespace

void reset_unused(SegmentConfig& config, const SegmentConfig& standard) {
  reset_unused(config.optim, standard.optim);
  reset_unused(config.loss, standard.loss);
  const nn::SegmenterKind& kind = *nn::find_segmenter(config.model.name);
  nn::UnetOptions net = standard.model.net;
  net.num_classes = config.model.net.num_classes;
  net.swin.image_size = config.model.net.swin.image_size;
  net.swin.in_channels = config.model.net.swin.in_channels;
  kind.take_own(config.model.net, net);
  config.model.net = std::move(net);
  if (!kind.takes_init || kind.name == "nnunet") {
    config.model.transfer = standard.model.transfer;
    config.model.allow_mismatch = standard.model.allow_mismatch;
  }
}

void warn_of_unused_keys(const PretrainConfig& config) {
  PretrainConfig used = config;
  const PretrainConfig standard;
  reset_unused(used.optim, standard.optim);
  if (config.model.name == "simclr") {
    used.model.mae = standard.model.mae;
    used.model.mae.swin = config.model.mae.swin;
  } else {
    used.model.contrast = standard.model.contrast;
    used.views = standard.views;
  }
  warn_of(differences(config, used), config);
}

void warn_of_unused_keys(const SegmentConfig& config) {
  SegmentConfig used = config;
  reset_unused(used, defaults_for(config));
  warn_of(differences(config, used), config);
}

void warn_of_unused_keys(const ClassifyConfig& config) {
  ClassifyConfig used = config;
  const ClassifyConfig standard = defaults_for(config);
  reset_unused(used.optim, standard.optim);
  warn_of(differences(config, used), config);
}

void refuse_keys_of_others(const SegmentConfig& config) {
  const bool is_nnunet = config.model.name == "nnunet";
  SegmentConfig followed = config;
  if (is_nnunet) {
    const SegmentConfig standard(config.recipe);
    followed.data.augment = defaults_for(config).data.augment;
    followed.data.image = standard.data.image;
    followed.data.image.modality = config.data.image.modality;  // which channels' normalisation goes by
    followed.data.channels = standard.data.channels;
    followed.data.foreground_share = 0;
    followed.data.weights = {};
    followed.loss = standard.loss;
    followed.model.net = standard.model.net;
  } else {
    followed.nnunet = {};
  }
  const std::vector<std::string> keys = differences(config, followed);
  if (!keys.empty())
    throw Error(ExitCode::usage, concat(keys.front(), " means nothing to model.name = ", config.model.name),
                is_nnunet ? "leave it out: nnU-Net's plan and its authors' training decide it (docs/baselines.md)"
                          : "leave it out, or set model.name=nnunet");
}

}  // namespace vmae::run
