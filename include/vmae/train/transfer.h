#pragma once
// Between host and device without waiting for what the device was given before; on the CPU tensors stay what they are.
#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <optional>

namespace vmae::train {

// By way of pinned memory.
at::Tensor to_device(const at::Tensor& on_cpu, at::Device device);

// A tensor on its way to the host: begun when the work that makes it was given to the device, so that
// waiting for it does not wait for what the device was given since.
class ComingTensor {
 public:
  explicit ComingTensor(const at::Tensor& tensor);
  at::Tensor read() const;  // waits

 private:
  at::Tensor on_host_;
  std::optional<c10::Event> copied_;
};

}  // namespace vmae::train
