// Gradients are laid into buckets of up to 25 MiB in the order in which they become ready; a full bucket is summed
// over the ranks while earlier layers are still at work. The Reducer learns that order from a first backward pass and
// then builds its buckets anew. That pass is made here, on a loss that is 0 and uses the parameters in their order, so
// that the first real step already has the final buckets, and a resumed run the same as one that was not interrupted.
#include "gradient_sync.h"

#include <ATen/ops/zeros.h>

#include <torch/version.h>
#include <chrono>
#include <limits>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/logger.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include "rendezvous.h"
#include "vmae/core/clock.h"
#include "vmae/ranks/world.h"

namespace vmae::train {

namespace {

struct Traffic {
  c10::intrusive_ptr<c10d::ProcessGroup> group;
  bool compress = false;
  bool has_failed = false;
  Clock::time_point last_bucket;  // when the last gradients of this rank were ready
};

// The sum of a bucket over the ranks, without the Reducer's division by their number; as bf16 where asked for.
class SumOfBucket : public c10d::CommHookInterface {
 public:
  explicit SumOfBucket(std::shared_ptr<Traffic> traffic) : traffic_(std::move(traffic)) {}

  c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket& bucket) override {
    const at::Tensor buffer = bucket.getBufferRef();
    std::vector<at::Tensor> sent{traffic_->compress ? buffer.to(at::kBFloat16) : buffer};
    c10::intrusive_ptr<c10::ivalue::Future> sum;
    try {
      sum = traffic_->group->allreduce(sent)->getFuture();
    } catch (...) {
      traffic_->has_failed = true;
      throw;
    }
    if (bucket.isLast()) traffic_->last_bucket = Clock::now();
    sums_.push_back(sum);
    if (!traffic_->compress) return sum;
    const auto widen = [buffer](c10::ivalue::Future& done) -> c10::IValue {
      buffer.copy_(done.value().toTensorVector()[0]);
      return buffer;
    };
    return sum->then(widen, c10::TensorType::get());
  }

  at::Tensor parseHookResult(const c10::IValue& result) override {
    return c10d::detail::parseCppCommHookResult(result);
  }

  bool has_failed() const {
    for (const auto& sum : sums_) {
      if (sum->completed() && sum->hasError()) return true;
    }
    return traffic_->has_failed;
  }
  void forget() { sums_.clear(); }

 private:
  std::shared_ptr<Traffic> traffic_;
  std::vector<c10::intrusive_ptr<c10::ivalue::Future>> sums_;  // of this backward pass
};

}  // namespace

struct GradientSync::State {
  std::shared_ptr<Traffic> traffic = std::make_shared<Traffic>();
  SumOfBucket* hook = nullptr;  // the Reducer's
  std::shared_ptr<c10d::Reducer> reducer;
  std::shared_ptr<c10d::Logger> logger;
  double wait_s = 0;
};

GradientSync::GradientSync(c10::intrusive_ptr<c10d::ProcessGroup> group, const std::vector<at::Tensor>& parameters,
                           bool compress)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.traffic->group = group;
  state.traffic->compress = compress;
  c10d::verify_params_across_processes(group, parameters, std::nullopt);
  const std::vector<bool> is_sparse(parameters.size(), false);
  auto [buckets, limits] =
      c10d::compute_bucket_assignment_by_size(parameters, {std::numeric_limits<size_t>::max()}, is_sparse);
  std::unordered_map<size_t, std::string> names;
  for (size_t i = 0; i < parameters.size(); ++i) names[i] = std::to_string(i);
  state.reducer = std::make_shared<c10d::Reducer>(
      parameters, buckets, group, is_sparse, c10d::kDefaultBucketBytesCap, /*find_unused_parameters=*/false,
      /*gradient_as_bucket_view=*/true, names, c10d::kDefaultFirstBucketBytes,
      /*skip_all_reduce_unused_params=*/false, /*use_python_reducer=*/false,
      /*bucket_bytes_cap_list=*/std::vector<int64_t>{}
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 15
      ,
      /*batched_grad_copy=*/true, /*lazy_bucket_allocation=*/false
#endif
  );
  state.logger = std::make_shared<c10d::Logger>(state.reducer);
  state.reducer->set_logger(state.logger);
  auto hook = std::make_unique<SumOfBucket>(state.traffic);
  state.hook = hook.get();
  state.reducer->register_comm_hook(std::move(hook));

  at::Tensor nothing = at::zeros({}, parameters.front().options().requires_grad(false));
  for (const at::Tensor& parameter : parameters) nothing = nothing + 0.0 * parameter.sum();
  backward(nothing, /*synchronise=*/true);
  for (const at::Tensor& parameter : parameters) parameter.mutable_grad() = at::Tensor();
  if (state.reducer->should_rebuild_buckets()) state.reducer->rebuild_buckets();
  state.wait_s = 0;
}

GradientSync::~GradientSync() = default;

void GradientSync::backward(const at::Tensor& loss, bool synchronise) {
  State& state = *state_;
  if (!synchronise) return loss.backward();  // hooks do nothing: gradients add up on this rank
  state.hook->forget();
  try {
    state.reducer->prepare_for_forward();
    state.reducer->prepare_for_backward({});
    loss.backward();
  } catch (const std::exception& problem) {
    if (!state.hook->has_failed()) throw;
    throw LostContact(concat("gradients could not be exchanged: ", reason_of(problem)));
  }
  state.wait_s += seconds_since(state.traffic->last_bucket);
}

double GradientSync::wait_s() const { return state_->wait_s; }

}  // namespace vmae::train
