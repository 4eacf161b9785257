// From datasets, model and task to a run folder: what every training command does alike.
#include "vmae/tasks/training.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "vmae/cases/channels.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/log.h"
#include "vmae/core/signals.h"
#include "vmae/core/version.h"
#include "vmae/data/draws.h"
#include "vmae/data/file_source.h"
#include "vmae/data/modality.h"
#include "vmae/runs/modality.h"
#include "vmae/runs/run_record.h"
#include "vmae/sources/source.h"
#include "vmae/train/device.h"
#include "vmae/train/step_graph.h"
#include "vmae/weights/weights.h"

namespace vmae::run {

namespace {

// Changes when files come or go: a resumed run would then see its samples in another order.
std::string data_fingerprint(const data::Dataset& dataset) { return concat(dataset.size(), " images, files crc32c ", dataset.checksum()); }
// Then what was best so far is no measure for what comes.
std::string validation_fingerprint(const Datasets& datasets) { return datasets.val ? data_fingerprint(*datasets.val) : "none"; }

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

// Rank 0 reads the checkpoint; the others get all of it from rank 0.
train::RunState read_last_checkpoint(const Session& session, const Training& training, train::LossScale& loss_scale) {
  const auto file = session.folder->last_checkpoint();
  const weights::TensorFile checkpoint = read_checkpoint(file);
  if (const auto old = checkpoint.metadata.find("config"); old != checkpoint.metadata.end()) training.report_changes(old->second);
  if (const auto old = checkpoint.metadata.find("training_data");
      old != checkpoint.metadata.end() && old->second != data_fingerprint(*training.datasets.train)) {
    throw Error(ExitCode::data,
                "the training files are not those of the checkpoint: files came, went, became unreadable or were prepared anew, and the run could not continue "
                "as it was",
                concat("bring the files back, or start a new run with model.init=", session.options.dir));
  }
  const auto text = [](const weights::Metadata& metadata, const char* key) {
    const auto found = metadata.find(key);
    return found == metadata.end() ? std::string() : found->second;
  };
  const std::string then = text(checkpoint.metadata, "class_names"), now = text(training.task.metadata, "class_names");
  if (!then.empty() && !now.empty() && then != now) {
    throw Error(ExitCode::data, concat("the classes are ", now, " now, but those of the checkpoint are ", then),
                "bring the dataset's or data.classes' names and their order back, or start a new run");
  }
  const std::string values_then = text(checkpoint.metadata, "label_values"), values_now = text(training.task.metadata, "label_values");
  if (!then.empty() && values_then != values_now) {
    throw Error(ExitCode::data,
                concat("data.label_values is ", values_now.empty() ? "not set" : values_now, " now, but was ", values_then.empty() ? "not set" : values_then,
                       " for the checkpoint"),
                "bring it back, or start a new run");
  }
  train::RunState state = train::load_checkpoint(checkpoint, file, {training.task.module, training.optimizer, loss_scale});
  if (const auto old = checkpoint.metadata.find("validation_data");
      old != checkpoint.metadata.end() && old->second != validation_fingerprint(training.datasets) && state.best_epoch >= 0) {
    log::warning(concat("the validation files are not those of the checkpoint (", old->second, "; now ", validation_fingerprint(training.datasets),
                        "): the best epoch is looked for anew from here on"));
    state.best = std::numeric_limits<double>::infinity(), state.best_epoch = -1;
  }
  if (const bool averages = !training.optimizer.averages().empty(); averages != train::has_averages(checkpoint)) {
    log::warning(concat("weights are averaged ", averages ? "from here on" : "no more", " (optim.ema_decay): the best epoch is looked for anew"));
    state.best = std::numeric_limits<double>::infinity(), state.best_epoch = -1;
  }
  log::info(concat("resumed at step ", state.step, ", epoch ", state.position.epoch + 1, " from ", file.string()));
  return state;
}

// Where the run begins or goes on, the same on every rank: what rank 0 has.
train::RunState starting_state(const Session& session, const Training& training, train::LossScale& loss_scale) {
  train::World& world = session.world;
  const train::TrainingParts parts{training.task.module, training.optimizer, loss_scale};
  train::RunState state;
  if (session.resumes() && world.is_first()) state = read_last_checkpoint(session, training, loss_scale);
  if (world.size() == 1) return state;
  state = train::restore_state(world.broadcast(train::state_text(state, parts)), parts);
  std::vector<at::Tensor> tensors;
  for (const at::Tensor& parameter : training.task.module.parameters()) tensors.push_back(parameter.detach());
  for (const at::Tensor& buffer : training.task.module.buffers()) tensors.push_back(buffer.detach());
  for (const auto& [name, tensor] : train::optimizer_tensors(parts)) tensors.push_back(tensor);
  for (const auto& [name, tensor] : training.optimizer.averages()) tensors.push_back(tensor);
  world.broadcast(tensors);
  return state;
}

// Every rank lists the files itself: what one of them can't see, it could not train on.
void require_same_data(const Session& session, const Datasets& datasets) {
  const std::vector<std::string> seen = session.world.gather(data_fingerprint(*datasets.train));
  for (size_t rank = 1; rank < seen.size(); ++rank) {
    if (seen[rank] != seen[0])
      throw Error(ExitCode::data, concat("rank ", rank, " sees other training files (", seen[rank], ") than rank 0 (", seen[0], ")"),
                  "put the data where every host finds the same files");
  }
}

// What one rank could not read up to the end of this epoch, all leave out from here on, and rank 0 lists. True if there was anything.
bool share_bad_files(train::World& world, data::Quarantine& quarantine, int64_t epoch) {
  if (world.size() == 1) return false;  // it is left out as often as it is met
  nlohmann::json own = quarantine.take_news(epoch);
  bool has_news = false;
  for (const std::string& news : world.gather(own.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))) {
    for (const auto& [name, reason] : nlohmann::json::parse(news).get<std::vector<std::pair<std::string, std::string>>>())
      has_news |= quarantine.leave_out(name, reason);
  }
  return has_news;
}

void print_plan(const Training& training, const train::Plan& plan) {
  const auto& image = training.datasets.train->image_options();
  int64_t num_parameters = 0;
  for (const at::Tensor& parameter : training.task.module.parameters()) num_parameters += parameter.numel();
  const int64_t num_trained = count_parameters(training.task.module);
  const std::string trained = num_trained < num_parameters ? concat(" of which ", num_trained, " are trained (model.freeze),") : "";
  log::info(concat("model: ", training.model_text, ", ", num_parameters, " parameters,", trained, " input ", image.in_channels, " x ", image.image_size[0],
                   " x ", image.image_size[1]));
  const auto num_images = static_cast<double>(training.datasets.train->size());
  const double passes = static_cast<double>(plan.samples_per_epoch) / num_images;
  if (plan.samples_per_epoch != training.datasets.train->size())
    log::info(concat("an epoch is ", plan.steps_per_epoch, " steps: ", number_text(std::round(10 * passes) / 10), " passes over the training images"));
  if (plan.train.batch_size > plan.samples_per_epoch)
    log::info(concat("train.batch_size = ", plan.train.batch_size, " is more than the ", plan.samples_per_epoch,
                     " images of an epoch: each step sees all of them; a smaller batch makes more steps"));
  const std::string ranks = plan.num_ranks > 1 ? concat(" on each of ", plan.num_ranks, " ranks") : "";
  log::info(concat("plan: ", plan.total_steps, " steps (", plan.steps_per_epoch, " per epoch) of ", plan.train.batch_size, " images in micro-batches of ",
                   plan.micro_batch, ranks, "; warm-up ", plan.schedule.warmup_steps, " steps to lr ", plan.schedule.peak_lr, ", then cosine to ",
                   plan.schedule.min_lr, "; ", train::to_string(plan.precision), " on ", plan.device.str()));
}

// How long the run would take.
void report_trial(const train::Plan& plan, const train::Outcome& outcome) {
  const int64_t timed = outcome.timed_steps;
  const double epoch_s = outcome.step_s * static_cast<double>(plan.steps_per_epoch), run_s = outcome.step_s * static_cast<double>(plan.total_steps);
  const std::string from =
      timed == 0 ? "one step, which was slower than those that follow" : concat("the mean of ", timed, timed == 1 ? " step" : " steps", " after the first");
  log::info(concat("time: about ", human_seconds(epoch_s), " per epoch (", plan.steps_per_epoch, plan.steps_per_epoch == 1 ? " step" : " steps", " of ",
                   human_seconds(outcome.step_s), "), ", human_seconds(run_s), " in all: an estimate from ", from,
                   " on this machine; validation and panels come on top"));
}

ExitCode report(const Session& session, const Training& training, const train::Plan& plan, const train::Outcome& outcome, int64_t first_step) {
  const std::string memory = human_bytes(static_cast<double>(train::peak_memory_bytes(session.device))), &dir = session.options.dir;
  if (session.arguments.dry_run) {
    report_trial(plan, outcome);
    log::info(concat("dry run: ", outcome.state.step, outcome.state.step == 1 ? " step" : " steps", " made, loss ", outcome.last_loss, ", peak memory ", memory,
                     "; nothing was written"));
    return ExitCode::ok;
  }
  if (outcome.stopped_by_signal) {
    log::info(concat("stopped by ", stop_requested() ? stop_signal_name() : "a signal to another rank", " at step ", outcome.state.step, " of ",
                     plan.total_steps, "; continue with --resume (run.dir = ", dir, ")"));
    return ExitCode::stopped;
  }
  if (outcome.state.step == first_step) {
    log::info(concat("nothing to do: this run is finished (", outcome.state.position.epoch, " epochs, ", first_step,
                     " steps); raise train.epochs or train.max_steps to train longer"));
    return ExitCode::ok;
  }
  const double best = training.task.lower_is_better ? outcome.state.best : -outcome.state.best;
  log::info(concat("finished", outcome.stopped_early ? " early (train.early_stop)" : "", ": ", outcome.state.step, " steps in ",
                   human_seconds(outcome.state.trained_s), ", training loss ", outcome.last_loss,
                   outcome.last_validation.empty() ? ""
                                                   : concat(", validation ", train::format_metrics(outcome.last_validation), ", best ",
                                                            outcome.last_validation.front().first, " ", best, " in epoch ", outcome.state.best_epoch + 1),
                   ", peak memory ", memory));
  log::info(concat("results: ", dir, "/{checkpoints/", outcome.state.best_epoch >= 0 ? "best" : "last",
                   ".safetensors, samples, metrics.jsonl}; watch with tensorboard --logdir ", dir));
  return ExitCode::ok;
}

}  // namespace

