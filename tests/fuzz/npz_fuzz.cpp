// NumPy's .npz: the zip, the headers of its arrays, and their numbers.
#include "read_tensors.h"
#include "vmae/weights/npz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmae::test::read_tensors(vmae::weights::read_npz, data, size);
  return 0;
}
