// PyTorch's zip checkpoints: the archive (LibTorch's reader), the pickle in it, and the tensors that it describes.
#include "read_tensors.h"
#include "vmae/weights/pth.h"

// LibTorch's zip reader leaks its directory when its constructor throws.
extern "C" const char* __lsan_default_suppressions() { return "leak:libtorch_cpu"; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmae::test::read_tensors(vmae::weights::read_pth, data, size);
  return 0;
}
