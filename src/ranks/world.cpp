#include "vmae/ranks/world.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>

#include "device_of_rank.h"
#include "gradient_sync.h"
#include "process_group.h"
#include "rendezvous.h"
#include "vmae/core/log.h"
#include "vmae/core/machine.h"
#include "vmae/cuda/library.h"

namespace vmae::train {

struct World::Impl {
  Launch launch;
  std::unique_ptr<Rendezvous> rendezvous;  // none: alone
  c10::intrusive_ptr<c10d::ProcessGroup> group;
  std::unique_ptr<GradientSync> gradients;
  int64_t works_of_first = 0;

  // c10d's errors are of any type; whatever a collective throws means that the ranks are no longer together.
  template <class Collective>
  auto together(const char* what, const Collective& collective) {
    try {
      return collective();
    } catch (const Error&) {
      throw;
    } catch (const std::exception& problem) {
      throw LostContact(concat(what, " failed: ", reason_of(problem)));
    }
  }
};

namespace {

// y = sum over ranks of x; dy/dx = 1 for the own part.
struct TotalOverRanks : torch::autograd::Function<TotalOverRanks> {
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& own, World* world) {
    at::Tensor total = own.detach().clone();
    world->sum(total);
    return total;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 const torch::autograd::variable_list& gradients) {
    return {gradients[0], at::Tensor()};
  }
};

// y = sum over ranks of x; dx = sum over ranks of dy. Of a rank that does not count, 0.
struct TotalWithGradients : torch::autograd::Function<TotalWithGradients> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& own, bool counts, World* world) {
    ctx->saved_data["counts"] = counts;
    ctx->saved_data["world"] = reinterpret_cast<int64_t>(world);
    return sum_of(own, counts, *world);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& gradients) {
    // what is saved for the backward pass can be a number, but no pointer
    auto* world = reinterpret_cast<World*>(ctx->saved_data["world"].toInt());  // NOLINT(performance-no-int-to-ptr)
    const at::Tensor total = sum_of(gradients[0], /*counts=*/true, *world);
    return {ctx->saved_data["counts"].toBool() ? total : at::zeros_like(total), at::Tensor(), at::Tensor()};
  }
  static at::Tensor sum_of(const at::Tensor& own, bool counts, World& world) {
    at::Tensor total = counts ? own.detach().clone() : at::zeros_like(own);
    world.sum(total);
    return total;
  }
};

}  // namespace

World::World() : impl_(std::make_unique<Impl>()) {}

World::World(const Launch& launch) : World() {
  impl_->launch = launch;
  if (launch.size > 1) impl_->rendezvous = std::make_unique<Rendezvous>(launch);
}

World::~World() = default;

int64_t World::rank() const { return impl_->rendezvous ? impl_->launch.rank : 0; }
int64_t World::size() const { return impl_->rendezvous ? impl_->launch.size : 1; }
const Launch& World::launch() const { return impl_->launch; }

void World::connect(at::Device device, double timeout_s) {
  if (size() == 1 || impl_->group) return;
  Rendezvous& rendezvous = *impl_->rendezvous;
  const std::string uuid = device.is_cuda() ? cuda::library()->properties(device.index()).uuid : "";
  rendezvous.put(concat("device/", rank()), concat(c10::DeviceTypeName(device.type(), /*lower_case=*/true), " ", uuid));
  rendezvous.wait_for_all(timeout_s);
  const Rendezvous::Card own = rendezvous.card(rank());
  int sharing = 0;
  bool is_one_host = true;
  std::vector<DeviceOfRank> devices;
  for (int64_t r = 0; r < size(); ++r) {
    const Rendezvous::Card card = rendezvous.card(r);
    sharing += card.machine == own.machine && card.cpus == own.cpus ? 1 : 0;
    is_one_host &= card.network == own.network;
    const std::string on = rendezvous.wait_for(concat("device/", r));
    devices.push_back({card.host, on.substr(0, on.find(' ')), on.substr(on.find(' ') + 1)});
  }
  require_fitting_devices(devices);
  share_threads(sharing);
  impl_->group = impl_->together("connecting", [&] {
    return make_process_group(rendezvous.store(), impl_->launch, device, timeout_s, is_one_host);
  });
}

