// Assembles a pretraining run from its config: data, optimizer, task with its model; then hands over to train_to_end().
#include "vmae/tasks/pretrain.h"

#include "pretrain_tasks.h"
#include "vmae/core/log.h"
#include "vmae/nn/mae.h"
#include "vmae/predict/find_weights.h"
#include "vmae/predict/model_file.h"
#include "vmae/runs/unused_keys.h"
#include "vmae/tasks/training.h"
#include "vmae/weights/weights.h"

namespace vmae::run {

void begin_with(torch::nn::Module& network, const ModelOptions& model, at::Device device) {
  if (!model.init.empty()) {
    const auto path = find_weights(model.init);
    const weights::TensorFile file = weights::read_weights(path);
    require_model(file, path, model.name,
                  "pretraining goes on from weights of the same model; from those of another only fine-tuning begins");
    const weights::LoadReport report = weights::load_into(network, file);
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
    check_contrast(config, world.size());
    config.data.augment.crop_area = config.views.crop_area;
    config.data.augment.crop_ratio = config.views.crop_ratio;
  }
  const Session session(config.run, arguments, "pretrain", world);
  require_own_model(session, config.model.name);
  warn_of_unused_keys(config);
  const Datasets datasets = is_contrastive(config) ? load_datasets(data_of_views(config), session,
                                                                   {.num_labels = data::Targets::kLabelsIfAny})
                                                   : load_datasets(config.data, session, {});
  tell_images(datasets, config.data.image);
  config.data.image.in_channels = datasets.in_channels;
  config.model.mae.swin.in_channels = datasets.in_channels;
  const int64_t epoch =
      is_contrastive(config) ? contrastive_epoch(*datasets.train, config.train.batch_size) : datasets.train->size();
  const train::Plan plan =
      train::make_plan(config.train, config.optim, epoch, session.device, world, arguments.dry_run);
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
