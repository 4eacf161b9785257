#pragma once
// A checkpoint is one safetensors file: the weights under their state-dict keys, optimizer.exp_avg.KEY
// and optimizer.exp_avg_sq.KEY, state.generator (torch's CPU generator), and in the metadata the
// config, the model's options and the position. Any safetensors reader gets at the weights. With
// optim.ema_decay these are the moving averages, and optimizer.unaveraged.KEY what was averaged.
#include <torch/nn/module.h>

#include <filesystem>
#include <limits>
#include <map>
#include <string>

#include "vmae/data/loader.h"
#include "vmae/train/optim.h"
#include "vmae/train/precision.h"
#include "vmae/weights/safetensors.h"

namespace vmae::train {

// Where a run is: all that changes from step to step besides tensors.
struct RunState {
  int64_t step = 0;         // optimizer steps made
  data::Position position;  // the next sample
  // with which that epoch began: data.foreground_share orders an epoch by it; 0: not known
  int64_t epoch_batch_size = 0;
  double best = std::numeric_limits<double>::infinity();       // best validation value so far
  double best_loss = std::numeric_limits<double>::infinity();  // of that validation: of equals the lower one is better
  int64_t best_epoch = -1;
  std::string best_metric;    // what `best` is a value of; another one begins anew
  int64_t epoch_to_end = -1;  // the epoch whose last step is made, but whose validation is not; -1: none
  int64_t skipped_steps = 0;  // fp16: gradients that overflowed
  double interval_loss = 0;   // sum over the steps since the last log line, and their number
  int64_t interval_steps = 0;
  double trained_s = 0;  // wall time of training so far, over all resumptions
};

struct TrainingParts {
  torch::nn::Module& module;
  Optimizer& optimizer;
  LossScale& loss_scale;
};

// A file as it shall be written: copies of the tensors on the CPU, so that training can go on meanwhile.
struct Snapshot {
  std::filesystem::path file;
  weights::NamedTensors tensors;
  weights::Metadata metadata;
  bool keeps_previous = false;  // the file that is there becomes previous.safetensors beside it
};
Snapshot take_checkpoint(const std::filesystem::path& file, const TrainingParts& parts, const RunState& state,
                         weights::Metadata metadata);
// Weights alone, or their averages, with the same metadata: best.safetensors, epoch=E.safetensors.
Snapshot take_weights(const std::filesystem::path& file, const torch::nn::Module& module, weights::Metadata metadata,
                      const weights::NamedTensors& averages = {});
bool has_averages(const weights::TensorFile& checkpoint);

// Atomically. Throws Error(checkpoint) if that fails (a full disk): what was there before is untouched.
void write(const Snapshot& snapshot);

// Restores everything in place; Error(checkpoint) names the file and
// the first keys that are missing, unexpected or of another shape.
RunState load_checkpoint(const weights::TensorFile& checkpoint, const std::filesystem::path& file,
                         const TrainingParts& parts);

// The state as text, in checkpoints and for the other ranks; from
// it the loss scale and the optimizer's step count are set too.
std::string state_text(const RunState& state, const TrainingParts& parts);
RunState restore_state(const std::string& text, const TrainingParts& parts);
// The optimizer's moments, as a checkpoint names them.
weights::NamedTensors optimizer_tensors(const TrainingParts& parts);

}  // namespace vmae::train
