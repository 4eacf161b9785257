#pragma once
// What a stretch of work was made of, by PyTorch's own profiler (Kineto): operators, and on a GPU kernels.
#include <c10/core/Device.h>

#include <filesystem>
#include <functional>

namespace vmae::run {

// Does `work` and writes its trace, in the JSON of chrome://tracing and Perfetto. GPU: CUPTI must be there.
void trace(const std::filesystem::path& file, at::Device device, const std::function<void()>& work);

}  // namespace vmae::run
