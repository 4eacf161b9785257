#include "vmae/train/transfer.h"

#include <ATen/ops/empty.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace vmae::train {

at::Tensor to_device(const at::Tensor& on_cpu, at::Device device) {
  if (!device.is_cuda()) return on_cpu;
  return (on_cpu.is_pinned() ? on_cpu : on_cpu.pin_memory()).to(device, /*non_blocking=*/true);
}

ComingTensor::ComingTensor(const at::Tensor& tensor) : on_host_(tensor) {
  if (!tensor.is_cuda()) return;
  on_host_ = at::empty(tensor.sizes(), tensor.options().device(at::kCPU).pinned_memory(true));
  on_host_.copy_(tensor, /*non_blocking=*/true);
  copied_.emplace(tensor.device().type());
  copied_->record(c10::impl::VirtualGuardImpl(tensor.device().type()).getStream(tensor.device()));
}

at::Tensor ComingTensor::read() const {
  if (copied_) copied_->synchronize();
  return on_host_;
}

}  // namespace vmae::train
