// From datasets, model and task to a run folder: what every training command does alike.
#include "vmae/tasks/training.h"

#include <cmath>
#include <limits>

#include "vmae/core/atomic_file.h"
#include "vmae/core/log.h"
#include "vmae/core/signals.h"
#include "vmae/core/version.h"
#include "vmae/data/draws.h"
#include "vmae/runs/run_record.h"
#include "vmae/train/device.h"
#include "vmae/train/share_bad_files.h"
#include "vmae/train/step_graph.h"
#include "vmae/weights/weights.h"

namespace vmae::run {

namespace {

// Changes when files come or go: a resumed run would then see its samples in another order.
std::string data_fingerprint(const data::Dataset& dataset) {
  return concat(dataset.size(), " images, files crc32c ", dataset.checksum());
}
// Then what was best so far is no measure for what comes.
std::string validation_fingerprint(const Datasets& datasets) {
  return datasets.val ? data_fingerprint(*datasets.val) : "none";
}

weights::TensorFile read_checkpoint(const std::filesystem::path& file) {
  try {
    return weights::read_safetensors(file);
  } catch (const Error& problem) {
    const auto previous = file.parent_path() / "previous.safetensors";
    if (!std::filesystem::exists(previous)) throw;
    throw Error(problem.code(), problem.what(),
                concat("the checkpoint before it may be whole: cp ", previous.string(), " ", file.string(),
                       ", then --resume again"));
  }
}

// Rank 0 reads the checkpoint; the others get all of it from rank 0.
train::RunState read_last_checkpoint(const Session& session, const Training& training, train::LossScale& loss_scale) {
  const auto file = session.folder->last_checkpoint();
  const weights::TensorFile checkpoint = read_checkpoint(file);
  if (const auto old = checkpoint.metadata.find("config"); old != checkpoint.metadata.end())
    training.report_changes(old->second);
  if (const auto old = checkpoint.metadata.find("training_data");
      old != checkpoint.metadata.end() && old->second != data_fingerprint(*training.datasets.train)) {
    throw Error(ExitCode::data,
                "the training files are not those of the checkpoint: files came, went, became unreadable or were "
                "prepared anew, and the run could not continue "
                "as it was",
                concat("bring the files back, or start a new run with model.init=", session.options.dir));
  }
  const auto text = [](const weights::Metadata& metadata, const char* key) {
    const auto found = metadata.find(key);
    return found == metadata.end() ? std::string() : found->second;
  };
  const std::string then = text(checkpoint.metadata, "class_names"), now = text(training.metadata, "class_names");
  if (!then.empty() && !now.empty() && then != now) {
    throw Error(ExitCode::data, concat("the classes are ", now, " now, but those of the checkpoint are ", then),
                "bring the dataset's or data.classes' names and their order back, or start a new run");
  }
  const std::string values_then = text(checkpoint.metadata, "label_values"),
                    values_now = text(training.metadata, "label_values");
  if (!then.empty() && values_then != values_now) {
    throw Error(ExitCode::data,
                concat("data.label_values is ", values_now.empty() ? "not set" : values_now, " now, but was ",
                       values_then.empty() ? "not set" : values_then, " for the checkpoint"),
                "bring it back, or start a new run");
  }
  train::RunState state =
      train::load_checkpoint(checkpoint, file, {training.task.module(), training.optimizer, loss_scale});
  if (const auto old = checkpoint.metadata.find("validation_data");
      old != checkpoint.metadata.end() && old->second != validation_fingerprint(training.datasets) &&
      state.best_epoch >= 0) {
    log::warning(concat("the validation files are not those of the checkpoint (", old->second, "; now ",
                        validation_fingerprint(training.datasets),
                        "): the best epoch is looked for anew from here on"));
    state.best = std::numeric_limits<double>::infinity();
    state.best_epoch = -1;
  }
  if (const bool averages = !training.optimizer.averages().empty(); averages != train::has_averages(checkpoint)) {
    log::warning(concat("weights are averaged ", averages ? "from here on" : "no more",
                        " (optim.ema_decay): the best epoch is looked for anew"));
    state.best = std::numeric_limits<double>::infinity();
    state.best_epoch = -1;
  }
  log::info(concat("resumed at step ", state.step, ", epoch ", state.position.epoch + 1, " from ", file.string()));
  return state;
}

// Where the run begins or goes on, the same on every rank: what rank 0 has.
train::RunState starting_state(const Session& session, const Training& training, train::LossScale& loss_scale) {
  train::World& world = session.world;
  const train::TrainingParts parts{training.task.module(), training.optimizer, loss_scale};
  train::RunState state;
  if (session.resumes() && world.is_first()) state = read_last_checkpoint(session, training, loss_scale);
  if (world.size() == 1) return state;
  state = train::restore_state(world.broadcast(train::state_text(state, parts)), parts);
  std::vector<at::Tensor> tensors;
  for (const at::Tensor& parameter : training.task.module().parameters()) tensors.push_back(parameter.detach());
  for (const at::Tensor& buffer : training.task.module().buffers()) tensors.push_back(buffer.detach());
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
      throw Error(ExitCode::data,
                  concat("rank ", rank, " sees other training files (", seen[rank], ") than rank 0 (", seen[0], ")"),
                  "put the data where every host finds the same files");
  }
}

void print_plan(const Training& training, const train::Plan& plan) {
  const auto& image = training.datasets.train->image_options();
  int64_t num_parameters = 0, num_trained = 0;
  for (const at::Tensor& parameter : training.task.module().parameters()) {
    num_parameters += parameter.numel();
    num_trained += parameter.requires_grad() ? parameter.numel() : 0;
  }
  const std::string trained = num_trained < num_parameters ? concat(" of which ", num_trained, " are trained,") : "";
  log::info(concat("model: ", training.model_text, ", ", num_parameters, " parameters,", trained, " input ",
                   image.in_channels, " x ", image.image_size[0], " x ", image.image_size[1]));
  const auto num_images = static_cast<double>(training.datasets.train->size());
  const double passes = static_cast<double>(plan.samples_per_epoch) / num_images;
  if (!training.loader.is_drawn && plan.samples_per_epoch != training.datasets.train->size())
    log::info(concat("an epoch is ", plan.steps_per_epoch, " steps: ", number_text(std::round(10 * passes) / 10),
                     " passes over the training images"));
  if (plan.train.batch_size > plan.samples_per_epoch)
    log::info(concat("train.batch_size = ", plan.train.batch_size, " is more than the ", plan.samples_per_epoch,
                     " images of an epoch: each step sees all of them; a smaller batch makes more steps"));
  const std::string ranks = plan.num_ranks > 1 ? concat(" on each of ", plan.num_ranks, " ranks") : "";
  log::info(concat("plan: ", plan.total_steps, " steps (", plan.steps_per_epoch, " per epoch) of ",
                   plan.train.batch_size, " images in micro-batches of ", plan.micro_batch, ranks, "; warm-up ",
                   plan.schedule.warmup_steps, " steps to lr ", plan.schedule.peak_lr, ", then ", plan.optim.schedule,
                   " to ", plan.schedule.min_lr, "; ", train::to_string(plan.precision), " on ", plan.device.str()));
}

std::string what_was_timed(const train::Outcome& outcome) {
  if (outcome.made_samples > 0) return concat("the first ", outcome.made_samples, " images of a step");
  const int64_t timed = outcome.timed_steps;
  if (timed == 0) return "one step, which was slower than those that follow";
  return concat("the mean of ", timed, timed == 1 ? " step" : " steps", " after the first");
}

// How long the run would take.
void report_trial(const train::Plan& plan, const train::Outcome& outcome) {
  const double epoch_s = outcome.step_s * static_cast<double>(plan.steps_per_epoch),
               run_s = outcome.step_s * static_cast<double>(plan.total_steps);
  log::info(concat("time: about ", human_seconds(epoch_s), " per epoch (", plan.steps_per_epoch,
                   plan.steps_per_epoch == 1 ? " step" : " steps", " of ", human_seconds(outcome.step_s), "), ",
                   human_seconds(run_s), " in all: an estimate from ", what_was_timed(outcome),
                   " on this machine; validation and panels come on top"));
}

ExitCode report(const Session& session, const Training& training, const train::Plan& plan,
                const train::Outcome& outcome, int64_t first_step) {
  const std::string memory = human_bytes(static_cast<double>(train::peak_memory_bytes(session.device))),
                    &dir = session.options.dir;
  if (session.arguments.dry_run) {
    report_trial(plan, outcome);
    log::info(concat("dry run: ", outcome.made_samples > 0 ? "a part of a " : concat(outcome.state.step, " "),
                     outcome.state.step == 1 ? "step" : "steps", " made, loss ", outcome.last_loss, ", peak memory ",
                     memory, "; nothing was written"));
    return ExitCode::ok;
  }
  if (outcome.stopped_by_signal) {
    log::info(concat("stopped by ", stop_requested() ? stop_signal_name() : "a signal to another rank", " at step ",
                     outcome.state.step, " of ", plan.total_steps, "; continue with --resume (run.dir = ", dir, ")"));
    return ExitCode::stopped;
  }
  if (outcome.state.step == first_step) {
    log::info(concat("nothing to do: this run is finished (", outcome.state.position.epoch, " epochs, ", first_step,
                     " steps); raise train.epochs or train.max_steps to train longer"));
    return ExitCode::ok;
  }
  const bool keeps_best = training.task.keeps_best();
  const double best = training.task.lower_is_better() ? outcome.state.best : -outcome.state.best;
  log::info(concat(
      "finished", outcome.stopped_early ? " early (train.early_stop)" : "", ": ", outcome.state.step, " steps in ",
      human_seconds(outcome.state.trained_s), ", training loss ", outcome.last_loss,
      outcome.last_validation.empty() ? "" : concat(", validation ", train::format_metrics(outcome.last_validation)),
      keeps_best && !outcome.last_validation.empty() ? concat(", best ", outcome.last_validation.front().first, " ",
                                                              best, " in epoch ", outcome.state.best_epoch + 1)
                                                     : "",
      ", peak memory ", memory));
  log::info(concat("results: ", dir, "/{checkpoints/", outcome.state.best_epoch >= 0 && keeps_best ? "best" : "last",
                   ".safetensors, samples, metrics.jsonl}; watch with tensorboard --logdir ", dir));
  return ExitCode::ok;
}

}  // namespace