void World::sum(at::Tensor& values) {
  if (size() == 1) return;
  std::vector<at::Tensor> tensors{values};
  if (!impl_->group) throw Error(ExitCode::internal, "World: ranks can't talk before connect()");
  impl_->together("a sum", [&] { return impl_->group->allreduce(tensors)->wait(); });
}

bool World::any(bool value) {
  at::Tensor count = at::full({1}, value ? 1 : 0, at::kInt);
  sum(count);
  return count.item<int>() > 0;
}

RankSum World::total(bool counts) {
  if (size() == 1) return {};
  return [this, counts](const at::Tensor& own) { return TotalOverRanks::apply(counts ? own : own * 0.0, this); };
}

RankSum World::total_with_gradients(bool counts) {
  if (size() == 1) return {};
  return [this, counts](const at::Tensor& own) { return TotalWithGradients::apply(own, counts, this); };
}

void World::broadcast(std::vector<at::Tensor> tensors) {
  if (size() == 1) return;
  constexpr size_t kMessageBytes = 25 << 20;
  impl_->together("a broadcast", [&] { c10d::broadcast_coalesced(impl_->group, tensors, kMessageBytes, /*rank=*/0); });
}

std::string World::broadcast(const std::string& text) { return gather(is_first() ? text : "").front(); }

std::vector<std::string> World::gather(const std::string& text) {
  if (size() == 1) return {text};
  at::Tensor lengths = at::zeros({size()}, at::kLong);
  lengths[rank()] = static_cast<int64_t>(text.size());
  sum(lengths);
  const int64_t longest = std::max<int64_t>(1, lengths.max().item<int64_t>());
  at::Tensor own = at::zeros({longest}, at::kByte);
  std::copy(text.begin(), text.end(), own.mutable_data_ptr<uint8_t>());
  std::vector<std::vector<at::Tensor>> all(1);
  for (int64_t r = 0; r < size(); ++r) all[0].push_back(at::empty({longest}, at::kByte));
  std::vector<at::Tensor> input{own};
  impl_->together("an exchange of texts", [&] { return impl_->group->allgather(all, input)->wait(); });
  std::vector<std::string> texts;
  for (int64_t r = 0; r < size(); ++r)
    texts.emplace_back(reinterpret_cast<const char*>(all[0][static_cast<size_t>(r)].const_data_ptr<uint8_t>()),
                       static_cast<size_t>(lengths[r].item<int64_t>()));
  return texts;
}

std::string World::from_first(const std::function<std::string()>& work) {
  if (size() == 1) return work();
  const std::string key = concat("work/", impl_->works_of_first++);
  if (!is_first()) return impl_->rendezvous->wait_for(key);
  std::string result = work();
  impl_->rendezvous->put(key, result);
  return result;
}

void World::share_gradients(const std::vector<at::Tensor>& parameters, bool compress) {
  if (size() == 1) return;
  impl_->together("agreeing on the layout of gradients",
                  [&] { impl_->gradients = std::make_unique<GradientSync>(impl_->group, parameters, compress); });
}

void World::keep_gradients() { impl_->gradients.reset(); }

void World::backward(const at::Tensor& loss, bool synchronise) {
  if (impl_->gradients)
    impl_->gradients->backward(loss, synchronise);
  else
    loss.backward();
}

double World::gradient_wait_s() const { return impl_->gradients ? impl_->gradients->wait_s() : 0.0; }

void World::finish() {
  if (size() == 1) return;
  keep_gradients();
  if (impl_->group) {  // a command may have had nothing to do
    any(false);
    impl_->group->shutdown();
    impl_->group.reset();
  }
  impl_->rendezvous->leave();
  impl_->rendezvous.reset();
}

void World::fail(const Error& error) {
  if (size() > 1) impl_->rendezvous->fail(error, dynamic_cast<const LostContact*>(&error) != nullptr);
}

}  // namespace vmae::train
