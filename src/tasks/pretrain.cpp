// Assembles a pretraining run from its config: data, model, optimizer, task; then hands over to train_to_end().
#include "vmae/tasks/pretrain.h"

#include "vmae/core/log.h"
#include "vmae/data/draws.h"
#include "vmae/pictures/panel.h"
#include "vmae/predict/model_file.h"
#include "vmae/weights/weights.h"

namespace vmae::run {

namespace {

constexpr int64_t num_panel_samples = 8;

nn::Mae make_model(const ModelOptions& options, uint64_t seed, at::Device device) {
  torch::manual_seed(derive_seed(seed, Stream::init));
  nn::Mae model(options.mae);
  if (!options.init.empty()) {
    const auto path = find_weights(options.init);
    const weights::LoadReport report = weights::load_into(*model, weights::read_weights(path));
    log::info(
        concat("model.init = ", path.string(), ": ", report.loaded.size(), " loaded, ", report.fresh.size(), " new, ", report.dropped.size(), " dropped"));
    weights::require_complete(report, path);
  }
  model->to(device);
  return model;
}

// Forward pass in evaluation mode, with each sample's own mask, the same every time.
nn::MaeOutput evaluate(nn::Mae& model, const data::Batch& batch) {
  return model->forward(batch.image, data::uniform_draws(batch.seeds, Stream::validation_mask, model->num_units()).to(batch.image.device()));
}

// Of the batch of all ranks: the mean over its samples.
at::Tensor training_loss(nn::Mae& model, const data::Batch& batch, const train::RankSum& total) {
  const at::Tensor loss = model->forward(batch.image, batch.draws[0], batch.draws[1]).loss;
  if (!total) return loss;
  const auto samples = static_cast<double>(batch.image.size(0));
  const at::Tensor sums = total(at::stack({loss * samples, at::full_like(loss, samples)}));
  return sums[0] / sums[1];
}

// Mean loss over all validation images, each with the same mask every time.
train::Metrics validation_loss(nn::Mae& model, const std::shared_ptr<data::Dataset>& dataset, const PretrainConfig& config, const train::Plan& plan,
                               train::World& world) {
  const data::AugmentOptions evaluation = data::evaluation_augmentation(config.data.augment);
  data::Loader loader(dataset, loader_options(config.data, plan, static_cast<uint64_t>(config.run.seed), /*shuffle=*/false), &evaluation, {}, /*epochs=*/1);
  double sum = 0, count = 0;
  for (data::Batch batch; next_for_validation(loader, batch);) {
    if (!batch.counts) continue;
    batch.image = batch.image.to(plan.device);
    const train::Autocast autocast(plan.device.type(), plan.precision);
    sum += evaluate(model, batch).loss.item<double>() * static_cast<double>(batch.image.size(0));
    count += static_cast<double>(batch.image.size(0));
  }
  at::Tensor sums = at::tensor({sum, count}, at::kDouble);
  world.sum(sums);
  return {{"loss", sums[0].item<double>() / sums[1].item<double>()}};
}

}  // namespace

ExitCode pretrain(PretrainConfig config, const TrainArguments& arguments, train::World& world) {
  nn::validate(config.model.mae.swin);
  config.data.image.image_size = config.model.mae.swin.image_size;
  config.data.image.in_channels = config.model.mae.swin.in_channels;
  const Session session(config.run, arguments, "pretrain", world);
  const Datasets datasets = load_datasets(config.data, session, {});
  config.model.mae.swin.in_channels = config.data.image.in_channels = datasets.in_channels;
  const train::Plan plan = train::make_plan(config.train, config.optim, datasets.train->size(), session.device, world, arguments.dry_run);
  nn::Mae model = make_model(config.model, session.seed(), session.device);
  train::AdamW optimizer(*model, config.optim);

  train::Task task(*model);
  task.draws = [&](const data::Batch& batch) -> std::vector<at::Tensor> {
    return {data::uniform_draws(batch.seeds, Stream::mask, model->num_units()), drop_path_draws(batch, 2 * model->num_blocks())};
  };
  task.loss = [&](const data::Batch& batch, const train::RankSum& total) { return training_loss(model, batch, total); };
  if (datasets.val) task.validate = [&] { return validation_loss(model, datasets.val, config, plan, world); };
  task.metadata = {{"model", config.model.name},
                   {"model_options", model_options_json(config.model.mae)},
                   {"image_options", image_options_json(config.data.image, config.data.augment.minmax)}};
  add_channels({.channel_names = datasets.channel_names, .channel_modalities = datasets.channel_modalities}, task.metadata);

  const data::Batch shown = panel_batch(datasets.val ? *datasets.val : *datasets.train, config.data.augment, session.seed(), session.device, num_panel_samples);
  const auto draw = [&](train::RunLog& log, int64_t step, int64_t epoch) {
    const nn::MaeOutput output = evaluate(model, shown);
    const nn::MaeOutput on_cpu{output.loss, output.prediction.cpu(), output.hidden.cpu()};
    log.panel(panel_name("reconstruction", epoch),
              reconstruction_panel(shown.image.cpu(), on_cpu, config.model.mae, config.data.image.mean, config.data.image.std), step);
  };
  return train_to_end(session, {.data = config.data,
                                .datasets = datasets,
                                .plan = plan,
                                .task = task,
                                .optimizer = optimizer,
                                .loader = loader_options(config.data, plan, session.seed(), /*shuffle=*/true),
                                .model_text = config.model.name,
                                .config_yaml = config_text(config),
                                .init = config.model.init,
                                .card = card_of(datasets),
                                .report_changes = [&](const std::string& old_yaml) { report_changed_config(old_yaml, config); },
                                .draw = draw});
}

}  // namespace vmae::run
