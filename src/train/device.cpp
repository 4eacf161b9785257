#include "vmae/train/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/AllocatorConfig.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <cctype>
#include <cstdlib>

#include "vmae/core/log.h"
#include "vmae/core/machine.h"
#include "vmae/cuda/library.h"

namespace vmae::train {

bool cuda_available() { return cuda::library() != nullptr && torch::cuda::is_available(); }

bool cuda_has_bf16(at::Device device) {
  return cuda::library() != nullptr && cuda::library()->properties(device.index()).major >= 8;
}

std::vector<std::string> cuda_devices() {
  std::vector<std::string> devices;
  const size_t num_devices = cuda_available() ? torch::cuda::device_count() : 0;
  for (size_t i = 0; i < num_devices; ++i) {
    const cuda::DeviceProperties device = cuda::library()->properties(static_cast<c10::DeviceIndex>(i));
    devices.push_back(concat(device.name, ", ", human_bytes(static_cast<double>(device.memory_bytes)), ", sm_",
                             device.major, device.minor));
  }
  return devices;
}

std::string cuda_problem() {
  if (cuda_available()) return "";
  if (!cuda::has_driver()) return "there is no NVIDIA driver here (libcuda.so.1 is not found)";
  return cuda::library() != nullptr ? cuda::library()->problem() : cuda::why_not_loaded();
}

std::string cuda_versions() { return cuda::library() != nullptr ? cuda::library()->versions() : ""; }

at::Device resolve_device(const std::string& name, int64_t local_rank) {
  if (name == "cpu") return at::kCPU;
  if (name == "auto" && !cuda_available()) {
    if (cuda::has_driver()) log::warning("this machine has an NVIDIA driver, but the CPU is used: " + cuda_problem());
    return at::kCPU;
  }
  if (!cuda_available())
    throw Error(ExitCode::usage, concat("run.device = cuda, but no GPU can be used: ", cuda_problem()),
                "set run.device=cpu or auto, or see `vmae doctor`");
  const auto index = static_cast<c10::DeviceIndex>(local_rank % static_cast<int64_t>(torch::cuda::device_count()));
  const at::Device device(at::kCUDA, index);
  c10::impl::VirtualGuardImpl(at::kCUDA).setDevice(device);  // before anything touches CUDA
  return device;
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
    // less fragmentation; before the first allocation, and unless the user has said what is wanted
    if (std::getenv("PYTORCH_ALLOC_CONF") == nullptr && std::getenv("PYTORCH_CUDA_ALLOC_CONF") == nullptr)
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

std::optional<Error> out_of_memory(const std::exception& problem) {
  if (dynamic_cast<const std::bad_alloc*>(&problem) != nullptr) return error_of(problem);
  const auto* of_tensors = dynamic_cast<const c10::Error*>(&problem);
  if (of_tensors == nullptr) return {};
  // The allocator has a type for it; cuBLAS, cuDNN and CUDA itself only say so.
  std::string text = of_tensors->what_without_backtrace();
  // Without room for its workspace cuDNN says that it finds no engine.
  const bool is_said = text.find("out of memory") != std::string::npos ||
                       text.find("ALLOC_FAILED") != std::string::npos ||
                       text.find("unable to find an engine") != std::string::npos;
  if (dynamic_cast<const c10::OutOfMemoryError*>(&problem) == nullptr && !is_said) return {};
  text = text.substr(0, text.find('\n'));
  text =
      text.substr(0, text.find(" Including non-PyTorch memory"));  // of which PyTorch's own allocator has a lot to say
  return Error(ExitCode::internal, "out of memory on the device: " + text,
               "lower train.micro_batch (the batch of a step stays what it is), or --batch of predict, features and "
               "bench; see what else is on that GPU with nvidia-smi");
}

double peak_flops(at::Device device, bool is_half) {
  struct Card {
    std::string_view name;
    double half, tf32;
  };
  constexpr Card kCards[] = {
      {"H200", 989.4e12, 494.7e12}, {"H100 PCIe", 756.5e12, 378e12}, {"H100 NVL", 835.5e12, 417.7e12},
      {"H100", 989.4e12, 494.7e12}, {"A100", 312e12, 156e12},        {"A40", 149.7e12, 74.8e12},
      {"L40S", 362e12, 183e12},     {"RTX 4090", 165.2e12, 82.6e12}, {"RTX 3090", 71e12, 35.6e12}};
  if (!device.is_cuda()) return 0;
  const std::string name = cuda::library()->properties(device.index()).name;
  for (const Card& card : kCards) {
    const size_t at = name.find(card.name), end = at + card.name.size();
    const bool is_whole_word = at != std::string::npos && (end == name.size() || std::isalnum(name[end]) == 0);
    if (is_whole_word) return is_half ? card.half : card.tf32;
  }
  return 0;
}

uint64_t memory_bytes(at::Device device) { return cuda::library()->properties(device.index()).memory_bytes; }

uint64_t peak_memory_bytes(at::Device device) {
  if (!device.is_cuda()) return peak_resident_bytes();
  const auto stats = c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  return static_cast<uint64_t>(
      stats.reserved_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak);
}

}  // namespace vmae::train
