// `vmae doctor --distributed`: what to run first in a new cluster, with the launcher that training will use.
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <chrono>
#include <iomanip>
#include <ostream>

#include "vmae/core/clock.h"
#include "vmae/core/machine.h"
#include "vmae/ranks/world.h"
#include "vmae/tools/doctor.h"
#include "vmae/train/device.h"

namespace vmae::run {

namespace {

// a loss; buckets of gradients; all gradients of the full-size model
constexpr int64_t kSizesBytes[] = {4 << 10, 1 << 20, 25 << 20, 106 << 20};

struct SumTiming {
  double seconds = 0;
  bool is_right = false;
};

// A sum of `bytes` over all ranks: the median of several. Rank r adds r + 1.
SumTiming time_sum(train::World& world, at::Device device, int64_t bytes) {
  const int64_t repeats = bytes > (10 << 20) ? 5 : 20;
  const auto expected = 0.5 * static_cast<double>(world.size() * (world.size() + 1));
  std::vector<double> seconds;
  bool is_right = true;
  for (int64_t i = 0; i <= repeats; ++i) {
    at::Tensor values =
        at::full({bytes / 4}, static_cast<double>(world.rank() + 1), at::TensorOptions(at::kFloat).device(device));
    const auto start = Clock::now();
    world.sum(values);
    is_right = is_right && (values == expected).all().item<bool>();  // waits for the GPU
    if (i > 0) seconds.push_back(seconds_since(start));
  }
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], is_right};
}

}  // namespace

bool doctor_distributed(train::World& world, const std::string& device_name, double timeout_s, std::ostream& out) {
  const at::Device device = train::resolve_device(device_name, world.launch().local_rank);
  world.connect(device, timeout_s);
  train::configure_compute(device, 0);
  const auto gpus = train::cuda_devices();
  const std::string own = concat(host_name(), "  ", device.str(),
                                 device.is_cuda() ? " (" + gpus[static_cast<size_t>(device.index())] + ")" : "", "  ",
                                 usable_threads(), " threads");
  const std::vector<std::string> ranks = world.gather(own);
  out << world.size() << " rank(s), "
      << (world.launch().launcher.empty() ? "no launcher" : "started by " + world.launch().launcher) << ", rank 0 at "
      << world.launch().master_address << ":" << world.launch().master_port << "\n";
  for (size_t rank = 0; rank < ranks.size(); ++rank) out << "rank " << rank << "  " << ranks[rank] << "\n";
  if (world.size() == 1) {
    out << "problem: there is one rank only: start this with srun, torchrun, mpirun, or --nproc-per-node N\n";
    return false;
  }

  out << "all-reduce over " << (device.is_cuda() ? "NCCL" : "Gloo") << ", checked:\n" << std::fixed;
  bool is_right = true;
  for (const int64_t bytes : kSizesBytes) {
    const SumTiming timing = time_sum(world, device, bytes);
    const auto n = static_cast<double>(world.size());
    is_right = is_right && timing.is_right;
    out << "  " << std::setw(9) << human_bytes(static_cast<double>(bytes)) << std::setw(11) << std::setprecision(3)
        << 1e3 * timing.seconds << " ms  " << std::setw(8) << std::setprecision(2)
        << 2 * (n - 1) / n * static_cast<double>(bytes) / timing.seconds * 1e-9 << " GB/s on the wire"
        << (timing.is_right ? "" : "  WRONG SUM") << "\n";
  }
  out << (is_right ? "all good\n"
                   : "problem: a sum over ranks is wrong: network, driver or NCCL are broken; try NCCL_DEBUG=INFO\n");
  return is_right;
}

}  // namespace vmae::run
