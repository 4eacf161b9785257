#pragma once
// A whole training step recorded as a CUDA graph and replayed: one launch instead of thousands, which
// helps where launching takes longer than computing (small batches). An option, off by default.
#include <memory>

#include "vmae/train/step.h"

namespace vmae::train {

// While in scope the GPU work of this thread goes to a stream of its own: capturing needs one,
// and everything that a step touches must have been made on it. wanted false, or a CPU: nothing.
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
  explicit StepGraph(Step& step);
  ~StepGraph();

  // A step of one micro-batch; its result as Step::finish(). Records at the first call, after passes without
  // update that let cuBLAS, NCCL and the Reducer come to rest. All batches must have the first one's shape.
  at::Tensor run(const data::Batch& batch, double lr, StepRequests requests);

 private:
  struct State;
  void record(const data::Batch& batch);
  Step& step_;
  std::unique_ptr<State> state_;
};

}  // namespace vmae::train
