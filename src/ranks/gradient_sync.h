#pragma once
// Sums gradients over ranks while the backward pass is still running: c10d::Reducer,
// the engine of PyTorch's DistributedDataParallel (Li et al. 2020). Its constructor
// changes between LibTorch releases and is called in gradient_sync.cpp alone.
#include <ATen/core/Tensor.h>
#include <c10/util/intrusive_ptr.h>

#include <memory>
#include <vector>

namespace c10d {
class ProcessGroup;
}

namespace vmae::train {

class GradientSync {
 public:
  // Every parameter must get a gradient in each synchronised
  // backward pass. The layout of the messages is agreed on here.
  GradientSync(c10::intrusive_ptr<c10d::ProcessGroup> group, const std::vector<at::Tensor>& parameters, bool compress);
  ~GradientSync();

  // Throws LostContact if it was the communication that failed.
  void backward(const at::Tensor& loss, bool synchronise);
  double wait_s() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vmae::train
