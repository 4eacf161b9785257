#include "device_of_rank.h"

#include <map>

#include "vmae/core/error.h"
#include "vmae/core/text.h"

namespace vmae::train {

namespace {

using Ranks = std::vector<std::string>;

std::string named(const Ranks& ranks) { return concat(ranks.size() == 1 ? "rank " : "ranks ", join(ranks, ", ")); }

}  // namespace

void require_fitting_devices(const std::vector<DeviceOfRank>& devices) {
  std::map<std::string, Ranks> by_type, by_gpu;
  for (size_t rank = 0; rank < devices.size(); ++rank) {
    const DeviceOfRank& one = devices[rank];
    by_type[one.type].push_back(concat(rank, " (", one.host, ")"));
    if (!one.uuid.empty()) by_gpu[one.uuid].push_back(concat(rank, " (", one.host, ")"));
  }
  if (by_type.size() > 1)
    throw Error(ExitCode::usage,
                concat(named(by_type["cpu"]), " found no GPU, but ", named(by_type["cuda"]), " did: all must train on ",
                       "the same kind of device"),
                "run `vmae doctor` on that host, and see how many GPUs the job asks for there; or set run.device=cpu");
  for (const auto& [uuid, ranks] : by_gpu) {
    if (ranks.size() > 1)
      throw Error(ExitCode::usage, concat(named(ranks), " would train on one and the same GPU"),
                  "start as many ranks on a host as it has GPUs, and let each of them see all (CUDA_VISIBLE_DEVICES)");
  }
}

}  // namespace vmae::train
