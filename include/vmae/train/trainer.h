#pragma once
// The one training loop, for pretraining, segmentation and classification. What differs between them is a Task.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vmae/core/clock.h"
#include "vmae/data/loader.h"
#include "vmae/train/checkpoint_writer.h"
#include "vmae/train/device_input.h"
#include "vmae/train/plan.h"
#include "vmae/train/run_log.h"
#include "vmae/train/step.h"
#include "vmae/train/step_graph.h"
#include "vmae/train/task.h"

namespace vmae::train {

struct Outcome {
  RunState state;
  bool stopped_by_signal = false, stopped_early = false;  // early: by train.early_stop
  double last_loss = 0;                                   // of the last step
  // of a dry run: those that step_s is the mean of; 0: the first step alone, warm-up included
  int64_t timed_steps = 0;
  double step_s = 0;  // likewise: seconds of a step
  // likewise: the samples of the only step that were looked at, as it took too long; 0: all
  int64_t made_samples = 0;
  Metrics last_validation;
};

// Of rank 0 alone; absent in a dry run.
struct RunOutput {
  const RunFolder& folder;
  RunLog& log;
};

class Trial;

class Trainer {
 public:
  // plan: for `state` (continued()). The loader starts at state.position and delivers this rank's
  // part of batches of plan.world_batch. metadata: what a checkpoint says about the model.
  Trainer(Task& task, Optimizer& optimizer, LossScale& loss_scale, data::Loader& loader, const Plan& plan,
          RunState state, World& world, std::optional<RunOutput> output, weights::Metadata metadata);
  ~Trainer();

  // To the end of the plan: a step ends at a multiple of the batch size, counted from the epoch's
  // first sample, or with the epoch. Throws Error(non_finite) after writing non_finite.json with
  // the sample ids if loss or gradient are not finite; that step changed nothing.
  Outcome run();

 private:
  // A step that was given to the device, and what is to be said of it once its result is read.
  struct Launched {
    std::optional<ComingResult> result;
    int64_t step = 0, epoch = 0;  // steps made before it
    double lr = 0, data_wait_s = 0, gradient_wait_s = 0;
    int64_t num_samples = 0;       // on all ranks
    std::vector<int64_t> indices;  // of the samples, on this rank
    bool ends_epoch = false;
  };
  // Throughput and waiting since the last log line.
  struct Interval {
    Clock::time_point start = Clock::now();
    double data_wait_s = 0, gradient_wait_s = 0;
    int64_t images = 0;
    double images_per_s() const;
  };

  void step();
  Launched launch();
  void finish_reading();
  void tell(const Launched& launched, const StepResult& result);
  void draw_first_panel(double trained_before_s);
  void end_epoch();
  bool validate(int64_t epoch);
  StepRequests requests() const;
  bool is_save_due() const;
  void save();

  Snapshot checkpoint();
  Snapshot weights_alone(const std::string& name) const;
  void draw(int64_t epoch);
  template <class Action>
  void evaluate(const Action& action);
  double trained_s() const;
  bool is_stopped_early() const;

  Task& task_;
  Optimizer& optimizer_;
  LossScale& loss_scale_;
  data::Loader& loader_;
  Plan plan_;
  RunState state_;
  World& world_;
  std::optional<RunOutput> output_;
  weights::Metadata metadata_;

  DeviceInput input_;
  Step step_;
  StepGraph graph_;
  CheckpointWriter writer_;
  std::optional<Launched> launched_;  // not read yet
  bool stop_ = false, save_ = false;  // some rank was asked to stop; rank 0 wants to save
  Outcome outcome_;
  std::unique_ptr<Trial> trial_;  // of a dry run
  Interval interval_;
  Clock::time_point start_ = Clock::now(), last_save_ = start_;
  double trained_before_s_;
};

}  // namespace vmae::train
