#pragma once
// Batches in a fixed order from worker threads. What batch k of epoch e holds is a pure function of (seed, e, k): it
// does not depend on the number of workers, on timing, or on where the run was resumed. A sample that comes again in
// an epoch has random numbers of its own (Dataset). Workers run ahead by a bounded number of batches and write samples
// straight into the batch; they call nothing of torch, so its thread settings are those of the training thread alone.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "vmae/data/dataset.h"
#include "vmae/data/mixture.h"

namespace vmae::data {

struct LoaderOptions {
  int64_t batch_size = 16;  // samples in one batch, over all ranks
  uint64_t seed = 0;
  bool shuffle = true;   // a new permutation per epoch
  int64_t workers = 0;   // threads; 0: as many as usable, at least 1
  int64_t prefetch = 4;  // batches ahead, at most
  bool pin_memory = false;
  int64_t rank = 0, world_size = 1;  // this rank gets every world_size-th sample of each batch
  // no batch reaches over a multiple of this many samples (an optimizer step); 0: no such limit
  int64_t step_size = 0;
  // shares of the dataset's sources (mixture_order()), with shuffle only; empty: every sample once
  std::vector<double> weights{};
  std::shared_ptr<const std::vector<bool>>
      // per sample, with shuffle only: at least marked_share of each step or batch is marked (marked_order())
      is_marked{};
  double marked_share = 0.0;
  // with shuffle only: drawn from passes that go on from epoch to epoch (part_of_passes()); 0: one pass
  int64_t samples_per_epoch = 0;
  bool has_two_views = false;  // of each sample, for contrastive learning
  // the dataset draws samples_per_epoch samples itself, by their places in the epoch (Batch::wanted), instead of
  // weights, marks and passes
  bool is_drawn = false;
  // that of the epoch in which the loader starts, for marked_order() alone; 0: step_size
  int64_t first_step_size = 0;
};

// Position in the data: the next sample to deliver. Saved in checkpoints.
struct Position {
  int64_t epoch = 0;
  int64_t sample = 0;  // samples of this epoch already delivered, over all ranks
  bool operator==(const Position&) const = default;
};

struct Batch {
  // (B, C, H, W) float32; the last batch of an epoch may be smaller. With two views (2 B, C, H, W): first the one of
  // all samples, then the other
  at::Tensor image;
  at::Tensor mask;  // (B, H, W) uint8, (B, L) float32: undefined where the dataset's targets don't ask for them
  at::Tensor labels;
  std::vector<at::Tensor> draws;  // random numbers of the task, a row per sample; the loader leaves them empty
  // false: fewer samples than ranks; this rank has none, and one that another rank has stands in
  bool counts = true;
  int64_t num_samples = 0;       // of all ranks
  std::vector<int64_t> wanted;   // B, into the dataset
  std::vector<int64_t> indices;  // B, after substitution: others where what was wanted can't be read
  std::vector<uint64_t> seeds;   // B
  Position position;             // where this batch begins
  // where the following one begins; next.epoch > position.epoch after the last batch of an epoch
  Position next;
};

class Loader {
 public:
  // augment: copied; nullptr for validation. The loader ends before epoch number
  // `epochs` (counted from 0, also when resumed), or never if that is negative.
  Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options, const AugmentOptions* augment,
         Position start = {}, int64_t epochs = -1);
  ~Loader();  // stops the workers

  // False after the last batch. An unreadable sample is quarantined and replaced by the
  // next readable one in dataset order, so a batch never changes its size. Rethrows
  // Error(data) when the quarantine's limit is passed, and again at every further call.
  bool next(Batch& batch);
  // drops what was loaded ahead: for when files are left out that were not before (Quarantine)
  void restart(Position start);
  const Dataset& dataset() const;
  const LoaderOptions& options() const;
  double wait_s() const;  // seconds spent in next() waiting for data, so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vmae::data
