#include "vmae/tasks/validation.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "vmae/core/spread.h"

namespace vmae::run {

namespace {

bool next(data::Loader& loader, data::Batch& batch) {
  if (!loader.next(batch)) return false;
  std::vector<int64_t> wanted;
  for (size_t i = 0; batch.counts && i < batch.indices.size(); ++i) {
    const auto nth = static_cast<int64_t>(i);
    if (batch.indices[i] == batch.position.sample + loader.options().rank + nth * loader.options().world_size)
      wanted.push_back(nth);
  }
  batch.counts = !wanted.empty();
  if (wanted.empty()) wanted.push_back(0);
  if (wanted.size() == batch.indices.size()) return true;
  const at::Tensor rows = at::tensor(wanted, at::kLong);
  for (at::Tensor* tensor : {&batch.image, &batch.mask, &batch.labels}) {
    if (tensor->defined()) *tensor = tensor->index_select(0, rows);
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    batch.indices[i] = batch.indices[static_cast<size_t>(wanted[i])];
    batch.seeds[i] = batch.seeds[static_cast<size_t>(wanted[i])];
  }
  batch.indices.resize(wanted.size());
  batch.seeds.resize(wanted.size());
  return true;
}

}  // namespace

void for_each_validation_batch(const std::shared_ptr<data::Dataset>& dataset, const DataOptions& options,
                               const train::Plan& plan, uint64_t seed,
                               const std::function<void(const data::Batch&)>& use) {
  const data::AugmentOptions evaluation = data::evaluation_augmentation(options.augment);
  const data::LoaderOptions in_order{.batch_size = plan.world_batch,
                                     .seed = seed,
                                     .shuffle = false,
                                     .workers = options.workers,
                                     .prefetch = options.prefetch,
                                     .pin_memory = plan.device.is_cuda(),
                                     .rank = plan.rank,
                                     .world_size = plan.num_ranks};
  data::Loader loader(dataset, in_order, &evaluation, /*start=*/{}, /*epochs=*/1);
  for (data::Batch batch; next(loader, batch);) {
    for (at::Tensor* tensor : {&batch.image, &batch.mask, &batch.labels}) {
      if (tensor->defined()) *tensor = tensor->to(plan.device);
    }
    use(batch);
  }
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
