// NIfTI-1 (nifti1.h, https://nifti.nimh.nih.gov/nifti-1): a header of 348 bytes, and from byte vox_offset the voxels. Fields used, by byte:
// 0 sizeof_hdr (348 in the file's byte order), 70 datatype, 108 vox_offset, 112 scl_slope (0: none), 116 scl_inter.
#include "nifti_voxels.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "vmae/core/error.h"

namespace vmae::io {
namespace {

constexpr unsigned kHeaderBuffer = 4096, kVoxelBuffer = 1 << 17;
constexpr double kMaxGeometry = 1e8;  // millimetres or micrometres; ITK's decomposition of a matrix with NaN or overflowing numbers never ends
constexpr const char* kDamaged = "the file is probably cut off or damaged";

class GzFile {
 public:
  GzFile(const std::filesystem::path& path, unsigned buffer_bytes) : path_(path), file_(gzopen(path.c_str(), "rb")) {
    if (!file_) throw Error(ExitCode::data, path.string() + ": can't be opened");
    gzbuffer(file_, buffer_bytes);
  }
  ~GzFile() {
    if (file_) gzclose(file_);
  }
  GzFile(const GzFile&) = delete;
  GzFile& operator=(const GzFile&) = delete;

  void read(char* to, size_t size) {
    while (size > 0) {
      const int got = gzread(file_, to, static_cast<unsigned>(std::min<size_t>(size, 1 << 30)));
      if (got <= 0) throw Error(ExitCode::data, concat(path_.string(), ": ends after ", gztell(file_), " bytes, ", size, " are missing"), kDamaged);
      to += got;
      size -= static_cast<size_t>(got);
    }
  }

  void skip_to(int64_t offset) {
    if (gzseek(file_, offset, SEEK_SET) != offset)
      throw Error(ExitCode::data, concat(path_.string(), ": ends before its voxels, which begin at byte ", offset), kDamaged);
  }

  // zlib compares length and checksum when it comes to the end of the compressed stream.
  void check_end() {
    std::array<char, 4096> rest;
    while (!gzdirect(file_) && gzread(file_, rest.data(), rest.size()) > 0) {
    }
    int code = Z_OK;
    gzerror(file_, &code);
    const int closed = gzclose(file_);
    file_ = nullptr;
    if (code < 0 || closed != Z_OK) throw Error(ExitCode::data, path_.string() + ": the checksum of the compressed data is wrong", kDamaged);
  }

 private:
  const std::filesystem::path& path_;
  gzFile file_;
};

template <class T>
T field(const char* bytes, bool is_swapped) {
  std::array<char, sizeof(T)> raw;
  std::memcpy(raw.data(), bytes, sizeof(T));
  if (is_swapped) std::reverse(raw.begin(), raw.end());
  T value;
  std::memcpy(&value, raw.data(), sizeof(T));
  return value;
}

class Header {
 public:
  Header(GzFile& file, const std::filesystem::path& path) {
    file.read(raw_.bytes.data(), raw_.bytes.size());
    raw_.is_swapped = field<int32_t>(raw_.bytes.data(), false) != 348;
    if (get<int32_t>(0) != 348) throw Error(ExitCode::data, path.string() + ": is not a NIfTI-1 file", kDamaged);
  }
  template <class T>
  T get(size_t at) const {
    return field<T>(raw_.bytes.data() + at, raw_.is_swapped);
  }
  double real(size_t at) const { return static_cast<double>(get<float>(at)); }
  bool is_swapped() const { return raw_.is_swapped; }
  const NiftiHeaderBytes& raw() const { return raw_; }

