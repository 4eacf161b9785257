#include "trace.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/profiler_kineto.h>

#include <set>

#include "vmae/core/error.h"

namespace vmae::run {

void trace(const std::filesystem::path& file, at::Device device, const std::function<void()>& work) {
  using torch::profiler::impl::ActivityType;
  std::set<ActivityType> activities{ActivityType::CPU};
  if (device.is_cuda()) activities.insert(ActivityType::CUDA);
  const torch::profiler::impl::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO);
  torch::autograd::profiler::prepareProfiler(config, activities);
  torch::autograd::profiler::enableProfiler(config, activities);
  work();
  if (device.is_cuda()) c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
  torch::autograd::profiler::disableProfiler()->save(file.string());
  std::error_code missing;
  if (std::filesystem::file_size(file, missing) == 0 || missing)
    throw Error(ExitCode::usage, concat("--trace ", file.string(), " could not be written"), "give another path");
}

}  // namespace vmae::run