at::Tensor drop_path_draws(const data::Batch& batch, int64_t count) {
  return data::uniform_draws(batch.seeds, Stream::drop_path, count);
}

void report_changed_options(const Options& before, const Options& now) {
  for (size_t i = 0; i < now.all().size(); ++i) {
    const Option &was = before.all()[i], &is = now.all()[i];
    if (was.get() != is.get())
      log::warning(concat("changed since the checkpoint: ", is.key, " was ", was.get(), ", is ", is.get()));
  }
}

// What the folder says beside weights and metrics.
static void describe_run(const Session& session, const Training& training, const train::Plan& plan) {
  const train::RunFolder& folder = *session.folder;
  write_splits(folder.splits(), training.datasets.split);
  write_sources(folder.path(), training.data, training.init);
  write_file_atomically(folder.config(), training.config_yaml);
  train::write_env(folder, session.arguments.command_line, session.device.str(), train::to_string(plan.precision));
  for (const auto& [name, text] : training.files) write_file_atomically(folder.path() / name, text);
  write_data_card(folder.path() / "data_card", training.card);
  log::info(concat("look at what the data were taken to be: ", session.options.dir, "/data_card/card.html"));
}

ExitCode train_to_end(const Session& session, Training training) {
  train::LossScale loss_scale(training.plan.precision, session.device);
  training.metadata.insert({{"format", "pt"},
                            {"vmae_version", version()},
                            {"config", training.config_yaml},
                            {"volume_rules", join(training.datasets.volume_rules, "; ")},
                            {"training_data", data_fingerprint(*training.datasets.train)},
                            {"validation_data", validation_fingerprint(training.datasets)},
                            {"run", std::filesystem::path(session.options.dir).filename().string()}});
  train::World& world = session.world;
  if (session.asked_to_resume && read_file(session.folder->config()) != training.config_yaml)
    throw Error(ExitCode::checkpoint,
                concat("nothing to resume: ", session.folder->last_checkpoint().string(), " does not exist, and ",
                       session.folder->config().string(), " has another config than this command"),
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
  }

  data::Quarantine& bad_files = training.datasets.train->bad_files();
  train::share_bad_files(world, bad_files, /*epoch=*/-1);
  const train::ComputeStream stream(session.device, plan.train.cuda_graph);
  // in the module's order: those that are ready first are sent first, while others are still computed
  world.share_gradients(train::trained_parameters(training.task.module()), plan.train.gradient_compression == "bf16");
  if (state.position.sample > 0) training.loader.first_step_size = state.epoch_batch_size;
  data::Loader loader(training.datasets.train, training.loader, &training.data.augment, state.position);
  if (!session.arguments.dry_run) install_stop_signals();  // a dry run has nothing to save: it ends at once
  std::optional<train::RunOutput> output;
  if (run_log) output.emplace(*session.folder, *run_log);
  train::Trainer trainer(training.task, training.optimizer, loss_scale, loader, plan, state, world, output,
                         training.metadata);
  const train::Outcome outcome = trainer.run();
  world.keep_gradients();
  if (run_log) run_log->finish();
  return report(session, training, plan, outcome, state.step);
}

}  // namespace vmae::run
