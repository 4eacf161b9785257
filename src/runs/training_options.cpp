// Keys of the options that all training commands share.
#include "vmae/runs/training_options.h"

#include "vmae/core/error.h"

namespace vmae::run {

void describe(Options& options, RunOptions& run) {
  options.add("dir", run.dir, "folder of this run: config, log, metrics, checkpoints, samples");
  options.add(
      "seed", run.seed,
      "every random number of a run follows from it: initial weights, order of samples, flips, masks, drop path",
      at_least(0));
  options.add("device", run.device, "auto: a GPU if one can be used, else the CPU", one_of({"auto", "cpu", "cuda"}));
  options.add("threads", run.threads,
              "threads for computing, of each rank; 0: as many as affinity and cgroup allow, divided among the ranks "
              "that share them",
              in_range(0, 1024));
  options.add("timeout_s", run.timeout_s, "seconds that a rank waits for the others before the run ends",
              in_range(1.0, 86400.0));
  options.add("deterministic", run.deterministic,
              "GPU: only operations that give the same bits every time, as exact resumption needs; false: whatever is "
              "fastest. A CPU is always deterministic");
}

void describe(Options& options, DataOptions& data) {
  options.add("train", data.train,
              "training images: a prepared dataset, a folder (searched recursively), a manifest CSV, or one file; or a "
              "list of several: [a, b]");
  options.add("weights", data.weights,
              "shares of the sources in data.train, one number each, as in [1, 3]: an epoch is as long as all sources "
              "together, and a source with a larger share than "
              "its size repeats. Empty: every image once per epoch",
              at_least(0));
  options.add("val", data.val,
              "validation images, likewise; empty: as splits says, else the split that the source has (a manifest's "
              "split column), else val_fraction of the "
              "training files");
  options.add("test", data.test,
              "test images: after fine-tuning they are predicted with the best weights (likewise the test part of "
              "splits); not used by pretraining");
  options.add("splits", data.splits.file,
              "file of `vmae split` that says who trains and who validates (fine-tuning predicts its test part "
              "afterwards); it wins over a manifest's split "
              "column, val must be empty");
  options.add("fold", data.splits.fold,
              "of splits: which of its folds, counted from 0; without splits, of the folds that the data name (a "
              "manifest's column, dataset.json): the one "
              "that validates",
              at_least(0));
  options.add("label_fraction", data.splits.label_fraction,
              "of splits: percent of the training part to train with; one of the file's fractions, or 100",
              in_range(1, 100));
  options.add("channels", data.channels,
              "of cases of several registered images (nnU-Net's CASE_0000 and CASE_0001; Decathlon; a manifest's "
              "columns image:T1 and image:T2). stacked: they are "
              "the channels of one image, model.in_channels is their number; single: each is an image by itself",
              one_of({"stacked", "single"}));
  options.add("val_fraction", data.val_fraction,
              "share of the patients (files, where patients are not known) set aside for validation if nothing else "
              "says who validates; 0: no validation",
              in_range(0.0, 0.9));
  options.add("workers", data.workers, "threads that read and prepare images, of each rank; 0: as run.threads",
              in_range(0, 1024));
  options.add("prefetch", data.prefetch, "batches prepared ahead of training, at most", in_range(1, 1024));
  options.add("max_bad_fraction", data.max_bad_fraction,
              "share of unreadable files (listed in quarantine.jsonl) above which a run stops with exit code 3",
              in_range(0.0, 1.0));
  describe(options, data.image);
  describe(options, data.augment);
}

std::vector<std::string> named_sources(std::vector<std::string> sources) {
  std::erase(sources, "");
  return sources;
}

void require_keys(const RunOptions& run, const DataOptions& data, bool writes) {
  if (writes && run.dir.empty())
    throw Error(ExitCode::usage, "run.dir is not set", "give a folder for this run: run.dir=runs/my-run");
  check_choice(data.splits, named_sources(data.train), named_sources(data.val));
}

}  // namespace vmae::run
