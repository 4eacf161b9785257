#include "vmae/train/device_input.h"

#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <optional>

#include "vmae/train/transfer.h"

namespace vmae::train {

// The batch that is on its way. The allocators of pinned and of device memory
// know which stream still uses a block: neither is handed out again too early.
struct DeviceInput::Ahead {
  explicit Ahead(at::Device device)
      : streams(device.type()), stream(streams.getStreamFromGlobalPool(device)), copied(device.type()) {}
  c10::impl::VirtualGuardImpl streams;
  c10::Stream stream;
  c10::Event copied;
  std::optional<data::Batch> batch;
  bool is_at_end = false;
};

DeviceInput::DeviceInput(data::Loader& loader, at::Device device, Draws draws)
    : loader_(loader),
      device_(device),
      draws_(std::move(draws)),
      ahead_(device.is_cuda() ? std::make_unique<Ahead>(device) : nullptr) {}
DeviceInput::~DeviceInput() = default;

bool DeviceInput::load(data::Batch& batch) {
  if (!loader_.next(batch)) return false;
  if (draws_) batch.draws = draws_(batch);
  return true;
}

namespace {

template <class Action>
void for_each_tensor(data::Batch& batch, const Action& action) {
  for (at::Tensor* tensor : {&batch.image, &batch.mask, &batch.labels}) {
    if (tensor->defined()) action(*tensor);
  }
  for (at::Tensor& tensor : batch.draws) {
    if (tensor.defined()) action(tensor);
  }
}

}  // namespace

void DeviceInput::prefetch() {
  if (!ahead_ || ahead_->batch || ahead_->is_at_end) return;
  data::Batch batch;
  if (!load(batch)) {
    ahead_->is_at_end = true;
    return;
  }
  const c10::StreamGuard on_copy_stream(ahead_->stream);
  for_each_tensor(batch, [&](at::Tensor& tensor) { tensor = to_device(tensor, device_); });
  ahead_->copied.record(ahead_->stream);
  ahead_->batch = std::move(batch);
}

void DeviceInput::restart(data::Position start) {
  loader_.restart(start);
  if (!ahead_) return;
  ahead_->batch.reset();
  ahead_->is_at_end = false;
}

bool DeviceInput::next(data::Batch& batch) {
  if (!ahead_) return load(batch);
  prefetch();  // the first one
  if (!ahead_->batch) return false;
  batch = std::move(*ahead_->batch);
  ahead_->batch.reset();
  const c10::Stream current = ahead_->streams.getStream(device_);
  ahead_->copied.block(current);
  for_each_tensor(
      batch, [&](at::Tensor& tensor) { ahead_->streams.recordDataPtrOnStream(tensor.storage().data_ptr(), current); });
  return true;
}

}  // namespace vmae::train
