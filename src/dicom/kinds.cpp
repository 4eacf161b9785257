#include "vmae/dicom/kinds.h"

#include <array>
#include <fstream>

namespace vmae::io {

namespace fs = std::filesystem;

namespace {

bool is_group_2_or_8(const std::array<unsigned char, 132>& bytes) {
  // The first element of a data set: group (0002 or 0008, either byte order),
  // a small element number, then VR letters or a length below 64 KiB.
  const bool is_little = (bytes[0] == 2 || bytes[0] == 8) && bytes[1] == 0,
             is_big = bytes[0] == 0 && (bytes[1] == 2 || bytes[1] == 8);
  if (!is_little && !is_big) return false;
  const unsigned element = is_little ? bytes[2] + 256U * bytes[3] : bytes[3] + 256U * bytes[2];
  if (element > 0x0070) return false;
  const bool is_vr = bytes[4] >= 'A' && bytes[4] <= 'Z' && bytes[5] >= 'A' && bytes[5] <= 'Z';
  const bool is_short = is_little && bytes[6] == 0 && bytes[7] == 0;
  return is_vr || is_short;
}

}  // namespace

bool is_dicom(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return false;
  std::array<unsigned char, 132> bytes{};
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(bytes.data()), bytes.size());
  if (file.gcount() == 132 && bytes[128] == 'D' && bytes[129] == 'I' && bytes[130] == 'C' && bytes[131] == 'M')
    return true;
  return file.gcount() >= 16 && is_group_2_or_8(bytes);
}

}  // namespace vmae::io
