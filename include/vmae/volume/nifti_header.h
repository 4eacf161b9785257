#pragma once
// NIfTI-1 headers for maps on an image's grid.
#include <cstdint>
#include <filesystem>
#include <string>

#include "vmae/image/image.h"

namespace vmae::io {

struct NiftiMap {
  int16_t datatype = 2, bits = 8;  // NIfTI's codes: 2 uint8, 16 float32
  int16_t intent = 0;              // 1002: labels
  const char* description = "";
};

// 352 bytes, little endian: header and an empty list of extensions. Geometry: that of the NIfTI file
// `input`, bit for bit (NIfTI-2: rounded to float), or of `image` where `input` is empty. Throws
// Error(data): a size above 32767, or `input` can't be read; Error(internal): `image` is not of its size.
std::string nifti_map_header(const std::filesystem::path& input, const Volume& image, const NiftiMap& map);

}  // namespace vmae::io
