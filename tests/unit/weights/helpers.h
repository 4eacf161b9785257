#pragma once
// What the tests of weight files share.
#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "vmae/core/error.h"
#include "vmae/weights/safetensors.h"

namespace vmae::weights {

inline void write_bytes(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// The message of the Error(checkpoint) that `work` throws; "no
// error" if it succeeds. Anything else it throws fails the test.
template <class Work>
std::string error_of(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.code() == ExitCode::checkpoint ? error.what() : "an error with another exit code";
  }
  return "no error";
}

inline bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// Same dtype, shape and bits.
inline bool identical(const at::Tensor& a, const at::Tensor& b) {
  if (a.scalar_type() != b.scalar_type() || a.sizes() != b.sizes()) return false;
  return a.numel() == 0 ||
         torch::equal(a.contiguous().flatten().view(at::kByte), b.contiguous().flatten().view(at::kByte));
}

inline NamedTensors sorted_by_name(NamedTensors tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return tensors;
}

// The first key in which two files differ, "" if they hold the same tensors in the same order.
inline std::string first_difference(const NamedTensors& a, const NamedTensors& b) {
  for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    if (i >= a.size() || i >= b.size() || a[i].first != b[i].first) return i < a.size() ? a[i].first : b[i].first;
    if (!identical(a[i].second, b[i].second)) return a[i].first;
  }
  return "";
}

}  // namespace vmae::weights
