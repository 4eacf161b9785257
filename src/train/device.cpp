#include "vmae/train/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/AllocatorConfig.h>
#include <torch/cuda.h>
#include <torch/version.h>
#if VMAE_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime.h>
#include <nccl.h>
#endif

#include <cstdlib>

#include "vmae/core/error.h"
#include "vmae/core/machine.h"

namespace vmae::train {

bool cuda_available() {
#if VMAE_CUDA
  return torch::cuda::is_available();
#else
  return false;
#endif
}

bool cuda_has_bf16([[maybe_unused]] at::Device device) {
#if VMAE_CUDA
  return at::cuda::getDeviceProperties(device.index())->major >= 8;
#else
  return false;
#endif
}

std::vector<std::string> cuda_devices() {
  std::vector<std::string> devices;
#if VMAE_CUDA
  for (int i = 0; cuda_available() && i < static_cast<int>(torch::cuda::device_count()); ++i) {
    const cudaDeviceProp* device = at::cuda::getDeviceProperties(static_cast<c10::DeviceIndex>(i));
    devices.push_back(concat(device->name, ", ", human_bytes(static_cast<double>(device->totalGlobalMem)), ", sm_",
                             device->major, device->minor));
  }
#endif
  return devices;
}

std::string cuda_problem() {
#if VMAE_CUDA
  if (cuda_available()) return "";
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  return status == cudaSuccess ? "no NVIDIA device is visible" : concat("CUDA says: ", cudaGetErrorString(status));
#else
  return "this vmae was built without CUDA (build with scripts/setup --cuda and scripts/build cuda)";
#endif
}

std::string cuda_versions() {
#if VMAE_CUDA
  int runtime = 0, nccl = 0;
  cudaRuntimeGetVersion(&runtime);
  ncclGetVersion(&nccl);
  const long cudnn = at::globalContext().hasCuDNN() ? at::globalContext().versionCuDNN() : 0;
  return concat("CUDA ", runtime / 1000, ".", runtime % 1000 / 10, ", cuDNN ", cudnn / 10000, ".", cudnn % 10000 / 100,
                ".", cudnn % 100, ", NCCL ", nccl / 10000, ".", nccl % 10000 / 100, ".", nccl % 100);
#else
  return "";
#endif
}

at::Device resolve_device(const std::string& name, [[maybe_unused]] int64_t local_rank) {
  if (name == "cpu" || (name == "auto" && !cuda_available())) return at::kCPU;
  if (!cuda_available())
    throw Error(ExitCode::usage, concat("run.device = cuda, but no GPU can be used: ", cuda_problem()),
                "set run.device=cpu or auto, or see `vmae doctor`");
  const auto index = static_cast<c10::DeviceIndex>(local_rank % static_cast<int64_t>(torch::cuda::device_count()));
#if VMAE_CUDA
  c10::cuda::set_device(index);  // before anything touches CUDA
#endif
  return {at::kCUDA, index};
}

void configure_compute(at::Device device, int64_t threads, bool deterministic) {
  at::set_num_threads(threads > 0 ? static_cast<int>(threads) : usable_threads());
  auto& context = at::globalContext();
  // Sums over windows and indices in a fixed order: a resumed run must give the same bits.
  context.setDeterministicAlgorithms(deterministic || device.is_cpu(), /*warn_only=*/false);
  context.setDeterministicFillUninitializedMemory(false);
  if (device.is_cuda()) {
    // cuBLAS's condition for repeatable sums
    if (deterministic) setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
    // less fragmentation; before the first allocation
    c10::CachingAllocator::setAllocatorSettings("expandable_segments:True");
    context.setAllowTF32CuBLAS(true);
    context.setAllowTF32CuDNN(true);
    context.setDeterministicCuDNN(deterministic);
    context.setBenchmarkCuDNN(!deterministic);
  } else if (!instruction_sets().amx_bf16) {
    // Sends fp32 products to oneDNN, which is faster than MKL here. Without AMX
    // it stays real fp32 (a test holds that); with AMX it would round to bf16.
    context.setFloat32Precision(at::Float32Backend::MKLDNN, at::Float32Op::MATMUL, at::Float32Precision::BF16);
  }
}

uint64_t peak_memory_bytes([[maybe_unused]] at::Device device) {
#if VMAE_CUDA
  if (device.is_cuda()) {
    const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(device.index());
    return static_cast<uint64_t>(
        stats.reserved_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak);
  }
#endif
  return peak_resident_bytes();
}

}  // namespace vmae::train
