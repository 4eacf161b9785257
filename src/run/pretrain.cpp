// Assembles a pretraining run from its config: data, model, optimizer, task; then hands over to train::fit().
#include "vmae/run/pretrain.h"

#include <chrono>
#include <cmath>

#include "vmae/core/atomic_file.h"
#include "vmae/core/config.h"
#include "vmae/core/crc32c.h"
#include "vmae/core/log.h"
#include "vmae/core/signals.h"
#include "vmae/core/version.h"
#include "vmae/data/draws.h"
#include "vmae/run/model_file.h"
#include "vmae/run/panel.h"
#include "vmae/run/split.h"
#include "vmae/train/device.h"
#include "vmae/weights/weights.h"

namespace vmae::run {

namespace {

constexpr int64_t num_panel_samples = 8;

struct Datasets {
  TrainVal split;
  std::shared_ptr<data::Dataset> train, val;  // val may be null
};

Datasets load_datasets(PretrainConfig& config, const train::RunFolder* folder) {
  const auto named = [](std::vector<std::string> sources) {  // an empty text is none
    std::erase(sources, "");
    return sources;
  };
  SourceSplits splits =
      split_sources(named(config.data.train), named(config.data.val), config.data.val_fraction, static_cast<uint64_t>(config.run.seed), config.data.splits);
  auto quarantine = std::make_shared<data::Quarantine>(folder == nullptr ? "" : folder->quarantine(), config.data.max_bad_fraction);
  Datasets datasets;
  datasets.split = flat(splits);
  const auto &train = datasets.split.train, &val = datasets.split.val;
  datasets.train = std::make_shared<data::Dataset>(std::move(splits.train), config.data.image, quarantine);
  if (!splits.val.empty()) datasets.val = std::make_shared<data::Dataset>(std::move(splits.val), config.data.image, quarantine);
  log::info(concat("training: ", datasets.train->size(), " images from ", train.size(), " files; validation: ", datasets.val ? datasets.val->size() : 0,
                   " images from ", val.size(), " files", quarantine->count() > 0 ? concat("; unreadable: ", quarantine->count()) : ""));
  return datasets;
}

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

int64_t count_parameters(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const auto& parameter : module.parameters()) count += parameter.requires_grad() ? parameter.numel() : 0;
  return count;
}

// Forward pass of a batch with this sample's own mask; drop path only in training mode.
nn::MaeOutput forward(nn::Mae& model, const data::Batch& batch, Stream mask) {
  const at::Device device = batch.image.device();
  const at::Tensor noise = data::uniform_draws(batch.seeds, mask, model->num_units()).to(device);
  const at::Tensor drop_path = model->is_training() ? data::uniform_draws(batch.seeds, Stream::drop_path, 2 * model->num_blocks()).to(device) : at::Tensor();
  return model->forward(batch.image, noise, drop_path);
}

data::LoaderOptions loader_options(const PretrainConfig& config, const train::Plan& plan, bool shuffle) {
  return {.batch_size = plan.micro_batch,
          .seed = static_cast<uint64_t>(config.run.seed),
          .shuffle = shuffle,
          .workers = config.data.workers,
          .prefetch = config.data.prefetch,
          .pin_memory = plan.device.is_cuda(),
          .weights = shuffle ? config.data.weights : std::vector<double>{}};
}

// Mean loss over all validation images, each with the same mask every time.
train::Metrics validation_loss(nn::Mae& model, const std::shared_ptr<data::Dataset>& dataset, const PretrainConfig& config, const train::Plan& plan) {
  const data::AugmentOptions evaluation = data::evaluation_augmentation(config.data.augment);
  data::Loader loader(dataset, loader_options(config, plan, /*shuffle=*/false), &evaluation, {}, /*epochs=*/1);
  double sum = 0;
  int64_t count = 0;
  for (data::Batch batch; loader.next(batch);) {
    batch.image = batch.image.to(plan.device);
    const train::Autocast autocast(plan.device.type(), plan.precision);
    sum += forward(model, batch, Stream::validation_mask).loss.item<double>() * static_cast<double>(batch.image.size(0));
    count += batch.image.size(0);
  }
  return {{"loss", sum / static_cast<double>(count)}};
}

// The samples that every panel shows: spread evenly over the validation set (or, without one, the training set), never augmented.
data::Batch panel_batch(const data::Dataset& dataset, const data::AugmentOptions& augment, uint64_t seed, at::Device device) {
  const data::AugmentOptions evaluation = data::evaluation_augmentation(augment);
  data::Batch batch;
  std::vector<at::Tensor> images;
  const int64_t n = std::min(num_panel_samples, dataset.size());
  for (int64_t i = 0; i < n; ++i) {
    at::Tensor image =
        at::empty({dataset.image_options().in_channels, dataset.image_options().image_size[0], dataset.image_options().image_size[1]}, at::kFloat);
    const int64_t index = dataset.load_readable_into((2 * i + 1) * dataset.size() / (2 * n), seed, /*epoch=*/0, &evaluation, {image.mutable_data_ptr<float>()});
    images.push_back(image);
    batch.seeds.push_back(data::Dataset::sample_seed(seed, /*epoch=*/0, index));
  }
  batch.image = at::stack(images).to(device);
  return batch;
}

// Changes when files come or go: a resumed run would then see its samples in another order.
std::string data_fingerprint(const data::Dataset& dataset) { return concat(dataset.size(), " images, files crc32c ", dataset.checksum()); }

std::string panel_name(int64_t epoch) {
  std::string number = std::to_string(epoch + 1);
  return "reconstruction_epoch" + std::string(number.size() < 4 ? 4 - number.size() : 0, '0') + number;  // sorts by name
}

std::string config_text(PretrainConfig config) {
  Options options;
  describe(options, config);
  return config_yaml(options, /*with_comments=*/false);
}

weights::TensorFile read_checkpoint(const std::filesystem::path& file) {
  try {
    return weights::read_safetensors(file);
  } catch (const Error& problem) {
    const auto previous = file.parent_path() / "previous.safetensors";
    if (!std::filesystem::exists(previous)) throw;
    throw Error(problem.code(), problem.what(),
                concat("the checkpoint before it may be whole: cp ", previous.string(), " ", file.string(), ", then --resume again"));
  }
}

// What differs between the config of a checkpoint and today's, so that nobody resumes with another config without knowing.
void report_changed_options(const std::string& old_yaml, PretrainConfig now) {
  PretrainConfig before = now;
  Options old_options, new_options;
  describe(old_options, before);
  read_config_text(old_yaml, "the checkpoint's config", old_options);
  describe(new_options, now);
  for (size_t i = 0; i < new_options.all().size(); ++i) {
    const Option &was = old_options.all()[i], &is = new_options.all()[i];
    if (was.get() != is.get()) log::warning(concat("changed since the checkpoint: ", is.key, " was ", was.get(), ", is ", is.get()));
  }
}

void print_plan(const train::Plan& plan, const PretrainConfig& config, const nn::Mae& model) {
  log::info(concat("model: ", config.model.name, ", ", count_parameters(*model), " parameters, input ", config.model.mae.swin.in_channels, " x ",
                   config.model.mae.swin.image_size[0], " x ", config.model.mae.swin.image_size[1]));
  log::info(concat("plan: ", plan.total_steps, " steps (", plan.steps_per_epoch, " per epoch) of ", plan.train.batch_size, " images in micro-batches of ",
                   plan.micro_batch, "; warm-up ", plan.schedule.warmup_steps, " steps to lr ", plan.schedule.peak_lr, ", then cosine to ",
                   plan.schedule.min_lr, "; ", train::to_string(plan.precision), " on ", plan.device.str()));
}

}  // namespace

