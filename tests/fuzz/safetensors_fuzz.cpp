// safetensors, header alone and whole.
#include "read_tensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmae::test::read_tensors(vmae::weights::read_safetensors_header, data, size);
  vmae::test::read_tensors(vmae::weights::read_safetensors, data, size);
  return 0;
}