Session::Session(const RunOptions& run_options, const TrainArguments& run_arguments, const std::string& command, train::World& run_world)
    : options(run_options),
      arguments(run_arguments),
      world(run_world),
      device(train::resolve_device(run_options.device, run_world.launch().local_rank)),
      if_exists(run_arguments.if_exists) {
  world.connect(device, options.timeout_s);
  train::configure_compute(device, options.threads, options.deterministic);
  if (!arguments.dry_run && world.is_first()) {
    if_exists = train::after_restart(options.dir, world.launch(), if_exists);
    folder = std::make_unique<train::RunFolder>(options.dir, if_exists, world.launch());
    log::add_file(folder->log());
  }
  begins_anew = folder && folder->is_failed_start();
  asked_to_resume = begins_anew && if_exists == train::IfExists::resume;
  if (begins_anew) if_exists = train::IfExists::overwrite;
  if_exists = static_cast<train::IfExists>(std::stoi(world.broadcast(std::to_string(static_cast<int>(if_exists)))));
  log::info(concat("vmae ", version(), " (", git_revision(), ") ", command, " on ", device.str(),
                   world.size() > 1 ? concat(", rank 0 of ", world.size(), " (started by ", world.launch().launcher, ")") : ""));
  if (begins_anew) log::info(concat("run.dir = ", options.dir, " holds a start that left no checkpoint: the run begins anew"));
}

