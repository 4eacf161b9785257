// One optimizer step at a time, read from top to bottom in fit(): batches, loss, backward, clip, update, log; at the end of an epoch validate, draw, save.
#include "vmae/train/fit.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "vmae/core/atomic_file.h"
#include "vmae/core/counting.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/core/signals.h"
#include "vmae/train/checkpoint_writer.h"
#include "vmae/train/device_input.h"
#include "vmae/train/step_graph.h"

namespace vmae::train {

Plan make_plan(const TrainOptions& train, const OptimOptions& optim, int64_t samples_per_epoch, at::Device device, const World& world, bool is_dry_run) {
  Plan plan;
  plan.train = train, plan.optim = optim, plan.device = device, plan.samples_per_epoch = samples_per_epoch;
  plan.rank = world.rank(), plan.num_ranks = world.size(), plan.is_dry_run = is_dry_run;
  plan.precision = resolve_precision(train.precision, device);
  if (train.cuda_graph && (!device.is_cuda() || plan.precision == Precision::fp16)) {
    throw Error(ExitCode::usage, concat("train.cuda_graph = true, but the run is on ", device.str(), " in ", to_string(plan.precision)),
                "leave it out: it is for GPUs, with bf16 or fp32");
  }
  if (train.batch_size < plan.num_ranks) {
    throw Error(ExitCode::usage, concat("train.batch_size = ", train.batch_size, " is smaller than the number of ranks, ", plan.num_ranks),
                "it counts the samples of all ranks together");
  }
  if (train.micro_batch > 0 && train.batch_size % train.micro_batch != 0) {
    throw Error(ExitCode::usage, concat("train.batch_size = ", train.batch_size, " is not a multiple of train.micro_batch = ", train.micro_batch),
                concat("use a multiple of ", train.micro_batch, ", or set train.micro_batch to a divisor of ", train.batch_size));
  }
  const int64_t share = (train.batch_size + plan.num_ranks - 1) / plan.num_ranks;
  plan.micro_batch = train.micro_batch == 0 ? share : std::min(train.micro_batch, share);
  plan.world_batch = std::min(train.batch_size, plan.micro_batch * plan.num_ranks);
  plan.samples_per_epoch = std::max(samples_per_epoch, train.min_steps_per_epoch * train.batch_size);
  if (train.steps_per_epoch > 0) plan.samples_per_epoch = train.steps_per_epoch * train.batch_size;
  plan.steps_per_epoch = (plan.samples_per_epoch + train.batch_size - 1) / train.batch_size;
  plan.total_steps = train.epochs * plan.steps_per_epoch;
  if (train.max_steps > 0) plan.total_steps = std::min(plan.total_steps, train.max_steps);
  plan.schedule = {optim.lr, optim.min_lr, optim.warmup_epochs * plan.steps_per_epoch, plan.total_steps};
  const bool is_cut_short = plan.total_steps < train.epochs * plan.steps_per_epoch;
  if (plan.schedule.warmup_steps >= plan.total_steps && is_cut_short) {  // a trial of a recipe whose epochs are longer
    plan.schedule.warmup_steps = plan.total_steps / 10;
    log::info(concat("optim.warmup_epochs = ", optim.warmup_epochs, " is ", optim.warmup_epochs * plan.steps_per_epoch,
                     " steps, and train.max_steps ends the run after ", plan.total_steps, ": the warm-up is ", plan.schedule.warmup_steps, " steps"));
  }
  if (plan.schedule.warmup_steps >= plan.total_steps) {
    throw Error(ExitCode::usage,
                concat("optim.warmup_epochs = ", optim.warmup_epochs, " (", plan.schedule.warmup_steps, " steps) is not shorter than the run (",
                       plan.total_steps, " steps)"),
                "lower optim.warmup_epochs, or raise train.epochs or train.max_steps");
  }
  if (train.early_stop > 0 && train.early_stop < train.validate_every) {
    throw Error(ExitCode::usage, concat("train.early_stop = ", train.early_stop, " is less than train.validate_every = ", train.validate_every),
                "it counts epochs: give validation a chance to come again");
  }
  if (optim.betas.size() != 2) throw Error(ExitCode::usage, concat("optim.betas has ", optim.betas.size(), " values"), "give two, for example [0.9, 0.95]");
  return plan;
}

double steps_done(const Plan& plan, const data::Position& position) {
  return static_cast<double>(position.epoch * plan.steps_per_epoch) + static_cast<double>(position.sample) / static_cast<double>(plan.train.batch_size);
}

Plan continued(Plan plan, const RunState& state) {
  if (plan.train.max_steps > 0 && state.step > plan.train.max_steps)
    throw Error(ExitCode::usage, concat("train.max_steps = ", plan.train.max_steps, ", but this run has made ", state.step, " steps already"),
                "leave train.max_steps as it was or raise it; what was trained so far can be used as it is (vmae predict --weights RUN)");
  const int64_t planned = plan.train.epochs * plan.steps_per_epoch;
  const auto done = static_cast<int64_t>(steps_done(plan, state.position));
  int64_t left = std::max<int64_t>(0, planned - done);
  if (plan.train.max_steps > 0) left = std::min(left, std::max<int64_t>(0, plan.train.max_steps - state.step));
  plan.total_steps = state.step + left;
  plan.schedule.total_steps = done + left;
  return plan;
}

namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// What one optimizer step saw.
struct Step {
  double loss = 0;
  double grad_norm = 0;
  int64_t num_samples = 0;       // on all ranks
  std::vector<int64_t> indices;  // of the samples, on this rank
  data::Position next;
};

// The batch cannot be learnt from: say which samples it was and stop before the weights are touched. All ranks come here together.
[[noreturn]] void stop_non_finite(const char* what, double value, const Step& step, const data::Dataset& dataset, const RunState& state,
                                  const RunFolder* folder, World& world) {
  auto own_ids = nlohmann::json::array();
  for (const int64_t index : step.indices) own_ids.push_back(dataset.id(index));
  std::vector<std::string> ids;
  for (const std::string& of_rank : world.gather(own_ids.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))) {
    for (const std::string id : nlohmann::json::parse(of_rank)) ids.push_back(id);
  }
  std::string where = "the samples of this step were: " + join(ids, ", ");
  if (folder != nullptr) {
    const auto file = folder->path() / "non_finite.json";
    const nlohmann::ordered_json report = {{"what", what}, {"value", concat(value)}, {"step", state.step}, {"epoch", state.position.epoch}, {"samples", ids}};
    write_file_atomically(file, report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    where = concat("the samples of this step are listed in ", file.string());
  }
  throw Error(ExitCode::non_finite, concat("the ", what, " became ", value, " at step ", state.step, ", epoch ", state.position.epoch + 1),
              where + "\n  look at these images, lower optim.lr, set optim.clip_grad_norm, or try train.precision=fp32; the last checkpoint is unchanged");
}

// Forward and backward over the micro-batches of one step; gradients are left in the parameters.
Step accumulate(Task& task, LossScale& loss_scale, DeviceInput& input, const Plan& plan, const RunState& state, World& world, Counting* counting) {
  Step step;
  const int64_t first = state.position.sample, batch_size = plan.train.batch_size;
  const int64_t step_samples = std::min((first / batch_size + 1) * batch_size, plan.samples_per_epoch) - first;
  at::Tensor loss_sum;
  for (int64_t done = 0; done < step_samples;) {
    data::Batch batch;
    if (!input.next(batch)) throw Error(ExitCode::internal, "the data ended before the plan did");
    const int64_t samples = (batch.next.epoch > batch.position.epoch ? plan.samples_per_epoch : batch.next.sample) - batch.position.sample;
    done += samples;
    if (counting != nullptr) counting->add(samples);
    at::Tensor loss;
    {
      const Autocast autocast(plan.device.type(), plan.precision);
      loss = task.loss(batch, world.total(batch.counts)) * (static_cast<double>(samples) / static_cast<double>(step_samples));
    }
    world.backward(loss_scale.scale(loss), /*synchronise=*/done >= step_samples);
    input.prefetch();
    loss_sum = loss_sum.defined() ? loss_sum + loss.detach() : loss.detach();
    if (batch.counts) step.indices.insert(step.indices.end(), batch.indices.begin(), batch.indices.end());
    step.next = batch.next;
  }
  step.num_samples = step_samples;
  step.loss = loss_sum.item<double>();
  return step;
}

// A full step as one launch: what accumulate() and the update do, without waiting in between.
Step replay(StepGraph& graph, AdamW& optimizer, DeviceInput& input, const Plan& plan, double lr) {
  data::Batch batch;
  if (!input.next(batch)) throw Error(ExitCode::internal, "the data ended before the plan did");
  const at::Tensor result = graph.run(batch, lr);
  optimizer.count_step();
  input.prefetch();
  const at::Tensor values = result.cpu();  // waits
  return {.loss = values[0].item<double>(),
          .grad_norm = values[1].item<double>(),
          .num_samples = plan.train.batch_size,
          .indices = batch.indices,
          .next = batch.next};
}

// What the graph is recorded from.
StepGraph::Body step_body(Task& task, AdamW& optimizer, const Plan& plan, World& world) {
  return [&](const data::Batch& batch, const at::Tensor& lr, bool updates) {
    optimizer.clear_gradients();
    at::Tensor loss;
    {
      const Autocast autocast(plan.device.type(), plan.precision);
      loss = task.loss(batch, world.total(batch.counts));
    }
    world.backward(loss, /*synchronise=*/true);
    const at::NoGradGuard no_grad;
    const at::Tensor norm = grad_norm(optimizer.gradients());
    const double max_norm = plan.optim.clip_grad_norm;
    const at::Tensor divisor = max_norm > 0 ? (norm / max_norm).clamp_min(1.0) : at::ones_like(norm);
    if (updates) optimizer.step(lr, divisor, norm.isfinite().logical_not().to(at::kFloat));
    return at::stack({loss.detach().to(at::kFloat), norm});
  };
}

// Runs `action` in evaluation mode without gradients, on the weights that are saved. An error in it ends the run, and nothing more is saved.
template <class Action>
void evaluate(torch::nn::Module& module, AdamW& optimizer, const Action& action) {
  const at::NoGradGuard no_grad;
  module.eval();
  optimizer.swap_averages();
  action();
  optimizer.swap_averages();
  module.train();
}

// Throughput and waiting since the last log line.
struct Interval {
  Clock::time_point start = Clock::now();
  double wait_s = 0, gradient_wait_s = 0;
  int64_t images = 0;
  double images_per_s() const { return static_cast<double>(images) / seconds_since(start); }
};

// Epochs are counted as they are trained: after a resume the answer is the same.
bool is_stopped_early(const TrainOptions& options, const RunState& state) {
  return options.early_stop > 0 && state.best_epoch >= 0 && state.position.epoch - 1 - state.best_epoch >= options.early_stop;
}

double loss_of(const Metrics& metrics) {
  for (const auto& [name, value] : metrics) {
    if (name == "loss") return value;
  }
  return std::numeric_limits<double>::infinity();
}

bool every(int64_t period, int64_t count) { return period > 0 && count % period == 0; }

// What comes out, and whether images are as they should be, is to be seen before the first of many epochs ends: after so many steps, on slow machines earlier.
constexpr int64_t kFirstPanelSteps = 100;
constexpr double kFirstPanelSeconds = 120;

// Is it time for the panel within the first epoch? By what was trained alone, so that a resumed run draws it as one that was never interrupted.
bool is_first_panel(const RunState& state, double trained_s_before, double trained_s) {
  if (state.position.epoch > 0) return false;
  if (trained_s_before < kFirstPanelSeconds && trained_s >= kFirstPanelSeconds) return state.step <= kFirstPanelSteps;
  return state.step == kFirstPanelSteps && trained_s < kFirstPanelSeconds;
}

// The steps of a dry run: the first warms up, the others are timed until their mean can be trusted, or it has taken long enough.
struct Trial {
  static constexpr int64_t kMostSteps = 10, kEnoughSteps = 3;
  static constexpr double kEnoughSeconds = 5, kMostSeconds = 30, kLongStep = 60;