ExitCode pretrain(PretrainConfig config, const PretrainArguments& arguments) {
  nn::validate(config.model.mae.swin);
  config.data.image.image_size = config.model.mae.swin.image_size;
  config.data.image.in_channels = config.model.mae.swin.in_channels;
  const auto seed = static_cast<uint64_t>(config.run.seed);
  const at::Device device = train::resolve_device(config.run.device);
  train::configure_compute(device, config.run.threads);
  const bool resume = arguments.if_exists == train::IfExists::resume;

  std::unique_ptr<train::RunFolder> folder;
  if (!arguments.dry_run) {
    folder = std::make_unique<train::RunFolder>(config.run.dir, arguments.if_exists);
    log::add_file(folder->log());
  }
  log::info(concat("vmae ", version(), " (", git_revision(), ") pretrain on ", device.str()));
  const Datasets datasets = load_datasets(config, folder.get());
  const train::Plan plan = train::make_plan(config.train, config.optim, datasets.train->size(), device);

  nn::Mae model = make_model(config.model, seed, device);
  train::AdamW optimizer(*model, config.optim);
  train::LossScale loss_scale(plan.precision, device);
  train::RunState state;
  if (resume) {
    const auto file = folder->last_checkpoint();
    const weights::TensorFile checkpoint = read_checkpoint(file);
    if (const auto old = checkpoint.metadata.find("config"); old != checkpoint.metadata.end()) report_changed_options(old->second, config);
    if (const auto old = checkpoint.metadata.find("training_data"); old != checkpoint.metadata.end() && old->second != data_fingerprint(*datasets.train)) {
      throw Error(ExitCode::data,
                  "the training files are not those of the checkpoint: files came, went or became unreadable, and the run could not continue as it was",
                  concat("bring the files back, or start a new run with model.init=", config.run.dir));
    }
    state = train::load_checkpoint(checkpoint, file, {*model, optimizer, loss_scale});
    log::info(concat("resumed at step ", state.step, ", epoch ", state.position.epoch + 1, " from ", file.string()));
  }
  print_plan(plan, config, model);

  std::unique_ptr<train::RunLog> run_log;
  if (folder) {
    if (arguments.if_exists == train::IfExists::overwrite) folder->clear();
    write_splits(folder->splits(), datasets.split);
    write_file_atomically(folder->config(), config_text(config));
    train::write_env(*folder, arguments.command_line, device.str(), train::to_string(plan.precision));
    run_log = std::make_unique<train::RunLog>(*folder, state.step, state.epoch_to_end >= 0);
  }

  const data::Batch shown = panel_batch(datasets.val ? *datasets.val : *datasets.train, config.data.augment, seed, device);
  train::Task task(*model);
  task.loss = [&](const data::Batch& batch) { return forward(model, batch, Stream::mask).loss; };
  if (datasets.val) task.validate = [&] { return validation_loss(model, datasets.val, config, plan); };
  task.draw = [&](int64_t step, int64_t epoch) {
    const nn::MaeOutput output = forward(model, shown, Stream::validation_mask);
    const nn::MaeOutput on_cpu{output.loss, output.prediction.cpu(), output.hidden.cpu()};
    run_log->panel(panel_name(epoch), reconstruction_panel(shown.image.cpu(), on_cpu, config.model.mae, config.data.image.mean, config.data.image.std), step);
  };
  task.metadata = {{"format", "pt"},
                   {"vmae_version", version()},
                   {"model", config.model.name},
                   {"model_options", model_options_json(config.model.mae)},
                   {"config", config_text(config)},
                   {"training_data", data_fingerprint(*datasets.train)},
                   {"run", std::filesystem::path(config.run.dir).filename().string()}};

  train::World world;
  data::Loader loader(datasets.train, loader_options(config, plan, /*shuffle=*/true), &config.data.augment, state.position);
  install_stop_signals();
  const train::Outcome outcome = train::fit(task, optimizer, loss_scale, loader, plan, state, world, folder.get(), run_log.get());
  if (run_log) run_log->finish();

  const std::string memory = human_bytes(static_cast<double>(train::peak_memory_bytes(device)));
  if (arguments.dry_run) {
    log::info(concat("dry run: one step made, loss ", outcome.last_loss, ", peak memory ", memory, "; nothing was written"));
    return ExitCode::ok;
  }
  if (outcome.stopped_by_signal) {
    log::info(concat("stopped by ", stop_signal_name(), " at step ", outcome.state.step, " of ", plan.total_steps,
                     "; continue with --resume (run.dir = ", config.run.dir, ")"));
    return ExitCode::stopped;
  }
  if (outcome.state.step == state.step) {
    log::info(concat("nothing to do: this run is finished (", state.step, " steps); raise train.epochs or train.max_steps to train longer"));
    return ExitCode::ok;
  }
  log::info(concat("finished: ", outcome.state.step, " steps in ", human_seconds(outcome.state.trained_s), ", training loss ", outcome.last_loss,
                   outcome.last_validation.empty() ? ""
                                                   : concat(", validation ", train::format_metrics(outcome.last_validation), ", best ", outcome.state.best,
                                                            " in epoch ", outcome.state.best_epoch + 1),
                   ", peak memory ", memory));
  log::info(concat("results: ", config.run.dir, "/{checkpoints/best.safetensors, samples, metrics.jsonl}; watch with tensorboard --logdir ", config.run.dir));
  return ExitCode::ok;
}

}  // namespace vmae::run
