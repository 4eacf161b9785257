# LibTorch from the PyPI wheel, as imported targets. find_package(Torch) is not usable: with a CUDA wheel it demands a CUDA toolkit.
#   LIBTORCH_DIR   the wheel's `torch` folder; default: where scripts/setup puts it
#   VMAE_CUDA      ON links libtorch_cuda, the CUDA runtime and NCCL from the wheels beside it (no toolkit, no GPU needed to build)
# Gives the target vmae::torch, the list VMAE_TORCH_LIBRARY_DIRS (for RPATH and install), and VMAE_CUDA_COMPILE_OPTIONS for the sources that see CUDA's headers.
if(DEFINED ENV{XDG_CACHE_HOME})
  set(_cache "$ENV{XDG_CACHE_HOME}")
else()
  set(_cache "$ENV{HOME}/.cache")
endif()
set(LIBTORCH_DIR "${_cache}/vmae/torch-2.15.0/libtorch" CACHE PATH "The `torch` folder of an installed LibTorch")
get_filename_component(_torch "${LIBTORCH_DIR}" REALPATH)
if(NOT EXISTS "${_torch}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "No LibTorch in ${LIBTORCH_DIR} (lib/libtorch_cpu.so is missing).\n  Run scripts/setup, or give -DLIBTORCH_DIR=/path/to/torch")
endif()

add_library(vmae_torch INTERFACE)
add_library(vmae::torch ALIAS vmae_torch)
target_include_directories(vmae_torch SYSTEM INTERFACE "${_torch}/include" "${_torch}/include/torch/csrc/api/include")
target_compile_definitions(vmae_torch INTERFACE USE_DISTRIBUTED USE_C10D_GLOO USE_RPC USE_TENSORPIPE)
target_link_options(vmae_torch INTERFACE -Wl,--allow-shlib-undefined)
target_compile_options(vmae_torch INTERFACE $<$<CXX_COMPILER_ID:GNU>:-fopenmp>)  # at::parallel_for is serial without it; the OpenMP library is the one that LibTorch brings

set(_libraries "${_torch}/lib/libtorch_cpu.so" "${_torch}/lib/libc10.so" "${_torch}/lib/libgomp.so.1")
set(VMAE_TORCH_LIBRARY_DIRS "${_torch}/lib")
if(VMAE_CUDA)
  get_filename_component(_nvidia "${_torch}/../nvidia" REALPATH)
  set(_cuda "${_nvidia}/cu13")
  foreach(_needed "${_torch}/lib/libtorch_cuda.so" "${_cuda}/include/cuda_runtime.h" "${_nvidia}/nccl/include/nccl.h")
    if(NOT EXISTS "${_needed}")
      message(FATAL_ERROR "VMAE_CUDA=ON, but ${_needed} is missing.\n  Run scripts/setup --cuda, or configure with -DVMAE_CUDA=OFF")
    endif()
  endforeach()
  set(VMAE_CUDA_COMPILE_OPTIONS "-isystem${_cuda}/include" "-isystem${_nvidia}/nccl/include" -DUSE_C10D_NCCL -DVMAE_CUDA=1)
  list(APPEND _libraries "${_torch}/lib/libtorch_cuda.so" "${_torch}/lib/libc10_cuda.so" "${_cuda}/lib/libcudart.so.13" "${_nvidia}/nccl/lib/libnccl.so.2")
  list(APPEND VMAE_TORCH_LIBRARY_DIRS "${_cuda}/lib" "${_nvidia}/nccl/lib")
endif()
# Without --no-as-needed the linker would drop libtorch_cuda, whose kernels register themselves when it is loaded.
target_link_libraries(vmae_torch INTERFACE -Wl,--no-as-needed ${_libraries} -Wl,--as-needed)
