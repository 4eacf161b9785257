// Assembles a pretraining run from its config: data, model, optimizer, task; then hands over to train_to_end().
#include "vmae/tasks/pretrain.h"

#include "vmae/core/log.h"
#include "vmae/data/draws.h"
#include "vmae/pictures/panel.h"
#include "vmae/predict/model_file.h"
#include "vmae/tasks/training.h"
#include "vmae/tasks/validation.h"
#include "vmae/weights/weights.h"

namespace vmae::run {

namespace {

nn::Mae make_model(const ModelOptions& options, uint64_t seed, at::Device device) {
  torch::manual_seed(derive_seed(seed, Stream::init));
  nn::Mae model(options.mae);
  if (!options.init.empty()) {
    const auto path = find_weights(options.init);
    const weights::LoadReport report = weights::load_into(*model, weights::read_weights(path));
    log::info(concat("model.init = ", path.string(), ": ", report.loaded.size(), " loaded, ", report.fresh.size(),
                     " new, ", report.dropped.size(), " dropped"));
    weights::require_complete(report, path);
  }
  model->to(device);
  return model;
}

class PretrainTask : public train::Task {
 public:
  PretrainTask(nn::Mae model, const Datasets& datasets, const PretrainConfig& config, const train::Plan& plan,
               train::World& world)
      : model_(std::move(model)), datasets_(datasets), config_(config), plan_(plan), world_(world) {
    shown_ = panel_batch(datasets.val ? *datasets.val : *datasets.train, config.data.augment, seed(), plan.device);
  }
  torch::nn::Module& module() override { return *model_; }

  std::vector<at::Tensor> draws(const data::Batch& batch) override {
    return {data::uniform_draws(batch.seeds, Stream::mask, model_->num_units()),
            drop_path_draws(batch, 2 * model_->num_blocks())};
  }

  // The mean over the samples of all ranks.
  at::Tensor loss(const data::Batch& batch, const train::RankSum& total) override {
    const at::Tensor loss = model_->forward(batch.image, batch.draws[0], batch.draws[1]).loss;
    if (!total) return loss;
    const auto samples = static_cast<double>(batch.image.size(0));
    const at::Tensor sums = total(at::stack({loss * samples, at::full_like(loss, samples)}));
    return sums[0] / sums[1];
  }

  bool can_validate() const override { return datasets_.val != nullptr; }

  // Mean loss over all validation images.
  train::Metrics validate() override {
    double sum = 0, count = 0;
    for_each_validation_batch(datasets_.val, config_.data, plan_, seed(), [&](const data::Batch& batch) {
      if (!batch.counts) return;
      const train::Autocast autocast(plan_.device.type(), plan_.precision);
      sum += reconstruct(batch).loss.item<double>() * static_cast<double>(batch.image.size(0));
      count += static_cast<double>(batch.image.size(0));
    });
    at::Tensor sums = at::tensor({sum, count}, at::kDouble);
    world_.sum(sums);
    return {{"loss", sums[0].item<double>() / sums[1].item<double>()}};
  }

  train::Panel panel() override {
    const nn::MaeOutput output = reconstruct(shown_);
    const nn::MaeOutput on_cpu{output.loss, output.prediction.cpu(), output.hidden.cpu()};
    return {"reconstruction", reconstruction_panel(shown_.image.cpu(), on_cpu, config_.model.mae,
                                                   config_.data.image.mean, config_.data.image.std)};
  }

 private:
  uint64_t seed() const { return static_cast<uint64_t>(config_.run.seed); }
  // With each sample's own mask, the same every time.
  nn::MaeOutput reconstruct(const data::Batch& batch) {
    return model_->forward(
        batch.image,
        data::uniform_draws(batch.seeds, Stream::validation_mask, model_->num_units()).to(batch.image.device()));
  }

  nn::Mae model_;
  const Datasets& datasets_;
  const PretrainConfig& config_;
  const train::Plan& plan_;
  train::World& world_;
  data::Batch shown_;
};

}  // namespace

ExitCode pretrain(PretrainConfig config, const TrainArguments& arguments, train::World& world) {
  nn::validate(config.model.mae.swin);
  config.data.image.image_size = config.model.mae.swin.image_size;
  config.data.image.in_channels = config.model.mae.swin.in_channels;
  const Session session(config.run, arguments, "pretrain", world);
  const Datasets datasets = load_datasets(config.data, session, {});
  config.data.image.in_channels = datasets.in_channels;
  config.model.mae.swin.in_channels = datasets.in_channels;
  const train::Plan plan =
      train::make_plan(config.train, config.optim, datasets.train->size(), session.device, world, arguments.dry_run);
  PretrainTask task(make_model(config.model, session.seed(), session.device), datasets, config, plan, world);
  train::AdamW optimizer(task.module(), config.optim);
  weights::Metadata metadata{{"model", config.model.name},
                             {"model_options", model_options_json(config.model.mae)},
                             {"image_options", image_options_json(config.data.image, config.data.augment.minmax)}};
  add_channels({.channel_names = datasets.channel_names, .channel_modalities = datasets.channel_modalities}, metadata);
  return train_to_end(
      session, {.data = config.data,
                .datasets = datasets,
                .plan = plan,
                .task = task,
                .optimizer = optimizer,
                .loader = training_loader(config.data, plan, session.seed()),
                .metadata = std::move(metadata),
                .model_text = config.model.name,
                .config_yaml = config_text(config),
                .init = config.model.init,
                .card = card_of(datasets),
                .report_changes = [&](const std::string& old_yaml) { report_changed_config(old_yaml, config); }});
}

}  // namespace vmae::run