  explicit Trial(const Plan& plan) : counting("images of the dry run's steps", (1 + std::min(kMostSteps, plan.total_steps - 1)) * plan.train.batch_size) {}

  void add_step() {
    if (num_steps++ == 0) first_s = seconds_since(begin);
    if (num_steps == 1) begin = Clock::now();
    timed_s = num_steps == 1 ? 0 : seconds_since(begin);
  }
  bool is_enough() const {
    const int64_t timed = num_steps - 1;
    return timed >= kMostSteps || (timed >= kEnoughSteps && timed_s >= kEnoughSeconds) || timed_s >= kMostSeconds || first_s >= kLongStep;
  }
  double step_s() const { return num_steps > 1 ? timed_s / static_cast<double>(num_steps - 1) : first_s; }

  Counting counting;
  Clock::time_point begin = Clock::now();
  int64_t num_steps = 0;
  double first_s = 0, timed_s = 0;
};

}  // namespace

Outcome fit(Task& task, AdamW& optimizer, LossScale& loss_scale, data::Loader& loader, const Plan& new_plan, RunState state, World& world,
            const RunFolder* folder, RunLog* log) {
  const Plan plan = continued(new_plan, state);
  const TrainOptions& options = plan.train;
  const auto session_start = Clock::now();
  const double trained_before_s = state.trained_s;
  if (state.position.sample == 0 || state.epoch_batch_size == 0) state.epoch_batch_size = options.batch_size;
  auto last_save = session_start;
  Interval interval;
  Outcome outcome;
  DeviceInput input(loader, plan.device, task.draws);
  CheckpointWriter writer;
  StepGraph graph(step_body(task, optimizer, plan, world));
  const bool has_whole_steps = plan.world_batch == options.batch_size;  // without accumulation
  std::optional<Trial> trial;
  if (plan.is_dry_run) trial.emplace(plan);

  auto checkpoint = [&] {
    state.trained_s = trained_before_s + seconds_since(session_start);
    last_save = Clock::now();
    return take_checkpoint(folder->last_checkpoint(), {task.module, optimizer, loss_scale}, state, task.metadata);
  };

  auto end_epoch = [&] {
    const int64_t epoch = state.epoch_to_end;
    const bool run_ends = state.step == plan.total_steps;
    auto weights_alone = [&](const std::string& name) { return take_weights(folder->checkpoints() / name, task.module, task.metadata, optimizer.averages()); };
    std::vector<Snapshot> due;
    if (task.end_epoch && task.end_epoch(epoch) && !run_ends) input.restart(state.position);
    if (task.validate && (run_ends || every(options.validate_every, epoch + 1))) {
      evaluate(task.module, optimizer, [&] { outcome.last_validation = task.validate(); });
      const std::string& metric = outcome.last_validation.front().first;
      if (metric != state.best_metric) {
        state.best = state.best_loss = std::numeric_limits<double>::infinity();
        state.best_epoch = -1;
        state.best_metric = metric;
      }
      const double value = outcome.last_validation.front().second, badness = task.lower_is_better ? value : -value;
      const double loss = loss_of(outcome.last_validation);
      const bool is_best = badness < state.best || (badness == state.best && loss < state.best_loss);  // where all Dice are 0, the loss decides
      if (is_best) {
        state.best = badness;
        state.best_loss = loss;
        state.best_epoch = epoch;
        if (folder != nullptr) due.push_back(weights_alone("best.safetensors"));
      }
      if (log != nullptr) log->validation(state.step, epoch, outcome.last_validation, is_best);
    }
    if (task.draw && log != nullptr && options.draw_every > 0 && (run_ends || epoch == 0 || every(options.draw_every, epoch + 1))) {
      evaluate(task.module, optimizer, [&] { task.draw(state.step, epoch); });
    }
    if (folder != nullptr && every(options.keep_every, epoch + 1)) due.push_back(weights_alone(concat("epoch=", epoch + 1, ".safetensors")));
    state.epoch_to_end = -1;
    if (folder != nullptr && (run_ends || is_stopped_early(options, state))) due.push_back(checkpoint());
    writer.start(std::move(due));
    interval = {};  // images/s is about training, not about validating and saving
  };

  task.module.train();
  while (true) {
    if (state.epoch_to_end >= 0) end_epoch();  // at the top, so that a run stopped right after an epoch's last step begins with it when resumed
    if (state.step >= plan.total_steps) break;
    if (state.position.sample == 0 && is_stopped_early(options, state)) {
      outcome.stopped_early = true;
      break;
    }

    const double trained_s_before = trained_before_s + seconds_since(session_start);
    const double lr = learning_rate(plan.schedule, steps_done(plan, state.position)), waited_before_s = loader.wait_s(),
                 gradient_waited_before_s = world.gradient_wait_s();
    const bool is_whole = state.position.sample % options.batch_size == 0 && state.position.sample + options.batch_size <= plan.samples_per_epoch;
    const bool is_replayed = options.cuda_graph && has_whole_steps && is_whole;
    Step step =
        is_replayed ? replay(graph, optimizer, input, plan, lr) : accumulate(task, loss_scale, input, plan, state, world, trial ? &trial->counting : nullptr);
    if (!std::isfinite(step.loss)) stop_non_finite("loss", step.loss, step, loader.dataset(), state, folder, world);

    bool usable = true;
    if (!is_replayed) {
      const std::vector<at::Tensor> gradients = optimizer.gradients();
      usable = loss_scale.unscale(gradients);  // fp16 only: false where the scale was too large
      step.grad_norm = usable ? clip_grad_norm(gradients, plan.optim.clip_grad_norm) : 0.0;
    }
    if (!std::isfinite(step.grad_norm)) stop_non_finite("gradient", step.grad_norm, step, loader.dataset(), state, folder, world);
    if (!is_replayed && usable) optimizer.step(lr);
    if (!usable) ++state.skipped_steps;
    loss_scale.update();
    // Overflows end when the scale has come down; a gradient that is not finite at scale 1 never will be.
    if (!usable && loss_scale.value() < 1.0) stop_non_finite("gradient", std::nan(""), step, loader.dataset(), state, folder, world);
    optimizer.clear_gradients();

    const int64_t epoch = state.position.epoch;
    ++state.step;
    state.position = step.next;
    if (step.next.epoch > epoch) state.epoch_batch_size = options.batch_size;
    if (step.next.epoch > epoch || state.step == plan.total_steps) state.epoch_to_end = epoch;
    state.interval_loss += step.loss;
    ++state.interval_steps;
    outcome.last_loss = step.loss;
    if (trial) {
      trial->add_step();
      state.epoch_to_end = -1;  // nothing is validated
      if (world.any(trial->is_enough())) break;
      continue;
    }

    interval.images += step.num_samples;
    interval.wait_s += loader.wait_s() - waited_before_s;
    interval.gradient_wait_s += world.gradient_wait_s() - gradient_waited_before_s;
    if (log != nullptr) {
      const double mean_loss = state.interval_loss / static_cast<double>(state.interval_steps);
      log->progress(epoch, options.epochs, state.step, plan.total_steps, mean_loss, interval.images_per_s(), interval.wait_s / seconds_since(interval.start));
      if (every(options.log_every, state.step) || state.epoch_to_end >= 0) {
        Metrics metrics = {
            {"loss", mean_loss}, {"lr", lr}, {"grad_norm", step.grad_norm}, {"images_per_s", interval.images_per_s()}, {"data_wait_s", interval.wait_s}};
        if (world.size() > 1) metrics.emplace_back("comm_wait_s", interval.gradient_wait_s);
        log->train(state.step, epoch, metrics);
        state.interval_loss = 0, state.interval_steps = 0;
        interval = {};
      }
    }

    const double trained_s = trained_before_s + seconds_since(session_start);
    if (task.draw && log != nullptr && options.draw_every > 0 && state.epoch_to_end < 0 && is_first_panel(state, trained_s_before, trained_s)) {
      const auto begin = Clock::now();
      evaluate(task.module, optimizer, [&] { task.draw(state.step, /*epoch=*/-1); });
      interval.start += Clock::now() - begin;
    }

    // All ranks stop at the same step. Asking takes a message around all of them, so many ask less often.
    const bool asks = every(std::max<int64_t>(1, world.size() / 16), state.step) || state.epoch_to_end >= 0;
    const bool stop = asks && world.any(stop_requested());
    const bool due = every(options.save_every_steps, state.step) || seconds_since(last_save) > 60.0 * options.save_every_minutes;
    writer.check();
    // After the first step too: a full disk or a folder without rights shows at once, not after hours.
    if (folder != nullptr && (stop || due || state.step == 1)) writer.start({checkpoint()});
    if (stop && state.step < plan.total_steps) {
      outcome.stopped_by_signal = true;
      break;
    }
  }
  writer.finish();
  outcome.state = state;
  if (trial) outcome.timed_steps = trial->num_steps - 1, outcome.step_s = trial->step_s();
  return outcome;
}

}  // namespace vmae::train
