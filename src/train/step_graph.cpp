#include "vmae/train/step_graph.h"

#include <ATen/autocast_mode.h>
#include <c10/core/AutogradState.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "vmae/core/error.h"
#include "vmae/cuda/library.h"
#include "vmae/train/device.h"

namespace vmae::train {

struct ComputeStream::State {
  c10::StreamGuard guard;
  explicit State(c10::Stream stream) : guard(stream) {}
};

ComputeStream::ComputeStream(at::Device device, bool wanted) {
  if (!wanted || !device.is_cuda()) return;
  const c10::impl::VirtualGuardImpl impl(device.type());
  impl.synchronizeDevice(device.index());  // what was made before, on another stream, is complete
  state_ = std::make_unique<State>(impl.getStreamFromGlobalPool(device));
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
  std::unique_ptr<cuda::Graph> graph;
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
  try {
    state.graph = cuda::library()->record([&] {
      step_.begin();
      step_.add(state.inputs, /*share=*/1.0, /*is_last=*/true);
      state.result = step_.finish(state.lr, state.requests);
    });
  } catch (const std::exception& problem) {
    if (const std::optional<Error> memory = out_of_memory(problem)) throw *memory;
    throw Error(ExitCode::internal,
                concat("this step can't be recorded as a CUDA graph: ",
                       std::string_view(problem.what()).substr(0, std::string_view(problem.what()).find('\n'))),
                "go on without train.cuda_graph (with --resume where there is a checkpoint), and please report this");
  }
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

ComputeStream::~ComputeStream() = default;
StepGraph::StepGraph(Step& step) : step_(step) {}
StepGraph::~StepGraph() = default;

}  // namespace vmae::train