// data.slice_axis = auto, decided over all that a file of splits divides, so that its folds are cut alike.
static std::string decided_axis(const DataOptions& options, const TrainVal& split) {
  std::vector<io::SourceFile> files;
  for (const auto* part : {&split.train, &split.val, &split.test, &split.unused}) {
    std::copy_if(part->begin(), part->end(), std::back_inserter(files), [](const io::SourceFile& file) { return file.prepared_case < 0; });
  }
  if (options.image.slice_axis != "auto" || options.splits.file.empty() || files.empty()) return options.image.slice_axis;
  const io::CommonAxis common = data::common_axis_of(files);
  if (common.axis < 0) return "auto";
  log::info("slices are cut along " + common.text() + " (data.slice_axis)");
  return {"xyz"[common.axis]};
}

// The same without splits: what the volumes that train came to, where all sources agree.
static std::string axis_of_sources(const std::string& wanted, const data::Dataset& dataset) {
  if (wanted != "auto") return wanted;
  std::set<int> axes;
  for (const io::CommonAxis& one : dataset.common_axes()) {
    if (one.axis < 0) continue;
    axes.insert(one.axis);
    log::info("slices are cut along " + one.text() + " (data.slice_axis)");
  }
  return axes.size() == 1 ? std::string(1, "xyz"[*axes.begin()]) : wanted;
}

