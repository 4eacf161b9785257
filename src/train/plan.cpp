#include "vmae/train/plan.h"

#include <algorithm>

#include "vmae/core/error.h"
#include "vmae/core/log.h"

namespace vmae::train {

namespace {

void check_graph(const Plan& plan) {
  if (plan.train.cuda_graph && (!plan.device.is_cuda() || plan.precision == Precision::fp16)) {
    throw Error(
        ExitCode::usage,
        concat("train.cuda_graph = true, but the run is on ", plan.device.str(), " in ", to_string(plan.precision)),
        "leave it out: it is for GPUs, with bf16 or fp32");
  }
  if (plan.train.cuda_graph && plan.world_batch != plan.train.batch_size) {
    throw Error(ExitCode::usage,
                concat("train.cuda_graph = true, but a step of train.batch_size = ", plan.train.batch_size,
                       " is made of several passes of ", plan.world_batch, " (train.micro_batch = ", plan.micro_batch,
                       " on each of ", count_text(plan.num_ranks, "rank"), ")"),
                "a graph is one pass: leave out train.micro_batch, or train.cuda_graph");
  }
}

void check_batch(const TrainOptions& train, int64_t num_ranks) {
  if (train.batch_size == 0)
    throw Error(ExitCode::usage, "train.batch_size = 0",
                "give the samples of a step: 0 is for model.name=nnunet alone");
  if (train.batch_size < num_ranks) {
    throw Error(ExitCode::usage,
                concat("train.batch_size = ", train.batch_size, " is smaller than the number of ranks, ", num_ranks),
                "it counts the samples of all ranks together");
  }
  if (train.micro_batch > 0 && train.batch_size % train.micro_batch != 0) {
    throw Error(ExitCode::usage,
                concat("train.batch_size = ", train.batch_size,
                       " is not a multiple of train.micro_batch = ", train.micro_batch),
                concat("use a multiple of ", train.micro_batch, ", or set train.micro_batch to a divisor of ",
                       train.batch_size));
  }
}

void divide_batch(Plan& plan) {
  const TrainOptions& train = plan.train;
  const int64_t share = (train.batch_size + plan.num_ranks - 1) / plan.num_ranks;
  plan.micro_batch = train.micro_batch == 0 ? share : std::min(train.micro_batch, share);
  plan.world_batch = std::min(train.batch_size, plan.micro_batch * plan.num_ranks);
}

void count_steps(Plan& plan) {
  const TrainOptions& train = plan.train;
  plan.samples_per_epoch = std::max(plan.samples_per_epoch, train.min_steps_per_epoch * train.batch_size);
  if (train.steps_per_epoch > 0) plan.samples_per_epoch = train.steps_per_epoch * train.batch_size;
  if (const int64_t rest = plan.samples_per_epoch % train.batch_size; train.cuda_graph && rest > 0) {
    log::info(
        concat("train.cuda_graph: an epoch has whole steps alone: ", train.batch_size - rest,
               " samples are seen once more in it"));  // the memory of another step beside the graph's would double
    plan.samples_per_epoch += train.batch_size - rest;
  }
  plan.steps_per_epoch = (plan.samples_per_epoch + train.batch_size - 1) / train.batch_size;
  plan.total_steps = train.epochs * plan.steps_per_epoch;
  if (train.max_steps > 0) plan.total_steps = std::min(plan.total_steps, train.max_steps);
}

Schedule schedule_of(const Plan& plan) {
  const OptimOptions& optim = plan.optim;
  Schedule schedule{optim.lr,
                    optim.min_lr,
                    optim.warmup_epochs * plan.steps_per_epoch,
                    plan.total_steps,
                    optim.schedule.starts_with("poly") ? optim.poly_power : 0.0,
                    optim.schedule == "poly_epochs" ? plan.steps_per_epoch : 0};
  const bool is_cut_short = plan.total_steps < plan.train.epochs * plan.steps_per_epoch;
  if (schedule.warmup_steps >= plan.total_steps && is_cut_short) {  // a trial of a recipe whose epochs are longer
    schedule.warmup_steps = plan.total_steps / 10;
    log::info(concat("optim.warmup_epochs = ", optim.warmup_epochs, " is ", optim.warmup_epochs * plan.steps_per_epoch,
                     " steps, and train.max_steps ends the run after ", plan.total_steps, ": the warm-up is ",
                     schedule.warmup_steps, " steps"));
  }
  if (schedule.warmup_steps >= plan.total_steps) {
    throw Error(ExitCode::usage,
                concat("optim.warmup_epochs = ", optim.warmup_epochs, " (", schedule.warmup_steps,
                       " steps) is not shorter than the run (", plan.total_steps, " steps)"),
                "lower optim.warmup_epochs, or raise train.epochs or train.max_steps");
  }
  return schedule;
}

}  // namespace

Plan make_plan(const TrainOptions& train, const OptimOptions& optim, int64_t samples_per_epoch, at::Device device,
               const World& world, bool is_dry_run) {
  Plan plan;
  plan.train = train;
  plan.optim = optim;
  plan.device = device;
  plan.samples_per_epoch = samples_per_epoch;
  plan.rank = world.rank();
  plan.num_ranks = world.size();
  plan.is_dry_run = is_dry_run;
  plan.reads_late = device.is_cuda() && !is_dry_run;  // a dry run times its steps
  plan.precision = resolve_precision(train.precision, device);
  check_batch(train, plan.num_ranks);
  divide_batch(plan);
  check_graph(plan);
  count_steps(plan);
  plan.schedule = schedule_of(plan);
  if (train.early_stop > 0 && train.early_stop < train.validate_every) {
    throw Error(
        ExitCode::usage,
        concat("train.early_stop = ", train.early_stop, " is less than train.validate_every = ", train.validate_every),
        "it counts epochs: give validation a chance to come again");
  }
  if (optim.betas.size() != 2)
    throw Error(ExitCode::usage, concat("optim.betas has ", optim.betas.size(), " values"),
                "give two, for example [0.9, 0.95]");
  return plan;
}

double steps_done(const Plan& plan, const data::Position& position) {
  return static_cast<double>(position.epoch * plan.steps_per_epoch) +
         static_cast<double>(position.sample) / static_cast<double>(plan.train.batch_size);
}

Plan continued(Plan plan, const RunState& state) {
  if (plan.train.max_steps > 0 && state.step > plan.train.max_steps)
    throw Error(
        ExitCode::usage,
        concat("train.max_steps = ", plan.train.max_steps, ", but this run has made ", state.step, " steps already"),
        "leave train.max_steps as it was or raise it; what was trained so far can be used as it is (vmae predict "
        "--weights RUN)");
  const int64_t planned = plan.train.epochs * plan.steps_per_epoch;
  const auto done = static_cast<int64_t>(steps_done(plan, state.position));
  int64_t left = std::max<int64_t>(0, planned - done);
  if (plan.train.max_steps > 0) left = std::min(left, std::max<int64_t>(0, plan.train.max_steps - state.step));
  plan.total_steps = state.step + left;
  plan.schedule.total_steps = done + left;
  return plan;
}

}  // namespace vmae::train
