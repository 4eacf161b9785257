#pragma once
// safetensors: u64 little-endian header length, JSON header (dtype, shape, data_offsets,
// __metadata__), then the buffer without holes. https://huggingface.co/docs/safetensors.
// All failures are Error(checkpoint) naming the file, and the tensor where there is one.
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "vmae/weights/stored.h"

namespace vmae::weights {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;  // in the file's order

struct TensorFile {
  NamedTensors tensors;
  Metadata metadata;
  const at::Tensor* find(const std::string& name) const;
};

// Written atomically (core/atomic_file.h). The metadata gets "checksum": "crc32c:xxxxxxxx",
// the sum over the whole file with "00000000" in the place of its own digits; a reader that
// finds it verifies it. Tensors are written contiguous, in the order given, on the CPU.
void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors, const Metadata& metadata);

// Checks everything before it trusts it: header length, JSON, dtypes, overlaps
// and holes, file size, checksum if present ("truncated: 1,024 of 5,000 bytes").
TensorFile read_safetensors(const std::filesystem::path& path);

}  // namespace vmae::weights
