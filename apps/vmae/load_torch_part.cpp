#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "torch_part.h"
#include "vmae/core/version.h"

namespace vmae::app {

namespace fs = std::filesystem;

namespace {

constexpr const char* kPart = "libvmae_torch.so";

[[noreturn]] void fail(const std::string& problem, const std::string& hint) {
  throw Error(ExitCode::internal, concat("what needs LibTorch can't be loaded: ", problem), hint);
}

// OpenMP's threads are to sleep while they wait, unless the environment says otherwise: spinning costs up to 15 times
// the training speed on a machine with other work, or with our own reader threads. OpenMP reads it when it is loaded.
void set_wait_policy() {
  if (std::getenv("OMP_WAIT_POLICY") == nullptr && std::getenv("GOMP_SPINCOUNT") == nullptr)
    setenv("OMP_WAIT_POLICY", "passive", /*overwrite=*/1);
}

fs::path folder_of_parts() {
  std::error_code problem;
  const fs::path self = fs::read_symlink("/proc/self/exe", problem);
  if (problem) fail("/proc/self/exe can't be read: " + problem.message(), "mount /proc");
  return self.parent_path().parent_path() / "lib";
}

// Never unloaded: LibTorch keeps pointers into it.
const TorchPart& open_part() {
  const fs::path file = folder_of_parts() / kPart;
  std::error_code ignored;
  if (!fs::exists(file, ignored))
    fail(file.string() + " is not there",
         "it belongs to this program: install or copy the folders bin and lib together");
  set_wait_policy();
  void* const handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) fail(dlerror(), "see that LibTorch is where this program was built or installed for");
  const auto revision =
      reinterpret_cast<decltype(&vmae_torch_part_revision)>(dlsym(handle, "vmae_torch_part_revision"));
  const auto get = reinterpret_cast<decltype(&vmae_torch_part)>(dlsym(handle, "vmae_torch_part"));
  if (revision == nullptr || get == nullptr) fail(file.string() + " is no part of vmae", "install vmae anew");
  if (revision() != std::string_view(git_revision()))
    fail(concat(file.string(), " was built from ", revision(), ", this program from ", git_revision()),
         "install or copy the folders bin and lib together");
  return *get();
}

bool is_loaded = false;

}  // namespace

const TorchPart& torch_part() {
  static const TorchPart& part = open_part();
  is_loaded = true;
  return part;
}

bool is_torch_part_loaded() { return is_loaded; }

}  // namespace vmae::app
