// What libvmae_torch.so was built from and for: its own file, as it is compiled anew after every commit.
#include "git_revision.h"

extern "C" __attribute__((visibility("default"))) const char* vmae_torch_part_build() {
  return VMAE_GIT_REVISION " for PyTorch " VMAE_TORCH_VERSION;
}