 private:
  NiftiHeaderBytes raw_;
};

// Voxels as stored, in this machine's byte order; 64-bit integers become double (exact to 2^53).
template <class Stored, class Kept = Stored>
void read_as(GzFile& file, bool is_swapped, StoredType type, Volume& volume) {
  const auto num_voxels = static_cast<size_t>(volume.num_values());
  volume.type = type;
  volume.stored.resize(num_voxels * sizeof(Kept));
  auto* kept = reinterpret_cast<Kept*>(volume.stored.data());
  constexpr size_t kChunk = 1 << 16;
  std::vector<char> bytes(std::min(num_voxels, kChunk) * sizeof(Stored));
  for (size_t begin = 0; begin < num_voxels; begin += kChunk) {
    const size_t count = std::min(kChunk, num_voxels - begin);
    file.read(bytes.data(), count * sizeof(Stored));
    for (size_t i = 0; i < count; ++i) kept[begin + i] = static_cast<Kept>(field<Stored>(bytes.data() + i * sizeof(Stored), is_swapped));
  }
}

void read_type(GzFile& file, int16_t type, bool is_swapped, Volume& volume, const std::filesystem::path& path) {
  switch (type) {
    case 2:
      return read_as<uint8_t>(file, is_swapped, StoredType::u8, volume);
    case 256:
      return read_as<int8_t>(file, is_swapped, StoredType::i8, volume);
    case 4:
      return read_as<int16_t>(file, is_swapped, StoredType::i16, volume);
    case 512:
      return read_as<uint16_t>(file, is_swapped, StoredType::u16, volume);
    case 8:
      return read_as<int32_t>(file, is_swapped, StoredType::i32, volume);
    case 768:
      return read_as<uint32_t>(file, is_swapped, StoredType::u32, volume);
    case 1024:
      return read_as<int64_t, double>(file, is_swapped, StoredType::f64, volume);
    case 1280:
      return read_as<uint64_t, double>(file, is_swapped, StoredType::f64, volume);
    case 16:
      return read_as<float>(file, is_swapped, StoredType::f32, volume);
    case 64:
      return read_as<double>(file, is_swapped, StoredType::f64, volume);
    default:
      throw Error(ExitCode::data, concat(path.string(), ": has NIfTI voxel type ", type, ", which is not supported"), "convert it to float");
  }
}

size_t nifti_voxel_bytes(int16_t type) {
  switch (type) {
    case 2:
    case 256:
      return 1;
    case 4:
    case 512:
      return 2;
    case 8:
    case 768:
    case 16:
      return 4;
    default:
      return 8;
  }
}

}  // namespace

void check_nifti_header(const std::filesystem::path& path) {
  GzFile file(path, kHeaderBuffer);
  const Header header(file, path);
  // 252 qform_code, 254 sform_code; 80 pixdim[1..3], 256 quaternion and offset, 280 the affine matrix.
  const auto check = [&](size_t first, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      if (!(std::abs(header.real(first + 4 * i)) < kMaxGeometry))
        throw Error(ExitCode::data, concat(path.string(), ": its orientation holds ", header.real(first + 4 * i), " at byte ", first + 4 * i), kDamaged);
    }
  };
  check(80, 3);
  if (header.get<int16_t>(252) != 0) check(256, 6);
  if (header.get<int16_t>(254) != 0) check(280, 12);
}

NiftiHeaderBytes read_nifti_header_bytes(const std::filesystem::path& path) {
  GzFile file(path, kHeaderBuffer);
  return Header(file, path).raw();
}

void read_nifti_voxels(const std::filesystem::path& path, int64_t time_point, bool is_last, Volume& volume) {
  GzFile file(path, kVoxelBuffer);
  const Header header(file, path);
  const double offset = header.real(108), slope = header.real(112), intercept = header.real(116);
  const bool is_scaled = slope != 0.0 && std::isfinite(slope) && std::isfinite(intercept);
  volume.scaling = {is_scaled ? Scaling{slope, intercept} : Scaling{}};
  if (!(offset >= 348 && offset < 1e9)) throw Error(ExitCode::data, concat(path.string(), ": its voxels can't begin at byte ", offset), kDamaged);
  const auto type = header.get<int16_t>(70);
  const int64_t volume_bytes = volume.num_values() * static_cast<int64_t>(nifti_voxel_bytes(type));
  file.skip_to(static_cast<int64_t>(offset) + time_point * volume_bytes);
  read_type(file, type, header.is_swapped(), volume, path);
  if (is_last) file.check_end();
}

}  // namespace vmae::io
