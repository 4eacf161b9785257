// Read from top to bottom: run(), a step, the end of an epoch, a checkpoint; then what these are made of.
#include "vmae/train/trainer.h"

#include <cmath>
#include <limits>

#include "report_non_finite.h"
#include "trial.h"
#include "vmae/core/clock.h"
#include "vmae/core/error.h"
#include "vmae/core/signals.h"
#include "vmae/cuda/range.h"
#include "vmae/train/device.h"
#include "vmae/train/share_bad_files.h"

namespace vmae::train {

namespace {

bool every(int64_t period, int64_t count) { return period > 0 && count % period == 0; }

}  // namespace

Trainer::Trainer(Task& task, Optimizer& optimizer, LossScale& loss_scale, data::Loader& loader, const Plan& plan,
                 RunState state, World& world, std::optional<RunOutput> output, weights::Metadata metadata)
    : task_(task),
      optimizer_(optimizer),
      loss_scale_(loss_scale),
      loader_(loader),
      plan_(plan),
      state_(std::move(state)),
      world_(world),
      output_(output),
      metadata_(std::move(metadata)),
      input_(loader, plan.device, [&task](const data::Batch& batch) { return task.draws(batch); }),
      step_(task, optimizer, loss_scale, plan, world),
      graph_(step_),
      trial_(plan.is_dry_run ? std::make_unique<Trial>(plan) : nullptr),
      trained_before_s_(state_.trained_s) {
  if (state_.position.sample == 0 || state_.epoch_batch_size == 0) state_.epoch_batch_size = plan.train.batch_size;
}

Trainer::~Trainer() = default;

Outcome Trainer::run() {
  task_.module().train();
  while (true) {
    // at the top, so that a run stopped right after an epoch's last step begins with it when resumed
    if (state_.epoch_to_end >= 0) end_epoch();
    if (state_.step >= plan_.total_steps) break;
    outcome_.stopped_early = state_.position.sample == 0 && is_stopped_early();
    if (outcome_.stopped_early) break;

    const double trained_before_step_s = trained_s();
    step();
    if (trial_) {
      if (world_.any(trial_->is_enough())) break;
      continue;
    }
    draw_first_panel(trained_before_step_s);
    writer_.check();
    stop_ |= world_.size() == 1 && stop_requested();  // alone: at once, also where it came after the step
    if (is_save_due()) save();
    outcome_.stopped_by_signal = stop_ && state_.step < plan_.total_steps;
    if (outcome_.stopped_by_signal) break;
  }
  finish_reading();
  writer_.finish();
  outcome_.state = state_;
  if (trial_) {
    outcome_.timed_steps = trial_->timed_steps();
    outcome_.step_s = trial_->step_s();
    outcome_.made_samples = trial_->made_samples();
  }
  return outcome_;
}

// While a GPU computes this step, what the one before came to is read.
void Trainer::step() {
  Launched launched = launch();
  finish_reading();
  launched_ = std::move(launched);
  if (!plan_.reads_late || launched_->ends_epoch) finish_reading();
}

// Forward, backward and update are given to the device.
Trainer::Launched Trainer::launch() {
  const int64_t first = state_.position.sample, batch_size = plan_.train.batch_size, epoch = state_.position.epoch;
  const int64_t step_samples = std::min((first / batch_size + 1) * batch_size, plan_.samples_per_epoch) - first;
  const bool is_recorded = plan_.train.cuda_graph && plan_.world_batch == batch_size && step_samples == batch_size;
  Launched launched;
  launched.step = state_.step;
  launched.epoch = epoch;
  launched.lr = learning_rate(plan_.schedule, steps_done(plan_, state_.position));
  launched.num_samples = step_samples;
  launched.data_wait_s = -loader_.wait_s();
  launched.gradient_wait_s = -world_.gradient_wait_s();
  step_.begin();
  for (int64_t done = 0; done < step_samples;) {
    data::Batch batch;
    const bool is_there = [&] {
      const cuda::Range range("data");
      return input_.next(batch);
    }();
    if (!is_there) throw Error(ExitCode::internal, "the data ended before the plan did");
    const int64_t samples =
        (batch.next.epoch > epoch ? plan_.samples_per_epoch : batch.next.sample) - batch.position.sample;
    done += samples;
    if (is_recorded) {
      launched.result.emplace(graph_.run(batch, launched.lr, requests()));
    } else {
      step_.add(batch, static_cast<double>(samples) / static_cast<double>(step_samples),
                /*is_last=*/done == step_samples);
    }
    input_.prefetch();
    if (batch.counts) launched.indices.insert(launched.indices.end(), batch.indices.begin(), batch.indices.end());
    state_.position = batch.next;
    if (!trial_) continue;
    trial_->counting.add(samples);
    if (done < step_samples && world_.any(trial_->is_too_long())) {
      trial_->cut_short(done, step_samples);
      break;
    }
  }
  if (!is_recorded) launched.result.emplace(step_.finish(step_.on_device(launched.lr), step_.on_device(requests())));
  launched.data_wait_s += loader_.wait_s();
  launched.gradient_wait_s += world_.gradient_wait_s();

  ++state_.step;
  // nothing is validated in a dry run
  launched.ends_epoch = !trial_ && (state_.position.epoch > epoch || state_.step == plan_.total_steps);
  if (state_.position.epoch > epoch) state_.epoch_batch_size = batch_size;
  if (launched.ends_epoch) state_.epoch_to_end = epoch;
  return launched;
}

// Waits for the device.
void Trainer::finish_reading() {
  if (!launched_) return;
  const Launched launched = std::move(*launched_);
  launched_.reset();
  StepResult result = launched.result->read();
  const bool is_whole = !trial_ || trial_->made_samples() == 0;
  if (!result.is_finite && is_whole) {
    // In fp16 gradients may overflow until the scale has come down;
    // a gradient that is not finite at scale 1 never will be.
    const bool is_overflow = loss_scale_.active() && std::isfinite(result.loss) && result.loss_scale >= 1.0;
    if (!is_overflow)
      stop_non_finite(result, launched.step, launched.epoch, launched.indices, loader_.dataset(),
                      output_ ? &output_->folder : nullptr, world_);
    ++state_.skipped_steps;
    result.grad_norm = 0;
  }
  stop_ |= result.stops;
  save_ |= result.saves;
  state_.interval_loss += result.loss;
  ++state_.interval_steps;
  outcome_.last_loss = trial_ ? result.loss / trial_->made() : result.loss;
  if (trial_) return trial_->add_step();
  interval_.images += launched.num_samples;
  interval_.data_wait_s += launched.data_wait_s;
  interval_.gradient_wait_s += launched.gradient_wait_s;
  if (output_) tell(launched, result);
}

void Trainer::tell(const Launched& launched, const StepResult& result) {
  const int64_t step = launched.step + 1;
  const double mean_loss = state_.interval_loss / static_cast<double>(state_.interval_steps),
               images_per_s = interval_.images_per_s();
  output_->log.progress(launched.epoch, plan_.train.epochs, step, plan_.total_steps, mean_loss, images_per_s,
                        interval_.data_wait_s / seconds_since(interval_.start));
  if (!every(plan_.train.log_every, step) && !launched.ends_epoch) return;
  Metrics metrics = {{"loss", mean_loss},
                     {"lr", launched.lr},
                     {"grad_norm", result.grad_norm},
                     {"images_per_s", images_per_s},
                     {"data_wait_s", interval_.data_wait_s}};
  if (world_.size() > 1) metrics.emplace_back("comm_wait_s", interval_.gradient_wait_s);
  if (plan_.device.is_cuda()) {
    const auto peak = static_cast<double>(peak_memory_bytes(plan_.device));
    metrics.emplace_back("gpu_memory_mb", peak / 1048576.0);
    metrics.emplace_back("gpu_memory_share", peak / static_cast<double>(memory_bytes(plan_.device)));
    const double most =
        peak_flops(plan_.device, plan_.precision != Precision::fp32) * static_cast<double>(world_.size());
    if (most > 0) metrics.emplace_back("peak_share", images_per_s * step_.flop_per_sample() / most);
  }
  output_->log.train(step, launched.epoch, metrics);
  state_.interval_loss = 0;
  state_.interval_steps = 0;
  interval_ = {};
}

void Trainer::end_epoch() {
  const int64_t epoch = state_.epoch_to_end;
  const bool run_ends = state_.step == plan_.total_steps;
  const TrainOptions& options = plan_.train;
  std::vector<Snapshot> due;
  if (share_bad_files(world_, loader_.dataset().bad_files(), epoch) && !run_ends) input_.restart(state_.position);
  if (task_.can_validate() && (run_ends || every(options.validate_every, epoch + 1))) {
    const bool is_best = validate(epoch);
    if (is_best && output_ && task_.keeps_best()) due.push_back(weights_alone("best.safetensors"));
  }
  if (output_ && options.draw_every > 0 && (run_ends || epoch == 0 || every(options.draw_every, epoch + 1)))
    draw(epoch);
  if (output_ && every(options.keep_every, epoch + 1))
    due.push_back(weights_alone(concat("epoch=", epoch + 1, ".safetensors")));
  state_.epoch_to_end = -1;
  if (output_ && (run_ends || is_stopped_early())) due.push_back(checkpoint());
  writer_.start(std::move(due));
  interval_ = {};  // images/s is about training, not about validating and saving
}

// True if no epoch before was as good.
bool Trainer::validate(int64_t epoch) {
  constexpr double kWorst = std::numeric_limits<double>::infinity();
  evaluate([&] { outcome_.last_validation = task_.validate(); });
  const auto& [metric, value] = outcome_.last_validation.front();
  if (metric != state_.best_metric) {
    state_.best = state_.best_loss = kWorst;
    state_.best_epoch = -1;
    state_.best_metric = metric;
  }
  double loss = kWorst;
  for (const auto& [name, one] : outcome_.last_validation) loss = name == "loss" ? one : loss;
  const double badness = task_.lower_is_better() ? value : -value;
  // where all Dice are 0, the loss decides
  const bool is_best = badness < state_.best || (badness == state_.best && loss < state_.best_loss);
  if (is_best) {
    state_.best = badness;
    state_.best_loss = loss;
    state_.best_epoch = epoch;
  }
  if (output_) output_->log.validation(state_.step, epoch, outcome_.last_validation, is_best && task_.keeps_best());
  return is_best;
}

StepRequests Trainer::requests() const {
  const bool is_time = output_ && seconds_since(last_save_) > 60.0 * plan_.train.save_every_minutes;
  return {.stop = stop_requested(), .save = is_time};
}

// The same on every rank: what is read must be read by all at the same step.
bool Trainer::is_save_due() const {
  // After the first step too: a full disk or a folder without rights shows at once, not after hours.
  return stop_ || save_ || state_.step == 1 || every(plan_.train.save_every_steps, state_.step);
}

void Trainer::save() {
  finish_reading();
  save_ = false;
  if (output_) writer_.start({checkpoint()});
}

Snapshot Trainer::checkpoint() {
  state_.trained_s = trained_s();
  last_save_ = Clock::now();
  return take_checkpoint(output_->folder.last_checkpoint(), {task_.module(), optimizer_, loss_scale_}, state_,
                         metadata_);
}

Snapshot Trainer::weights_alone(const std::string& name) const {
  return take_weights(output_->folder.checkpoints() / name, task_.module(), metadata_, optimizer_.averages());
}

// What comes out, and whether images are as they should be, is to be seen before the
// first of many epochs ends: after so many steps, on slow machines earlier. By what
// was trained alone, so that a resumed run draws it as one that was never interrupted.
void Trainer::draw_first_panel(double trained_before_s) {
  constexpr int64_t kFirstSteps = 100;
  constexpr double kFirstS = 120;
  if (!output_ || plan_.train.draw_every == 0 || state_.position.epoch > 0 || state_.epoch_to_end >= 0) return;
  const double now_s = trained_s();
  const bool is_time = trained_before_s < kFirstS && now_s >= kFirstS && state_.step <= kFirstSteps;
  if (!is_time && !(state_.step == kFirstSteps && now_s < kFirstS)) return;
  const auto begin = Clock::now();
  draw(/*epoch=*/-1);
  interval_.start += Clock::now() - begin;
}

void Trainer::draw(int64_t epoch) {
  evaluate([&] {
    const Panel panel = task_.panel();
    const std::string number = std::to_string(epoch + 1);
    output_->log.panel(panel.kind + "_epoch" + std::string(number.size() < 4 ? 4 - number.size() : 0, '0') + number,
                       panel.picture, state_.step);
  });
}

// Runs `action` in evaluation mode without gradients, on the weights that
// are saved. An error in it ends the run, and nothing more is saved.
template <class Action>
void Trainer::evaluate(const Action& action) {
  const at::NoGradGuard no_grad;
  task_.module().eval();
  optimizer_.swap_averages();
  action();
  optimizer_.swap_averages();
  task_.module().train();
}

double Trainer::Interval::images_per_s() const { return static_cast<double>(images) / seconds_since(start); }

double Trainer::trained_s() const { return trained_before_s_ + seconds_since(start_); }

// Epochs are counted as they are trained: after a resume the answer is the same.
bool Trainer::is_stopped_early() const {
  const int64_t patience = plan_.train.early_stop;
  return patience > 0 && state_.best_epoch >= 0 && state_.position.epoch - 1 - state_.best_epoch >= patience;
}

}  // namespace vmae::train
