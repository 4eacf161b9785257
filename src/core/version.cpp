#include "vmae/core/version.h"

#include "git_revision.h"

namespace vmae {

const char* version() { return VMAE_VERSION; }

const char* git_revision() { return VMAE_GIT_REVISION; }

const char* torch_version() { return VMAE_TORCH_VERSION; }

std::string build_of_parts() { return std::string(git_revision()) + " for PyTorch " + torch_version(); }

const char* build_summary() {
#if defined(__clang__)
  return "clang++ " __clang_version__ ", " VMAE_BUILD_TYPE;
#else
  return "g++ " __VERSION__ ", " VMAE_BUILD_TYPE;
#endif
}

}  // namespace vmae
