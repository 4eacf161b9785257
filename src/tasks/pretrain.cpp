// Assembles a pretraining run from its config: data, optimizer, task with its model; then hands over to train_to_end().
#include "vmae/tasks/pretrain.h"

#include "pretrain_tasks.h"
#include "vmae/core/log.h"
#include "vmae/nn/mae.h"
#include "vmae/predict/model_file.h"
#include "vmae/tasks/training.h"
#include "vmae/weights/weights.h"

namespace vmae::run {

void begin_with(torch::nn::Module& network, const std::string& init, at::Device device) {
  if (!init.empty()) {
    const auto path = find_weights(init);
    const weights::LoadReport report = weights::load_into(network, weights::read_weights(path));
    log::info(concat("model.init = ", path.string(), ": ", report.loaded.size(), " loaded, ", report.fresh.size(),
                     " new, ", report.dropped.size(), " dropped"));
    weights::require_complete(report, path);
  }
  network.to(device);
}

namespace {

bool is_contrastive(const PretrainConfig& config) { return config.model.name == "simclr"; }

// Views are made of values in [0, 1]; the task normalises them.
DataOptions data_of_views(const PretrainConfig& config) {
  DataOptions data = config.data;
  if (data.image.intensity == "zscore")
    throw Error(ExitCode::usage, "data.intensity = zscore has no largest value, but views are made of values in [0, 1]",
                "set data.intensity to auto, percentile, window, minmax or stored");
  data::check(config.views);
  data.image.mean = {0.0};
  data.image.std = {1.0};
  return data;
}

weights::Metadata metadata_of(const PretrainConfig& config, const Datasets& datasets) {
  weights::Metadata metadata{{"model", config.model.name},
                             {"model_options", is_contrastive(config) ? model_options_json(config.model.simclr())
                                                                      : model_options_json(config.model.mae)},
                             {"image_options", image_options_json(config.data.image, config.data.augment.minmax)}};
  add_channels({.channel_names = datasets.channel_names, .channel_modalities = datasets.channel_modalities}, metadata);
  return metadata;
}

}  // namespace

ExitCode pretrain(PretrainConfig config, const TrainArguments& arguments, train::World& world) {
  nn::validate(config.model.mae.swin, is_contrastive(config) ? 1 : 32);
  config.data.image.image_size = config.model.mae.swin.image_size;
  config.data.image.in_channels = config.model.mae.swin.in_channels;
  if (is_contrastive(config)) {
    config.data.augment.crop_area = config.views.crop_area;
    config.data.augment.crop_ratio = config.views.crop_ratio;
  }
  const Session session(config.run, arguments, "pretrain", world);
  const Datasets datasets = is_contrastive(config) ? load_datasets(data_of_views(config), session,
                                                                   {.num_labels = data::Targets::kLabelsIfAny})
                                                   : load_datasets(config.data, session, {});
  config.data.image.in_channels = datasets.in_channels;
  config.model.mae.swin.in_channels = datasets.in_channels;
  const train::Plan plan =
      train::make_plan(config.train, config.optim, datasets.train->size(), session.device, world, arguments.dry_run);
  torch::manual_seed(derive_seed(session.seed(), Stream::init));
  const PretrainParts parts{config, datasets, plan, world};
  const auto task = is_contrastive(config) ? contrastive_task(parts) : reconstruction_task(parts);
  const auto optimizer = train::make_optimizer(task->module(), config.optim);
  data::LoaderOptions loader = training_loader(config.data, plan, session.seed());
  loader.has_two_views = is_contrastive(config);
  return train_to_end(
      session, {.data = config.data,
                .datasets = datasets,
                .plan = plan,
                .task = *task,
                .optimizer = *optimizer,
                .loader = std::move(loader),
                .metadata = metadata_of(config, datasets),
                .model_text = config.model.name,
                .config_yaml = config_text(config),
                .init = config.model.init,
                .card = card_of(datasets),
                .report_changes = [&](const std::string& old_yaml) { report_changed_config(old_yaml, config); }});
}

}  // namespace vmae::run