// What would be wrong with data.test is said before training, not after it.
static void check_test(const std::string& test, const std::vector<std::string>& findings, const Datasets& datasets, bool has_masks) {
  const io::Source source = io::find_source(test, "auto", findings);
  require_separate(datasets.split, source.files, "data.test");
  const auto refuse = [&](const char* what, const std::vector<std::string>& theirs, const std::vector<std::string>& ours) {
    throw Error(ExitCode::data, concat("data.test = ", test, " has the ", what, " [", join(theirs, ", "), "], but data.train has [", join(ours, ", "), "]"),
                "give both the same names, or leave data.test out and predict with `vmae predict`");
  };
  const std::vector<std::string>& labels = datasets.splits.label_names;
  if (!has_masks && !source.label_names.empty()) {
    const bool are_known = std::all_of(source.label_names.begin(), source.label_names.end(),
                                       [&](const std::string& name) { return std::find(labels.begin(), labels.end(), name) != labels.end(); });
    if (!are_known || source.is_multi_label != datasets.splits.is_multi_label)
      refuse(source.is_multi_label ? "findings" : "classes", source.label_names, labels);
  }
  if (!source.channel_names.empty() && !datasets.splits.channel_names.empty() && source.channel_names != datasets.splits.channel_names)
    refuse("channels", source.channel_names, datasets.splits.channel_names);
  const std::vector<std::string> masks = datasets.splits.mask_names();
  if (has_masks && !source.mask_names.empty() && !masks.empty() && source.mask_names != masks) refuse("mask values 1, 2, ...", source.mask_names, masks);
}

