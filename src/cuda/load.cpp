#include <dlfcn.h>
#include <link.h>

#include <filesystem>
#include <string>

#include "exported.h"
#include "vmae/core/text.h"
#include "vmae/core/version.h"

namespace vmae::cuda {

namespace {

struct Loaded {
  const Library* library = nullptr;
  std::string why_not;
};

// LibTorch may lie where no run path of the part leads (VMAE_TORCH). Its library for CUDA, which finds the others that
// the part needs, is beside the one that is loaded. -> why it can't be loaded
std::string load_torch_for_cuda() {
  void* const handle = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
  const link_map* where = nullptr;
  if (handle == nullptr || dlinfo(handle, RTLD_DI_LINKMAP, static_cast<void*>(&where)) != 0)
    return "libtorch_cpu.so is not loaded";
  const auto library = std::filesystem::path(where->l_name).replace_filename("libtorch_cuda.so");
  if (dlopen(library.c_str(), RTLD_LAZY | RTLD_GLOBAL) != nullptr) return "";
  const std::string problem = dlerror();
  if (std::filesystem::exists(library)) return "PyTorch's part for CUDA can't be loaded: " + problem;
  return concat("this PyTorch is without CUDA: ", library.string(), " is not there");
}

// Never unloaded: LibTorch keeps pointers into it.
Loaded open_library() {
  if (const std::string problem = load_torch_for_cuda(); !problem.empty()) return {nullptr, problem};
  // Found by the run path of libvmae_torch.so; global, as LibTorch's libraries look for each other's symbols.
  void* const handle = dlopen("libvmae_cuda.so", RTLD_NOW | RTLD_GLOBAL);
  if (handle == nullptr) return {nullptr, concat("the part for CUDA can't be loaded: ", dlerror())};
  const auto build = reinterpret_cast<decltype(&vmae_cuda_build)>(dlsym(handle, "vmae_cuda_build"));
  const auto get = reinterpret_cast<decltype(&vmae_cuda_library)>(dlsym(handle, "vmae_cuda_library"));
  if (build == nullptr || get == nullptr) return {nullptr, "libvmae_cuda.so is no part of vmae"};
  if (build() != build_of_parts())
    return {nullptr, concat("libvmae_cuda.so was built from ", build(), ", this program from ", build_of_parts())};
  return {get(), ""};
}

Loaded& loaded() {
  static Loaded one;
  return one;
}

}  // namespace

bool has_driver() {
  static const bool has_it = dlopen("libcuda.so.1", RTLD_LAZY) != nullptr;
  return has_it;
}

const Library* load(Driver driver) {
  const bool was_tried = loaded().library != nullptr || !loaded().why_not.empty();
  if (!was_tried && (driver == Driver::not_needed || has_driver())) loaded() = open_library();
  return loaded().library;
}

const Library* library() { return loaded().library; }

std::string why_not_loaded() { return loaded().why_not; }

}  // namespace vmae::cuda
