# LibTorch from the PyPI wheel, or as an archive of pytorch.org, as imported targets. find_package(Torch) is not usable: with a CUDA wheel it demands a CUDA toolkit.
#   LIBTORCH_DIR   the wheel's `torch` folder, or the archive's `libtorch`; default: where scripts/setup puts it
# Gives the target vmae::torch, VMAE_TORCH_VERSION and the list VMAE_TORCH_LIBRARY_DIRS (for RPATH and install); where the wheels of CUDA and NCCL lie beside it (scripts/setup --cuda;
# neither toolkit nor GPU is needed), also vmae_torch_cuda and VMAE_CUDA_LIBRARY_DIRS.
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

# Of the wheel and of the archive that pytorch.org has.
set(_version_file "${_torch}/share/cmake/Torch/TorchConfigVersion.cmake")
if(EXISTS "${_version_file}")
  file(STRINGS "${_version_file}" _version REGEX "PACKAGE_VERSION \"")
endif()
if(NOT "${_version}" MATCHES "[0-9]+[.][0-9]+[.][0-9]+")
  message(FATAL_ERROR "Which version the LibTorch in ${LIBTORCH_DIR} is can't be told: share/cmake/Torch/TorchConfigVersion.cmake is missing or says none.\n  Give the whole folder, as pip or pytorch.org's archive has it")
endif()
set(VMAE_TORCH_VERSION "${CMAKE_MATCH_0}")
file(GLOB _gomp "${_torch}/lib/libgomp*.so*")  # libgomp.so.1, or of the archive libgomp-98b21ff3.so.1
if(NOT _gomp)
  message(FATAL_ERROR "The LibTorch in ${LIBTORCH_DIR} brings no OpenMP library (lib/libgomp*.so*).\n  Take that of pip or pytorch.org")
endif()

add_library(vmae_torch INTERFACE)
add_library(vmae::torch ALIAS vmae_torch)
target_include_directories(vmae_torch SYSTEM INTERFACE "${_torch}/include" "${_torch}/include/torch/csrc/api/include")
target_compile_definitions(vmae_torch INTERFACE USE_DISTRIBUTED USE_C10D_GLOO USE_RPC USE_TENSORPIPE)
target_link_options(vmae_torch INTERFACE -Wl,--allow-shlib-undefined)
target_compile_options(vmae_torch INTERFACE "-ffile-prefix-map=${_torch}/=torch/")  # its checks name its headers: not by a path of this machine
target_compile_options(vmae_torch INTERFACE $<$<CXX_COMPILER_ID:GNU>:-fopenmp>)  # at::parallel_for is serial without it; the OpenMP library is the one that LibTorch brings

# Also libraries that are not referred to, as their kernels register themselves when they are loaded. One item: CMake would move the flags of several.
function(link_whole target)
  list(JOIN ARGN "," _all)
  target_link_libraries(${target} INTERFACE "-Wl,--push-state,--no-as-needed,${_all},--pop-state")
endfunction()
link_whole(vmae_torch "${_torch}/lib/libtorch_cpu.so" "${_torch}/lib/libc10.so" ${_gomp})
set(VMAE_TORCH_LIBRARY_DIRS "${_torch}/lib")

get_filename_component(_nvidia "${_torch}/../nvidia" REALPATH)
set(_cuda "${_nvidia}/cu13")
set(VMAE_CUDA_LIBRARY_DIRS)
if(EXISTS "${_torch}/lib/libtorch_cuda.so" AND EXISTS "${_cuda}/include/cuda_runtime.h" AND EXISTS "${_nvidia}/nccl/include/nccl.h")
  add_library(vmae_torch_cuda INTERFACE)
  target_include_directories(vmae_torch_cuda SYSTEM INTERFACE "${_cuda}/include" "${_nvidia}/nccl/include")
  target_compile_definitions(vmae_torch_cuda INTERFACE USE_C10D_NCCL)
  target_link_libraries(vmae_torch_cuda INTERFACE vmae::torch)
  link_whole(vmae_torch_cuda "${_torch}/lib/libtorch_cuda.so" "${_torch}/lib/libc10_cuda.so" "${_cuda}/lib/libcudart.so.13" "${_nvidia}/nccl/lib/libnccl.so.2")
  set(VMAE_CUDA_LIBRARY_DIRS "${_cuda}/lib" "${_nvidia}/nccl/lib")
else()
  message(STATUS "Without a part for CUDA, whose libraries are not beside LibTorch (scripts/setup --cuda)")
endif()
