#include "vmae/tasks/validation.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "vmae/core/spread.h"

namespace vmae::run {

namespace {

bool next(data::Loader& loader, data::Batch& batch) {
  if (!loader.next(batch)) return false;
  std::vector<int64_t> kept;
  for (size_t i = 0; batch.counts && i < batch.indices.size(); ++i) {
    if (batch.indices[i] == batch.wanted[i]) kept.push_back(static_cast<int64_t>(i));
  }
  batch.counts = !kept.empty();
  if (kept.empty()) kept.push_back(0);
  if (kept.size() == batch.indices.size()) return true;
  const at::Tensor rows = at::tensor(kept, at::kLong);
  const auto size = static_cast<int64_t>(batch.indices.size());
  const bool has_two_views = batch.image.size(0) == 2 * size;
  batch.image = batch.image.index_select(0, has_two_views ? at::cat({rows, rows + size}) : rows);
  for (at::Tensor* tensor : {&batch.mask, &batch.labels}) {
    if (tensor->defined()) *tensor = tensor->index_select(0, rows);
  }
  for (size_t i = 0; i < kept.size(); ++i) {
    const auto from = static_cast<size_t>(kept[i]);
    batch.wanted[i] = batch.wanted[from];
    batch.indices[i] = batch.indices[from];
    batch.seeds[i] = batch.seeds[from];
  }
  batch.wanted.resize(kept.size());
  batch.indices.resize(kept.size());
  batch.seeds.resize(kept.size());
  return true;
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

void for_each_batch(const std::shared_ptr<data::Dataset>& dataset, const data::LoaderOptions& options,
                    const data::AugmentOptions& augment, at::Device device,
                    const std::function<void(const data::Batch&)>& use) {
  data::Loader loader(dataset, options, &augment, /*start=*/{}, /*epochs=*/1);
  for (data::Batch batch; next(loader, batch);) {
    for (at::Tensor* tensor : {&batch.image, &batch.mask, &batch.labels}) {
      if (tensor->defined()) *tensor = tensor->to(device);
    }
    use(batch);
  }
}

}  // namespace

void for_each_validation_batch(const std::shared_ptr<data::Dataset>& dataset, const DataOptions& options,
                               const train::Plan& plan, uint64_t seed,
                               const std::function<void(const data::Batch&)>& use) {
  for_each_batch(dataset, validation_loader(options, plan, seed), data::evaluation_augmentation(options.augment),
                 plan.device, use);
}

void for_each_batch_of_views(const std::shared_ptr<data::Dataset>& dataset, const DataOptions& options,
                             const train::Plan& plan, uint64_t seed,
                             const std::function<void(const data::Batch&)>& use) {
  data::LoaderOptions mixed = validation_loader(options, plan, seed);
  mixed.shuffle = true;
  mixed.has_two_views = true;
  for_each_batch(dataset, mixed, options.augment, plan.device, use);
}

data::Batch panel_batch(const data::Dataset& dataset, const data::AugmentOptions& augment, uint64_t seed,
                        at::Device device, const std::vector<int64_t>& indices) {
  constexpr int64_t kMostSamples = 8;
  const data::AugmentOptions evaluation = data::evaluation_augmentation(augment);
  const auto& image = dataset.image_options();
  const int64_t height = image.image_size[0], width = image.image_size[1];
  const std::vector<int64_t> places =
      evenly_spread(indices.empty() ? dataset.size() : std::ssize(indices), kMostSamples);
  const int64_t n = std::ssize(places);
  data::Batch batch;
  batch.image = at::empty({n, image.in_channels, height, width}, at::kFloat);
  if (dataset.targets().mask) batch.mask = at::empty({n, height, width}, at::kByte);
  for (int64_t i = 0; i < n; ++i) {
    data::SampleBuffers buffers{batch.image[i].mutable_data_ptr<float>()};
    if (batch.mask.defined()) buffers.mask = batch.mask[i].mutable_data_ptr<uint8_t>();
    const int64_t place = places[static_cast<size_t>(i)],
                  wanted = indices.empty() ? place : indices[static_cast<size_t>(place)];
    const int64_t index = dataset.load_readable_into(wanted, seed, /*epoch=*/0, &evaluation, buffers).index;
    batch.seeds.push_back(data::Dataset::sample_seed(seed, /*epoch=*/0, index));
    batch.indices.push_back(index);
  }
  batch.image = batch.image.to(device);
  return batch;
}

}  // namespace vmae::run