// The channels of a case are the network's input channels.
static int64_t fitting_channels(const DataOptions& options, const Session& session, const Datasets& datasets) {
  const SourceSplits& splits = datasets.splits;
  if (options.channels == "single") return options.image.in_channels;
  std::vector<io::SourceFile> files = datasets.split.train;
  for (const auto* part : {&datasets.split.val, &datasets.split.test}) files.insert(files.end(), part->begin(), part->end());
  const int64_t count = io::common_channels(files);
  if (!splits.channel_conflict.empty())
    throw Error(ExitCode::data, splits.channel_conflict, "give all sources the same channels, or take each image by itself: data.channels=single");
  if (count == 1) return options.image.in_channels;
  const std::string text = io::channel_text(splits.channel_names, count);
  if (session.arguments.says_in_channels && options.image.in_channels != count)
    throw Error(ExitCode::usage, concat("model.in_channels is ", options.image.in_channels, ", but a case has ", count, " channels: ", text),
                "leave model.in_channels out, or take each image by itself: data.channels=single");
  log::info(concat("a case has ", count, " channels: ", text, " (data.channels=stacked, model.in_channels=", count, ")"));
  return count;
}

static void name_channels(const DataOptions& options, Datasets& datasets) {
  const std::vector<io::SourceFile>& train = datasets.split.train;
  const auto count = static_cast<size_t>(io::common_channels(train));
  if (options.channels == "single" || count == 1) return;
  datasets.channel_names = datasets.splits.channel_names;
  datasets.channel_names.resize(count);
  for (size_t channel = 0; channel < count; ++channel) {
    std::set<std::string> all;
    for (const io::SourceFile& file : train) all.insert(channel == 0 ? file.modality : file.channels[channel - 1].modality);
    datasets.channel_modalities.push_back(all.size() == 1 ? *all.begin() : "");
  }
}

Datasets load_datasets(const DataOptions& options, const Session& session, const data::Targets& targets) {
  const auto named = [](std::vector<std::string> sources) {  // an empty text is none
    std::erase(sources, "");
    return sources;
  };
  SplitChoice choice = options.splits;
  choice.single_channels = options.channels == "single";
  Datasets datasets;
  choice.findings = options.findings;
  ModalityOfSources modality(options.image);
  datasets.splits = split_sources(named(options.train), named(options.val), options.val_fraction, session.seed(), choice,
                                  [&](std::vector<io::SourceFile>& files, bool is_training) { modality.settle(files, is_training); });
  auto quarantine = std::make_shared<data::Quarantine>(session.folder ? session.folder->quarantine() : "", options.max_bad_fraction);
  if (targets.num_labels != 0 && !datasets.splits.label_conflict.empty())
    throw Error(ExitCode::data, datasets.splits.label_conflict, "give all sources the same classes or findings");
  datasets.split = flat(datasets.splits);
  const auto &train = datasets.split.train, &val = datasets.split.val;
  const bool is_labelled = targets.mask || targets.num_labels != 0;
  if (is_labelled && !options.test.empty()) check_test(options.test, options.findings, datasets, targets.mask);
  data::Targets wanted = targets;
  if (wanted.num_labels == data::Targets::all_labels) wanted.num_labels = static_cast<int64_t>(datasets.splits.label_names.size());
  data::ImageOptions image = options.image;
  image.in_channels = datasets.in_channels = fitting_channels(options, session, datasets);
  name_channels(options, datasets);
  image.slice_axis = decided_axis(options, datasets.split);
  datasets.train = std::make_shared<data::Dataset>(datasets.splits.train, image, quarantine, wanted);
  image.slice_axis = datasets.slice_axis = axis_of_sources(image.slice_axis, *datasets.train);
  if (!datasets.splits.val.empty()) datasets.val = std::make_shared<data::Dataset>(datasets.splits.val, image, quarantine, wanted);
  log::info(concat("training: ", datasets.train->size(), " images from ", train.size(), " files; validation: ", datasets.val ? datasets.val->size() : 0,
                   " images from ", val.size(), " files", quarantine->count() > 0 ? concat("; unreadable: ", quarantine->count()) : "",
                   datasets.val ? "" : "; nothing tells better weights from worse, the last ones are the result"));
  log_intensity({&train, &val}, image, "file");
  datasets.volume_rules = data::volume_rules(train, image);
  return datasets;
}

