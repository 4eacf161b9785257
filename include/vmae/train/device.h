#pragma once
// The device of a run. All of it answers where there is no CUDA, too.
#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vmae/core/error.h"

namespace vmae::train {

bool cuda_available();                    // the part for CUDA is loaded, and there is at least one device
bool cuda_has_bf16(at::Device device);    // compute capability 8.0 or later
std::vector<std::string> cuda_devices();  // "NVIDIA A100-SXM4-80GB, 79.2 GiB, sm_80"
std::string cuda_problem();               // why cuda_available() is false, in words
std::string cuda_versions();              // "CUDA 13.2, cuDNN 9.26, NCCL 2.30.7" as loaded; "" where it is not

// auto: cuda if available, else cpu. Of several GPUs that this process sees, local_rank
// takes its own. Throws Error(usage) if cuda is asked for and not available, saying why.
at::Device resolve_device(const std::string& name, int64_t local_rank = 0);

// Threads, matrix-product backends and determinism for this process, before
// its first tensor on a GPU. threads 0: as many as this process may use.
void configure_compute(at::Device device, int64_t threads, bool deterministic = true);

// Error(internal) where that is what a problem was, on a GPU (with how much was asked for) or on the CPU.
std::optional<Error> out_of_memory(const std::exception& problem);

// FLOP/s of matrix products in bf16 and fp16, or in TF32, as NVIDIA's data sheets have them (dense); 0: a card that is
// not known, or a CPU.
double peak_flops(at::Device device, bool is_half);
uint64_t memory_bytes(at::Device device);       // that a GPU has
uint64_t peak_memory_bytes(at::Device device);  // GPU: by the caching allocator; CPU: peak resident size of the process

}  // namespace vmae::train
