#pragma once
// The images that are never learnt from: each readable one once, and the same every time.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "vmae/data/dataset.h"
#include "vmae/data/loader.h"
#include "vmae/runs/training_options.h"
#include "vmae/train/plan.h"
#include "vmae/train/run_log.h"

namespace vmae::run {

// In order, never augmented. Calls `use` with this rank's part of each batch, on the device, without the
// samples that stand in for unreadable ones. Where nothing is left of it one sample
// stays and batch.counts is false, so that all ranks make the same number of calls.
void for_each_validation_batch(const std::shared_ptr<data::Dataset>& dataset, const DataOptions& options,
                               const train::Plan& plan, uint64_t seed,
                               const std::function<void(const data::Batch&)>& use);

// The same with two views of each sample, augmented as in training, in a mixed order, so that slices of one case are
// not each other's neighbours in a batch. Samples that stand in for others are left in (Batch::wanted): ranks have to
// agree on what is left out.
void for_each_batch_of_views(const std::shared_ptr<data::Dataset>& dataset, const DataOptions& options,
                             const train::Plan& plan, uint64_t seed,
                             const std::function<void(const data::Batch&)>& use);

// num_samples of a dataset that draws them itself (LoaderOptions::is_drawn), those of its first epoch.
void for_each_drawn_batch(const std::shared_ptr<data::Dataset>& dataset, const DataOptions& options,
                          const train::Plan& plan, uint64_t seed, int64_t num_samples,
                          const std::function<void(const data::Batch&)>& use);

// In front of the metrics their mean; NaN where there are none.
train::Metrics with_mean(const std::string& name, train::Metrics metrics);

// Up to eight samples, spread evenly over `indices` (empty: over the dataset), for panels; the image is on the device.
// has_two_views: as Loader gives them, augmented as in training; else one, not augmented.
data::Batch panel_batch(const data::Dataset& dataset, const data::AugmentOptions& augment, uint64_t seed,
                        at::Device device, const std::vector<int64_t>& indices = {}, bool has_two_views = false);

}  // namespace vmae::run
