// safetensors, header alone and whole.
#include "read_tensors.h"
#include "vmae/weights/weights.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmae::test::read_tensors(vmae::weights::read_shapes, data, size);
  vmae::test::read_tensors(vmae::weights::read_safetensors, data, size);
  return 0;
}
