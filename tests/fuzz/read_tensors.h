#pragma once
// Reads a weight file and walks through every number of it.
#include <ATen/ATen.h>

#include "scratch_file.h"
#include "vmae/core/error.h"
#include "vmae/weights/safetensors.h"

namespace vmae::test {

template <class Reader>
void read_tensors(const Reader& reader, const uint8_t* data, size_t size) {
  const ScratchFile file("input", text_of(data, size));
  try {
    for (const auto& [name, tensor] : reader(file.path()).tensors) {
      if (!tensor.is_meta()) tensor.contiguous().view(-1).slice(0, 0, 1 << 20).to(at::kComplexDouble).sum();
    }
  } catch (const Error&) {
  }
}

}  // namespace vmae::test