DataCard card_of(const Datasets& datasets) {
  DataCard card{.layouts = datasets.splits.layouts, .parts = {{"training", datasets.split.train, datasets.train}}};
  if (!datasets.split.val.empty()) card.parts.push_back({"validation", datasets.split.val, datasets.val});
  if (!datasets.split.test.empty()) card.parts.push_back({"test", datasets.split.test});
  card.left_out = datasets.splits.refused;
  card.remarks = datasets.splits.remarks;
  card.identifying = datasets.splits.identifying;
  return card;
}

data::LoaderOptions loader_options(const DataOptions& data, const train::Plan& plan, uint64_t seed, bool shuffle) {
  return {.batch_size = plan.world_batch,
          .seed = seed,
          .shuffle = shuffle,
          .workers = data.workers,
          .prefetch = data.prefetch,
          .pin_memory = plan.device.is_cuda(),
          .rank = plan.rank,
          .world_size = plan.num_ranks,
          .step_size = shuffle ? plan.train.batch_size : 0,
          .weights = shuffle ? data.weights : std::vector<double>{},
          .samples_per_epoch = shuffle ? plan.samples_per_epoch : 0};
}

bool next_for_validation(data::Loader& loader, data::Batch& batch) {
  if (!loader.next(batch)) return false;
  std::vector<int64_t> wanted;
  for (size_t i = 0; batch.counts && i < batch.indices.size(); ++i) {
    const auto nth = static_cast<int64_t>(i);
    if (batch.indices[i] == batch.position.sample + loader.options().rank + nth * loader.options().world_size) wanted.push_back(nth);
  }
  batch.counts = !wanted.empty();
  if (wanted.empty()) wanted.push_back(0);
  if (wanted.size() == batch.indices.size()) return true;
  const at::Tensor rows = at::tensor(wanted, at::kLong);
  for (at::Tensor* tensor : {&batch.image, &batch.mask, &batch.labels}) {
    if (tensor->defined()) *tensor = tensor->index_select(0, rows);
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    batch.indices[i] = batch.indices[static_cast<size_t>(wanted[i])];
    batch.seeds[i] = batch.seeds[static_cast<size_t>(wanted[i])];
  }
  batch.indices.resize(wanted.size());
  batch.seeds.resize(wanted.size());
  return true;
}

data::Batch panel_batch(const data::Dataset& dataset, const data::AugmentOptions& augment, uint64_t seed, at::Device device, int64_t count,
                        const std::vector<int64_t>& indices) {
  const data::AugmentOptions evaluation = data::evaluation_augmentation(augment);
  const auto& image = dataset.image_options();
  const int64_t height = image.image_size[0], width = image.image_size[1];
  const int64_t total = indices.empty() ? dataset.size() : static_cast<int64_t>(indices.size()), n = std::min(count, total);
  data::Batch batch;
  batch.image = at::empty({n, image.in_channels, height, width}, at::kFloat);
  if (dataset.targets().mask) batch.mask = at::empty({n, height, width}, at::kByte);
  for (int64_t i = 0; i < n; ++i) {
    data::SampleBuffers buffers{batch.image[i].mutable_data_ptr<float>()};
    if (batch.mask.defined()) buffers.mask = batch.mask[i].mutable_data_ptr<uint8_t>();
    const int64_t place = (2 * i + 1) * total / (2 * n), wanted = indices.empty() ? place : indices[static_cast<size_t>(place)];
    const int64_t index = dataset.load_readable_into(wanted, seed, /*epoch=*/0, &evaluation, buffers).index;
    batch.seeds.push_back(data::Dataset::sample_seed(seed, /*epoch=*/0, index));
    batch.indices.push_back(index);
  }
  batch.image = batch.image.to(device);
  return batch;
}

at::Tensor drop_path_draws(const data::Batch& batch, int64_t count) { return data::uniform_draws(batch.seeds, Stream::drop_path, count); }

int64_t count_parameters(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const auto& parameter : module.parameters()) count += parameter.requires_grad() ? parameter.numel() : 0;
  return count;
}

