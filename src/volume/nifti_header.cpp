// Fields of geometry by byte: 40 dim (int16), 76 pixdim (float; [0] is the handedness
// of the qform), 123 xyzt_units, 252 qform_code, 254 sform_code (int16), 256
// quaternion b, c, d and offset (float), 280 the three rows of the sform (float).
#include "vmae/volume/nifti_header.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string_view>

#include "vmae/core/error.h"
#include "vmae/volume/nifti_file.h"

namespace vmae::io {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr size_t kDim = 40, kPixdim = 76, kUnits = 123, kQformCode = 252, kSformCode = 254, kQform = 256, kSform = 280;
constexpr int64_t kMaxSize = 32767;

template <class T>
void put(std::string& header, size_t at, T value) {
  std::memcpy(header.data() + at, &value, sizeof(value));
}

// Numbers of a NIfTI-1 file are floats, and so come out bit for bit; those of NIfTI-2 are rounded.
void copy_geometry(const std::filesystem::path& input, const Volume& image, std::string& header) {
  const NiftiFile file(input);
  const NiftiFields& from = file.fields();
  for (size_t axis = 0; axis < 3; ++axis) {
    if (from.dim[axis + 1] != image.size[axis])
      throw Error(ExitCode::internal, concat(input.string(), ": is not the file of the image"));
  }
  // 2D stays 2D: ITK leaves the third axis of such files out, so as 3D the map would lie elsewhere for it.
  put(header, kDim, static_cast<int16_t>(std::min<int64_t>(from.dim[0], 3)));
  const auto copy = [&](size_t at, const auto& numbers, size_t count) {
    for (size_t i = 0; i < count; ++i) put(header, at + 4 * i, static_cast<float>(numbers[i]));
  };
  copy(kPixdim, from.pixdim, 4);
  copy(kQform, from.quatern, 3);
  copy(kQform + 12, from.qoffset, 3);
  copy(kSform, from.srow, 12);
  header[kUnits] = static_cast<char>(from.xyzt_units);
  put(header, kQformCode, static_cast<int16_t>(from.qform_code));
  put(header, kSformCode, static_cast<int16_t>(from.sform_code));
}

// b, c, d of the unit quaternion of a rotation (row-major), from the
// largest of its four parts, as divisions by small ones lose digits.
std::array<double, 3> quaternion(const std::array<double, 9>& r) {
  // 4 a^2, 4 b^2, ...
  const std::array<double, 4> squares{1 + r[0] + r[4] + r[8], 1 + r[0] - r[4] - r[8], 1 - r[0] + r[4] - r[8],
                                      1 - r[0] - r[4] + r[8]};
  const auto largest = std::max_element(squares.begin(), squares.end()) - squares.begin();
  const double part = std::sqrt(std::max(squares[static_cast<size_t>(largest)], 0.0)) / 2, f = 1 / (4 * part);
  const double xy = r[1] + r[3], xz = r[2] + r[6], yz = r[5] + r[7];
  std::array<double, 4> q{};
  if (largest == 0) q = {part, f * (r[7] - r[5]), f * (r[2] - r[6]), f * (r[3] - r[1])};
  if (largest == 1) q = {f * (r[7] - r[5]), part, f * xy, f * xz};
  if (largest == 2) q = {f * (r[2] - r[6]), f * xy, part, f * yz};
  if (largest == 3) q = {f * (r[3] - r[1]), f * xz, f * yz, part};
  const double sign = q[0] < 0 ? -1 : 1;  // NIfTI computes a from the others, as a positive number
  return {sign * q[1], sign * q[2], sign * q[3]};
}

bool is_orthonormal(const std::array<double, 9>& r) {
  for (size_t i = 0; i < 3; ++i) {
    for (size_t k = i; k < 3; ++k) {
      if (std::abs(r[i] * r[k] + r[3 + i] * r[3 + k] + r[6 + i] * r[6 + k] - (i == k ? 1 : 0)) > 1e-4) return false;
    }
  }
  return true;
}

void put_geometry(const Volume& image, std::string& header) {
  std::array<double, 9> direction = image.direction;
  std::array<double, 3> origin = image.origin_mm;
  for (size_t i = 0; i < 6; ++i) direction[i] = -direction[i];  // LPS to RAS
  origin = {-origin[0], -origin[1], origin[2]};
  for (size_t axis = 0; axis < 3; ++axis) {
    put(header, kPixdim + 4 * (axis + 1), static_cast<float>(image.spacing_mm[axis]));
    for (size_t row = 0; row < 3; ++row)
      put(header, kSform + 16 * row + 4 * axis, static_cast<float>(direction[3 * row + axis] * image.spacing_mm[axis]));
    put(header, kSform + 16 * axis + 12, static_cast<float>(origin[axis]));
    put(header, kQform + 12 + 4 * axis, static_cast<float>(origin[axis]));
  }
  header[kUnits] = 2;  // millimetres
  put<int16_t>(header, kSformCode, 1);
  const auto& d = direction;
  const double determinant =
      d[0] * (d[4] * d[8] - d[5] * d[7]) - d[1] * (d[3] * d[8] - d[5] * d[6]) + d[2] * (d[3] * d[7] - d[4] * d[6]);
  put(header, kPixdim, determinant < 0 ? -1.0F : 1.0F);
  if (!is_orthonormal(direction)) return;  // no quaternion says that
  put<int16_t>(header, kQformCode, 1);
  if (determinant < 0) {
    for (const size_t i : {2, 5, 8}) direction[i] = -direction[i];
  }
  const std::array<double, 3> q = quaternion(direction);
  for (size_t i = 0; i < 3; ++i) put(header, kQform + 4 * i, static_cast<float>(q[i]));
}

}  // namespace

std::string nifti_map_header(const std::filesystem::path& input, const Volume& image, const NiftiMap& map) {
  std::string header(352, '\0');
  put<int16_t>(header, kDim, 3);
  for (size_t i = 1; i < 8; ++i) {
    const int64_t size = i <= 3 ? image.size[i - 1] : 1;
    if (size > kMaxSize)
      throw Error(ExitCode::data,
                  concat("a volume of ", size, " voxels along one axis can't be NIfTI-1, which ends at ", kMaxSize));
    put(header, kDim + 2 * i, static_cast<int16_t>(size));
    put(header, kPixdim + 4 * i, 1.0F);
  }
  if (input.empty()) {
    put_geometry(image, header);
  } else {
    copy_geometry(input, image, header);
  }
  put<int32_t>(header, 0, 348);
  header[38] = 'r';
  put(header, 68, map.intent);
  put(header, 70, map.datatype);
  put(header, 72, map.bits);
  put(header, 108, 352.0F);  // vox_offset
  put(header, 112, 1.0F);    // scl_slope
  std::string_view(map.description).copy(header.data() + 148, 79);
  std::memcpy(header.data() + 344, "n+1", 4);
  return header;
}

}  // namespace vmae::io
