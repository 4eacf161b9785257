// Assembles a pretraining run from its config: data, model, optimizer, task; then hands over to train_to_end().
#include "vmae/run/pretrain.h"

#include "vmae/core/log.h"
#include "vmae/data/draws.h"
#include "vmae/run/model_file.h"
#include "vmae/run/panel.h"
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

// Forward pass of a batch with this sample's own mask; drop path only in training mode.
nn::MaeOutput forward(nn::Mae& model, const data::Batch& batch, Stream mask) {
  const at::Device device = batch.image.device();
  const at::Tensor noise = data::uniform_draws(batch.seeds, mask, model->num_units()).to(device);
  const at::Tensor drop_path = model->is_training() ? drop_path_draws(batch, 2 * model->num_blocks()) : at::Tensor();
  return model->forward(batch.image, noise, drop_path);
}

// Mean loss over all validation images, each with the same mask every time.
train::Metrics validation_loss(nn::Mae& model, const std::shared_ptr<data::Dataset>& dataset, const PretrainConfig& config, const train::Plan& plan) {
  const data::AugmentOptions evaluation = data::evaluation_augmentation(config.data.augment);
  data::Loader loader(dataset, loader_options(config.data, plan, static_cast<uint64_t>(config.run.seed), /*shuffle=*/false), &evaluation, {}, /*epochs=*/1);
  double sum = 0;
  int64_t count = 0;
  for (data::Batch batch; next_for_validation(loader, batch);) {
    batch.image = batch.image.to(plan.device);
    const train::Autocast autocast(plan.device.type(), plan.precision);
    sum += forward(model, batch, Stream::validation_mask).loss.item<double>() * static_cast<double>(batch.image.size(0));
    count += batch.image.size(0);
  }
  return {{"loss", sum / static_cast<double>(count)}};
}

}  // namespace

ExitCode pretrain(PretrainConfig config, const TrainArguments& arguments) {
  nn::validate(config.model.mae.swin);
  config.data.image.image_size = config.model.mae.swin.image_size;
  config.data.image.in_channels = config.model.mae.swin.in_channels;
  const Session session(config.run, arguments, "pretrain");
  const Datasets datasets = load_datasets(config.data, session, {});
  const train::Plan plan = train::make_plan(config.train, config.optim, datasets.train->size(), session.device);
  nn::Mae model = make_model(config.model, session.seed(), session.device);
  train::AdamW optimizer(*model, config.optim);

  train::Task task(*model);
  task.loss = [&](const data::Batch& batch) { return forward(model, batch, Stream::mask).loss; };
  if (datasets.val) task.validate = [&] { return validation_loss(model, datasets.val, config, plan); };
  task.metadata = {{"model", config.model.name}, {"model_options", model_options_json(config.model.mae)}};

  const data::Batch shown = panel_batch(datasets.val ? *datasets.val : *datasets.train, config.data.augment, session.seed(), session.device, num_panel_samples);
  const auto draw = [&](train::RunLog& log, int64_t step, int64_t epoch) {
    const nn::MaeOutput output = forward(model, shown, Stream::validation_mask);
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
                                .report_changes = [&](const std::string& old_yaml) { report_changed_config(old_yaml, config); },
                                .draw = draw});
}

}  // namespace vmae::run
