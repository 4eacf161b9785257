#include "vmae/train/step_graph.h"

#include "vmae/core/error.h"
#if VMAE_CUDA
#include <ATen/autocast_mode.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/AutogradState.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#endif

namespace vmae::train {

#if VMAE_CUDA

struct ComputeStream::State {
  c10::cuda::CUDAStreamGuard guard;
  explicit State(const c10::cuda::CUDAStream& stream) : guard(stream) {}
};

ComputeStream::ComputeStream(at::Device device, bool wanted) {
  if (!wanted || !device.is_cuda()) return;
  c10::cuda::device_synchronize();  // what was made before, on another stream, is complete
  state_ = std::make_unique<State>(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index()));
}

namespace {

constexpr int kNumWarmups = 11;  // the Reducer times its first 10 passes with events, which can't be captured

std::vector<at::Tensor> tensors_of(const data::Batch& batch) {
  std::vector<at::Tensor> tensors;
  for (const at::Tensor& tensor : {batch.image, batch.mask, batch.labels}) {
    if (tensor.defined()) tensors.push_back(tensor);
  }
  tensors.insert(tensors.end(), batch.draws.begin(), batch.draws.end());
  return tensors;
}

// Casts of weights belong into the graph, and backward stays on the thread that captures.
struct Capturable {
  bool had_cache = at::autocast::is_autocast_cache_enabled(),
       had_threads = c10::AutogradState::get_tls_state().get_multithreading_enabled();
  Capturable() { set(false, false); }
  ~Capturable() { set(had_cache, had_threads); }
  static void set(bool cache, bool threads) {
    at::autocast::set_autocast_cache_enabled(cache);
    c10::AutogradState::get_tls_state().set_multithreading_enabled(threads);
  }
};

}  // namespace

struct StepGraph::State {
  data::Batch inputs;  // static addresses
  at::Tensor lr, requests, result;
  std::unique_ptr<at::cuda::CUDAGraph> graph;
};

void StepGraph::record(const data::Batch& batch) {
  state_ = std::make_unique<State>();
  State& state = *state_;
  state.inputs = batch;
  for (at::Tensor* tensor : {&state.inputs.image, &state.inputs.mask, &state.inputs.labels}) {
    if (tensor->defined()) *tensor = tensor->clone();
  }
  for (at::Tensor& tensor : state.inputs.draws) tensor = tensor.clone();
  state.lr = step_.on_device(0.0);
  state.requests = step_.on_device(StepRequests{});
  const Capturable capturable;
  for (int i = 0; i < kNumWarmups; ++i) {
    step_.begin();
    step_.add(state.inputs, /*share=*/1.0, /*is_last=*/true);
    step_.finish(state.lr, state.requests, /*updates=*/false);
  }
  c10::cuda::device_synchronize();
  c10::cuda::CUDACachingAllocator::emptyCache();
  at::getHostAllocator(at::kCUDA)->empty_cache();
  state.graph = std::make_unique<at::cuda::CUDAGraph>();
  state.graph->capture_begin(/*pool=*/{0, 0}, cudaStreamCaptureModeThreadLocal);  // threads of the loader may go on
  step_.begin();
  step_.add(state.inputs, /*share=*/1.0, /*is_last=*/true);
  state.result = step_.finish(state.lr, state.requests);
  state.graph->capture_end();
}

at::Tensor StepGraph::run(const data::Batch& batch, double lr, StepRequests requests) {
  if (!state_) record(batch);
  const std::vector<at::Tensor> from = tensors_of(batch), to = tensors_of(state_->inputs);
  for (size_t i = 0; i < from.size(); ++i) to[i].copy_(from[i], /*non_blocking=*/true);
  state_->lr.fill_(lr);
  state_->requests.copy_(step_.on_device(requests));
  state_->graph->replay();
  return state_->result;  // the next replay writes there: to be copied before it, on this stream
}

#else

struct ComputeStream::State {};
ComputeStream::ComputeStream(at::Device, bool) {}
struct StepGraph::State {};
void StepGraph::record(const data::Batch&) {}
at::Tensor StepGraph::run(const data::Batch&, double, StepRequests) {
  throw Error(ExitCode::internal, "a CUDA graph in a build without CUDA");
}

#endif

ComputeStream::~ComputeStream() = default;
StepGraph::StepGraph(Step& step) : step_(step) {}
StepGraph::~StepGraph() = default;

}  // namespace vmae::train
