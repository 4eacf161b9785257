#pragma once
// The process group of a run: Gloo for tensors on the CPU, and NCCL beside it for those on a GPU.
#include <c10/core/Device.h>

#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "vmae/core/launch.h"

namespace vmae::train {

// is_one_host: all ranks are on this machine, and the loopback interface is enough.
c10::intrusive_ptr<c10d::ProcessGroup> make_process_group(const c10::intrusive_ptr<c10d::Store>& store,
                                                          const Launch& launch, at::Device device, double timeout_s,
                                                          bool is_one_host);

}  // namespace vmae::train
