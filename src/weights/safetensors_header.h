#pragma once
// The JSON header of a safetensors file, checked.
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmae/weights/safetensors.h"

namespace vmae::weights {

struct HeaderEntry {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  uint64_t begin, end;  // bytes of the buffer
};

struct Header {
  std::vector<HeaderEntry> entries;  // in the header's order
  std::vector<size_t> by_offset;     // indices of `entries` in the buffer's order, which has neither holes nor overlaps
  Metadata metadata;
  uint64_t buffer_size = 0;
};

// `path` is for messages.
Header parse_header(std::string_view json, const std::filesystem::path& path);

std::optional<std::string> dtype_name(at::ScalarType type);  // "F32"; none for a dtype that safetensors has not

}  // namespace vmae::weights
