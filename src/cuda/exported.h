#pragma once
// What the program looks for in libvmae_cuda.so.
#include "vmae/cuda/library.h"

extern "C" {
__attribute__((visibility("default"))) const vmae::cuda::Library* vmae_cuda_library();
__attribute__((visibility("default"))) const char* vmae_cuda_build();  // as build_of_parts()
}