std::string panel_name(const std::string& kind, int64_t epoch) {
  const std::string number = std::to_string(epoch + 1);
  return kind + "_epoch" + std::string(number.size() < 4 ? 4 - number.size() : 0, '0') + number;
}

void report_changed_options(const Options& before, const Options& now) {
  for (size_t i = 0; i < now.all().size(); ++i) {
    const Option &was = before.all()[i], &is = now.all()[i];
    if (was.get() != is.get()) log::warning(concat("changed since the checkpoint: ", is.key, " was ", was.get(), ", is ", is.get()));
  }
}

// What the folder says beside weights and metrics.
static void describe_run(const Session& session, const Training& training, const train::Plan& plan) {
  const train::RunFolder& folder = *session.folder;
  write_splits(folder.splits(), training.datasets.split);
  write_sources(folder.path(), training.data, training.init);
  write_file_atomically(folder.config(), training.config_yaml);
  train::write_env(folder, session.arguments.command_line, session.device.str(), train::to_string(plan.precision));
  write_data_card(folder.path() / "data_card", training.card);
  log::info(concat("look at what the data were taken to be: ", session.options.dir, "/data_card/card.html"));
}

ExitCode train_to_end(const Session& session, Training training) {
  train::Task& task = training.task;
  train::LossScale loss_scale(training.plan.precision, session.device);
  task.metadata.insert({{"format", "pt"},
                        {"vmae_version", version()},
                        {"config", training.config_yaml},
                        {"volume_rules", join(training.datasets.volume_rules, "; ")},
                        {"training_data", data_fingerprint(*training.datasets.train)},
                        {"validation_data", validation_fingerprint(training.datasets)},
                        {"run", std::filesystem::path(session.options.dir).filename().string()}});
  train::World& world = session.world;
  if (session.asked_to_resume && read_file(session.folder->config()) != training.config_yaml)
    throw Error(ExitCode::checkpoint,
                concat("nothing to resume: ", session.folder->last_checkpoint().string(), " does not exist, and ", session.folder->config().string(),
                       " has another config than this command"),
                "start the run without --resume: it has left nothing that would be lost");
  require_same_data(session, training.datasets);
  const train::RunState state = starting_state(session, training, loss_scale);
  const train::Plan plan = train::continued(training.plan, state);
  print_plan(training, plan);

  std::unique_ptr<train::RunLog> run_log;
  if (const train::RunFolder* folder = session.folder.get()) {
    if (session.if_exists == train::IfExists::overwrite) session.folder->clear();
    // Of a finished run the folder says what it was trained with, whatever this command says.
    const bool is_finished = session.resumes() && state.step == plan.total_steps && state.epoch_to_end < 0;
    if (!is_finished) describe_run(session, training, plan);
    run_log = std::make_unique<train::RunLog>(*folder, state.step, state.epoch_to_end >= 0);
    task.draw = [&](int64_t step, int64_t epoch) { training.draw(*run_log, step, epoch); };
  }

  data::Quarantine& bad_files = training.datasets.train->bad_files();
  share_bad_files(world, bad_files, /*epoch=*/-1);
  task.end_epoch = [&](int64_t epoch) { return share_bad_files(world, bad_files, epoch); };
  const train::ComputeStream stream(session.device, plan.train.cuda_graph);
  world.share_gradients(training.optimizer.parameters(), plan.train.gradient_compression == "bf16");
  if (state.position.sample > 0) training.loader.first_step_size = state.epoch_batch_size;
  data::Loader loader(training.datasets.train, training.loader, &training.data.augment, state.position);
  if (!session.arguments.dry_run) install_stop_signals();  // a dry run has nothing to save: it ends at once
  const train::Outcome outcome = train::fit(task, training.optimizer, loss_scale, loader, plan, state, world, session.folder.get(), run_log.get());
  world.keep_gradients();
  if (run_log) run_log->finish();
  return report(session, training, plan, outcome, state.step);
}

}  // namespace vmae::run
