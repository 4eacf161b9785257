#pragma once
// How long, how often and how large: everything about a run that is known before its first step.
#include <cstdint>

#include "vmae/ranks/world.h"
#include "vmae/train/checkpoint.h"
#include "vmae/train/precision.h"
#include "vmae/train/schedule.h"
#include "vmae/train/train_options.h"

namespace vmae::train {

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
  // what a step came to is read when the next one is under way, so that a GPU never waits; false: at once
  bool reads_late = false;
  double long_step_s = 60;  // a dry run whose first step takes longer makes a part of it
  Schedule schedule;        // in steps of this plan: steps_done()
};
// Error(usage) where options contradict each other.
Plan make_plan(const TrainOptions& train, const OptimOptions& optim, int64_t samples_per_epoch, at::Device device,
               const World& world, bool is_dry_run);

// The plan of a run that is at `state`, whatever batch size it had before: epochs (and the samples
// of the epoch under way) that are done are done, those that are left are trained, and the schedule
// goes on from there. Of a new run, and of one that is resumed unchanged: the plan itself.
Plan continued(Plan plan, const RunState& state);

// How many steps of the plan's batch size the epochs done make: what the schedule
// counts. Whole, and RunState::step, where the batch size never changed.
double steps_done(const Plan& plan, const data::Position& position);

}  // namespace vmae::train
