#pragma once
// Image files made byte by byte, and where the committed ones are. Nothing here uses the readers under test.
#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "support/source_path.h"

namespace vmae::test {

inline std::filesystem::path tests_folder() { return source_path("tests"); }
inline std::filesystem::path hippocampus() { return tests_folder() / "data" / "hippocampus"; }

template <class T>
void put(std::string& bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
}

// The NIfTI-1 code and size of a voxel type.
template <class T>
constexpr int16_t kNiftiType = 0;
template <>
inline constexpr int16_t kNiftiType<uint8_t> = 2;
template <>
inline constexpr int16_t kNiftiType<int16_t> = 4;
template <>
inline constexpr int16_t kNiftiType<int32_t> = 8;
template <>
inline constexpr int16_t kNiftiType<float> = 16;
template <>
inline constexpr int16_t kNiftiType<double> = 64;
template <>
inline constexpr int16_t kNiftiType<uint16_t> = 512;
template <>
inline constexpr int16_t kNiftiType<int64_t> = 1024;

struct NiftiOptions {
  std::array<float, 3> spacing_mm{1, 1, 1};
  float slope = 0, intercept = 0;
  bool has_qform = true;
  int16_t datatype = 0;  // 0: of the voxels
};

// An uncompressed .nii file: identity orientation, little endian, any number of axes.
template <class T>
std::string nifti(const std::vector<int16_t>& size, const std::vector<T>& voxels, const NiftiOptions& options = {}) {
  std::string bytes(352, '\0');
  put<int32_t>(bytes, 0, 348);
  put<int16_t>(bytes, 40, static_cast<int16_t>(size.size()));
  for (size_t axis = 0; axis < 7; ++axis)
    put<int16_t>(bytes, 42 + 2 * axis, axis < size.size() ? size[axis] : int16_t{1});
  put<int16_t>(bytes, 70, options.datatype ? options.datatype : kNiftiType<T>);
  put<int16_t>(bytes, 72, static_cast<int16_t>(8 * sizeof(T)));
  put<float>(bytes, 76, 1);
  for (size_t axis = 0; axis < 7; ++axis) put<float>(bytes, 80 + 4 * axis, axis < 3 ? options.spacing_mm[axis] : 1.0F);
  put<float>(bytes, 108, 352);
  put<float>(bytes, 112, options.slope);
  put<float>(bytes, 116, options.intercept);
  bytes[123] = 2;  // millimetres
  put<int16_t>(bytes, 252, options.has_qform ? int16_t{1} : int16_t{0});
  std::memcpy(bytes.data() + 344, "n+1", 4);
  bytes.append(reinterpret_cast<const char*>(voxels.data()), voxels.size() * sizeof(T));
  return bytes;
}

// 0, 1, 2, ... as voxel values.
template <class T>
std::vector<T> ramp(size_t n) {
  std::vector<T> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = static_cast<T>(i);
  return values;
}

}  // namespace vmae::test
