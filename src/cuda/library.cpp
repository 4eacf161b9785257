// libvmae_cuda.so: all that sees CUDA's headers, which are those of wheels (scripts/setup --cuda).
#include "vmae/cuda/library.h"

#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime.h>
#include <nccl.h>
#include <nvtx3/nvToolsExt.h>

#include <iomanip>
#include <sstream>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "exported.h"
#include "git_revision.h"

namespace vmae::cuda {

namespace {

struct RecordedGraph : Graph {
  at::cuda::CUDAGraph graph;
  void replay() override { graph.replay(); }
};

class LinkedLibrary : public Library {
 public:
  std::string versions() const override {
    int runtime = 0, nccl = 0;
    cudaRuntimeGetVersion(&runtime);
    ncclGetVersion(&nccl);
    const long cudnn = at::globalContext().hasCuDNN() ? at::globalContext().versionCuDNN() : 0;
    std::ostringstream text;
    text << "CUDA " << runtime / 1000 << "." << runtime % 1000 / 10 << ", cuDNN " << cudnn / 10000 << "."
         << cudnn % 10000 / 100 << "." << cudnn % 100 << ", NCCL " << nccl / 10000 << "." << nccl % 10000 / 100 << "."
         << nccl % 100;
    return text.str();
  }

  std::string problem() const override {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess) return std::string("CUDA says: ") + cudaGetErrorString(status);
    return count == 0 ? "no NVIDIA device is visible" : "";
  }

  DeviceProperties properties(c10::DeviceIndex device) const override {
    const cudaDeviceProp* properties = at::cuda::getDeviceProperties(device);
    std::ostringstream uuid;
    for (const char byte : properties->uuid.bytes)
      uuid << std::hex << std::setw(2) << std::setfill('0') << static_cast<int>(static_cast<unsigned char>(byte));
    return {properties->name, uuid.str(), properties->totalGlobalMem, properties->major, properties->minor};
  }

  void push_range(const char* name) const override { nvtxRangePushA(name); }
  void pop_range() const override { nvtxRangePop(); }

  void forbid_waiting(bool is_forbidden) const override {
    c10::cuda::warning_state().set_sync_debug_mode(is_forbidden ? c10::cuda::SyncDebugMode::L_ERROR
                                                                : c10::cuda::SyncDebugMode::L_DISABLED);
  }

  std::unique_ptr<Graph> record(const std::function<void()>& work) const override {
    c10::cuda::device_synchronize();
    c10::cuda::CUDACachingAllocator::emptyCache();
    at::getHostAllocator(at::kCUDA)->empty_cache();
    auto recorded = std::make_unique<RecordedGraph>();
    recorded->graph.capture_begin(/*pool=*/{0, 0}, cudaStreamCaptureModeThreadLocal);
    work();
    recorded->graph.capture_end();
    return recorded;
  }

  c10::intrusive_ptr<c10d::Backend> nccl(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                         std::chrono::milliseconds timeout) const override {
    auto options = c10d::ProcessGroupNCCL::Options::create(/*is_high_priority_stream=*/true);
    options->timeout = timeout;
    options->group_name = "0";
    options->group_desc = "vmae";
    return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
  }
};

}  // namespace

}  // namespace vmae::cuda

const vmae::cuda::Library* vmae_cuda_library() {
  static const vmae::cuda::LinkedLibrary library;
  return &library;
}

const char* vmae_cuda_build() { return VMAE_GIT_REVISION " for PyTorch " VMAE_TORCH_VERSION; }
