#include "vmae/tasks/validation.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>

#include "vmae/core/spread.h"

namespace vmae::run {

namespace {

// Without the samples that stand in for unreadable ones; false: nothing is left of it, and one of them stays.
bool keep_wanted(data::Batch& batch) {
  std::vector<int64_t> kept;
  for (size_t i = 0; batch.counts && i < batch.indices.size(); ++i) {
    if (batch.indices[i] == batch.wanted[i]) kept.push_back(static_cast<int64_t>(i));
  }
  const bool counts = !kept.empty();
  if (!counts) kept.push_back(0);
  if (kept.size() == batch.indices.size()) return counts;
  const at::Tensor rows = at::tensor(kept, at::kLong);
  for (at::Tensor* tensor : {&batch.image, &batch.mask, &batch.labels}) {
    if (tensor->defined()) *tensor = tensor->index_select(0, rows);
  }
  for (size_t i = 0; i < kept.size(); ++i) {
    batch.indices[i] = batch.indices[static_cast<size_t>(kept[i])];
    batch.seeds[i] = batch.seeds[static_cast<size_t>(kept[i])];
  }
  batch.indices.resize(kept.size());
  batch.wanted = batch.indices;
  batch.seeds.resize(kept.size());
  return counts;
}

void to_device(data::Batch& batch, at::Device device) {
  for (at::Tensor* tensor : {&batch.image, &batch.mask, &batch.labels}) {
    if (tensor->defined()) *tensor = tensor->to(device);
  }
}

// Of validation, but for the order.
data::LoaderOptions validation_loader(const DataOptions& options, const train::Plan& plan, uint64_t seed) {
  return {.batch_size = plan.world_batch,
          .seed = seed,
          .shuffle = false,
          .workers = options.workers,
          .prefetch = options.prefetch,
          .pin_memory = plan.device.is_cuda(),
          .rank = plan.rank,
          .world_size = plan.num_ranks};
}

}  // namespace

void for_each_validation_batch(const std::shared_ptr<data::Dataset>& dataset, const DataOptions& options,
                               const train::Plan& plan, uint64_t seed,
                               const std::function<void(const data::Batch&)>& use) {
  const data::AugmentOptions evaluation = data::evaluation_augmentation(options.augment);
  data::Loader loader(dataset, validation_loader(options, plan, seed), &evaluation, /*start=*/{}, /*epochs=*/1);
  for (data::Batch batch; loader.next(batch);) {
    batch.counts = keep_wanted(batch);
    to_device(batch, plan.device);
    use(batch);
  }
}

void for_each_drawn_batch(const std::shared_ptr<data::Dataset>& dataset, const DataOptions& options,
                          const train::Plan& plan, uint64_t seed, int64_t num_samples,
                          const std::function<void(const data::Batch&)>& use) {
  data::LoaderOptions drawn = validation_loader(options, plan, seed);
  drawn.is_drawn = true;
  drawn.samples_per_epoch = num_samples;
  data::Loader loader(dataset, drawn, /*augment=*/nullptr, /*start=*/{}, /*epochs=*/1);
  for (data::Batch batch; loader.next(batch);) {
    to_device(batch, plan.device);
    use(batch);
  }
}

void for_each_batch_of_views(const std::shared_ptr<data::Dataset>& dataset, const DataOptions& options,
                             const train::Plan& plan, uint64_t seed,
                             const std::function<void(const data::Batch&)>& use) {
  data::LoaderOptions mixed = validation_loader(options, plan, seed);
  mixed.shuffle = true;
  mixed.has_two_views = true;
  data::Loader loader(dataset, mixed, &options.augment, /*start=*/{}, /*epochs=*/1);
  for (data::Batch batch; loader.next(batch);) {
    to_device(batch, plan.device);
    use(batch);
  }
}

train::Metrics with_mean(const std::string& name, train::Metrics metrics) {
  double sum = 0;
  for (const auto& [metric, value] : metrics) sum += value;
  metrics.insert(metrics.begin(), {name, metrics.empty() ? std::nan("") : sum / static_cast<double>(metrics.size())});
  return metrics;
}

data::Batch panel_batch(const data::Dataset& dataset, const data::AugmentOptions& augment, uint64_t seed,
                        at::Device device, const std::vector<int64_t>& indices, bool has_two_views) {
  constexpr int64_t kMostSamples = 8;
  const data::AugmentOptions used = has_two_views ? augment : data::evaluation_augmentation(augment);
  const auto& image = dataset.image_options();
  const int64_t height = image.image_size[0], width = image.image_size[1];
  const std::vector<int64_t> places =
      evenly_spread(indices.empty() ? dataset.size() : std::ssize(indices), kMostSamples);
  const int64_t n = std::ssize(places);
  data::Batch batch;
  batch.image = at::empty({has_two_views ? 2 * n : n, image.in_channels, height, width}, at::kFloat);
  if (dataset.targets().mask) batch.mask = at::empty({n, height, width}, at::kByte);
  for (int64_t i = 0; i < n; ++i) {
    data::SampleBuffers buffers{batch.image[i].mutable_data_ptr<float>()};
    if (batch.mask.defined()) buffers.mask = batch.mask[i].mutable_data_ptr<uint8_t>();
    if (has_two_views) buffers.second_view = batch.image[n + i].mutable_data_ptr<float>();
    const int64_t place = places[static_cast<size_t>(i)],
                  wanted = indices.empty() ? place : indices[static_cast<size_t>(place)];
    const int64_t index = dataset.load_readable_into(wanted, seed, /*epoch=*/0, &used, buffers).index;
    batch.seeds.push_back(data::Dataset::sample_seed(seed, /*epoch=*/0, index));
    batch.indices.push_back(index);
  }
  batch.image = batch.image.to(device);
  return batch;
}

}  // namespace vmae::run
