#pragma once
// A caching allocator for CPU tensors: free lists by size over huge pages. A training
// step allocates the same sizes again and again; with glibc each of them costs page
// faults (264,000 a step for the full model at batch 16), with the pool none.
#include <cstdint>

namespace vmae::train {

// Replaces LibTorch's CPU allocator for this process; call once, before the first tensor.
void install_cpu_allocator();

uint64_t cpu_allocator_peak_bytes();  // largest number of bytes in use by tensors at one time; 0 if not installed

}  // namespace vmae::train
