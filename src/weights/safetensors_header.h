#pragma once
// The JSON header of a safetensors file, checked.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "input_file.h"
#include "vmae/weights/stored.h"

namespace vmae::weights {

constexpr uint64_t kPrefixBytes = 8;  // the header's length

struct HeaderEntry {
  std::string name;
  StoredTensor tensor{};
  uint64_t begin = 0, end = 0;  // bytes of the buffer
};

struct Header {
  std::string text;                    // as the file has it
  std::vector<HeaderEntry> entries{};  // in the header's order
  std::vector<size_t> by_offset{};     // indices of `entries` in the buffer's order: neither holes nor overlaps
  Metadata metadata{};
  uint64_t buffer_size = 0;
};

// Checks everything before it trusts it, the file's size too. `path` is for messages.
Header read_header(const InputFile& file, const std::filesystem::path& path);

}  // namespace vmae::weights
