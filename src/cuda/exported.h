#pragma once
// What the program looks for in libvmae_cuda.so, or in itself (the target vmae_one_file).
#include "vmae/cuda/library.h"

extern "C" {
__attribute__((weak, visibility("default"))) const vmae::cuda::Library* vmae_cuda_library();
__attribute__((weak, visibility("default"))) const char* vmae_cuda_revision();  // that it was built from
}
