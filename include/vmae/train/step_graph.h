#pragma once
// A whole training step recorded as a CUDA graph and replayed: one launch instead of thousands, which helps where launching takes longer than computing (small
// batches). An option, off by default.
#include <functional>
#include <memory>

#include "vmae/data/loader.h"

namespace vmae::train {

// While in scope the GPU work of this thread goes to a stream of its own: capturing needs one, and everything that a step touches must have been made on it.
// wanted false, or a CPU: nothing.
class ComputeStream {
 public:
  ComputeStream(at::Device device, bool wanted);
  ~ComputeStream();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class StepGraph {
 public:
  // Forward, backward and, if `updates`, the optimizer: operations on tensors alone, without waiting for the GPU. lr and the result (loss, gradient norm) are
  // tensors on the GPU.
  using Body = std::function<at::Tensor(const data::Batch& batch, const at::Tensor& lr, bool updates)>;
  explicit StepGraph(Body body);
  ~StepGraph();

  // Records at the first call, after passes without update that let cuBLAS, NCCL and the Reducer come to rest. All batches must have the first one's shape.
  at::Tensor run(const data::Batch& batch, double lr);

 private:
  struct State;
  void record(const data::Batch& batch);
  Body body_;
  std::unique_ptr<State> state_;
};

}  // namespace vmae::train
