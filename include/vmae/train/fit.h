#pragma once
// The one training loop, for pretraining, segmentation and classification. What differs between them is a Task.
#include <functional>
#include <string>

#include "vmae/data/loader.h"
#include "vmae/train/checkpoint.h"
#include "vmae/train/optim.h"
#include "vmae/train/precision.h"
#include "vmae/train/run_log.h"
#include "vmae/train/schedule.h"
#include "vmae/train/train_options.h"
#include "vmae/train/world.h"

namespace vmae::train {

// A model with what is to be done with it. Functions run on the loop's thread.
struct Task {
  explicit Task(torch::nn::Module& trained) : module(trained) {}
  torch::nn::Module& module;
  // Random numbers of the batch (masks, drop path), a row per sample, on the CPU: pure functions of its samples' seeds.
  std::function<std::vector<at::Tensor>(const data::Batch&)> draws;
  // Of the batch of all ranks, of which this rank has a part: sums over samples go through `total`. Differentiable; called under autocast in training mode.
  std::function<at::Tensor(const data::Batch&, const RankSum& total)> loss;
  // On every rank, with the same result: in evaluation mode without gradients; the first metric decides which epoch is best. Empty: no validation.
  std::function<Metrics()> validate;
  bool lower_is_better = true;
  std::function<void(int64_t step, int64_t epoch)> draw;  // sample pictures; may be empty
  // On every rank, before the validation; may be empty. True: other samples are to be trained on from here on (the same answer on all ranks).
  std::function<bool(int64_t epoch)> end_epoch;
  weights::Metadata metadata;  // what a checkpoint says about the model
};

// How long, how often and how large: everything about a run that is known before its first step.
struct Plan {
  TrainOptions train;
  OptimOptions optim;
  Precision precision = Precision::fp32;
  at::Device device = at::kCPU;
  int64_t samples_per_epoch = 0, steps_per_epoch = 0;
  int64_t total_steps = 0;  // RunState::step at the end
  int64_t rank = 0, num_ranks = 1;
  int64_t micro_batch = 0;  // samples of a forward pass, at most: on one rank,
  int64_t world_batch = 0;  // and on all of them
  bool is_dry_run = false;  // a few steps, nothing is saved
  Schedule schedule;        // in steps of this plan: steps_done()
};
// Error(usage) where options contradict each other.
Plan make_plan(const TrainOptions& train, const OptimOptions& optim, int64_t samples_per_epoch, at::Device device, const World& world, bool is_dry_run);

// The plan of a run that is at `state`, whatever batch size it had before: epochs (and the samples of the epoch under way) that are done are done, those that
// are left are trained, and the schedule goes on from there. Of a new run, and of one that is resumed unchanged: the plan itself.
Plan continued(Plan plan, const RunState& state);

// How many steps of the plan's batch size the epochs done make: what the schedule counts. Whole, and RunState::step, where the batch size never changed.
double steps_done(const Plan& plan, const data::Position& position);

struct Outcome {
  RunState state;
  bool stopped_by_signal = false, stopped_early = false;  // early: by train.early_stop
  double last_loss = 0;                                   // of the last step
  int64_t timed_steps = 0;                                // of a dry run: those that step_s is the mean of; 0: the first step alone, warm-up included
  double step_s = 0;                                      // likewise: seconds of a step
  Metrics last_validation;
};

// Trains from `state` to the end of the plan as continued() from there: a step ends at a multiple of the batch size, counted from the epoch's first sample, or
// with the epoch. The loader must start at state.position and deliver this rank's part of batches of plan.world_batch.
// folder and log: of rank 0 alone, absent in a dry run.
// Throws Error(non_finite) after writing non_finite.json with the sample ids if the loss or the gradient is not finite; the weights are those before the step.
Outcome fit(Task& task, AdamW& optimizer, LossScale& loss_scale, data::Loader& loader, const Plan& plan, RunState state, World& world, const RunFolder* folder,
            RunLog* log);

}  // namespace vmae::train
