// PyTorch's zip checkpoints: the archive, the pickle in it, and the tensors that it describes; without the numbers, and
// whole.
#include "read_tensors.h"
#include "vmae/weights/pth.h"
#include "vmae/weights/weights.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmae::test::read_tensors(vmae::weights::read_shapes, data, size);
  vmae::test::read_tensors(vmae::weights::read_pth, data, size);
  return 0;
}
