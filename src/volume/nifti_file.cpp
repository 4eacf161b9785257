// NIfTI-1 (nifti1.h, https://nifti.nimh.nih.gov/nifti-1): a header of 348 bytes, and from
// byte vox_offset the voxels. NIfTI-2 (nifti2.h) has 540 bytes, and the same fields wider
// and elsewhere. sizeof_hdr, the first number, tells which it is and in which byte order.
#include "vmae/volume/nifti_file.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "vmae/core/error.h"
#include "vmae/core/log_once.h"

namespace vmae::io {
namespace {

constexpr unsigned kBuffer = 1 << 16;
constexpr int64_t kMostPadding = 4096;  // bytes behind the last voxel
constexpr double kMaxGeometry = 1e8;    // millimetres or micrometres
constexpr size_t kSize1 = 348, kSize2 = 540;
constexpr const char* kDamaged = "the file is probably cut off or damaged";

template <class T>
T field(const char* bytes, bool is_swapped) {
  std::array<char, sizeof(T)> raw;
  std::memcpy(raw.data(), bytes, sizeof(T));
  if (is_swapped) std::reverse(raw.begin(), raw.end());
  T value;
  std::memcpy(&value, raw.data(), sizeof(T));
  return value;
}

// Fields one after the other.
class Reader {
 public:
  Reader(const char* bytes, bool is_swapped) : bytes_(bytes), is_swapped_(is_swapped) {}
  template <class T>
  T get(size_t at) const {
    return field<T>(bytes_ + at, is_swapped_);
  }
  template <class T, size_t N, class To>
  void get(size_t at, std::array<To, N>& to) const {
    for (size_t i = 0; i < N; ++i) to[i] = static_cast<To>(get<T>(at + i * sizeof(T)));
  }

 private:
  const char* bytes_;
  bool is_swapped_;
};

NiftiFields fields_1(const Reader& from) {
  NiftiFields fields;
  from.get<int16_t>(40, fields.dim);
  fields.intent_code = from.get<int16_t>(68);
  fields.datatype = from.get<int16_t>(70);
  from.get<float>(76, fields.pixdim);
  fields.vox_offset = static_cast<double>(from.get<float>(108));
  fields.scl_slope = static_cast<double>(from.get<float>(112));
  fields.scl_inter = static_cast<double>(from.get<float>(116));
  fields.xyzt_units = from.get<uint8_t>(123);
  fields.qform_code = from.get<int16_t>(252);
  fields.sform_code = from.get<int16_t>(254);
  from.get<float>(256, fields.quatern);
  from.get<float>(268, fields.qoffset);
  from.get<float>(280, fields.srow);
  return fields;
}

NiftiFields fields_2(const Reader& from) {
  NiftiFields fields;
  fields.datatype = from.get<int16_t>(12);
  from.get<int64_t>(16, fields.dim);
  from.get<double>(104, fields.pixdim);
  fields.vox_offset = static_cast<double>(from.get<int64_t>(168));
  fields.scl_slope = from.get<double>(176);
  fields.scl_inter = from.get<double>(184);
  fields.qform_code = from.get<int32_t>(344);
  fields.sform_code = from.get<int32_t>(348);
  from.get<double>(352, fields.quatern);
  from.get<double>(376, fields.qoffset);
  from.get<double>(400, fields.srow);
  fields.xyzt_units = from.get<int32_t>(500) & 0xff;
  fields.intent_code = from.get<int32_t>(504);
  return fields;
}

gzFile gz(void* file) { return static_cast<gzFile>(file); }

[[noreturn]] void fail_nifti(const std::filesystem::path& path, const std::string& what,
                             const std::string& hint = kDamaged) {
  fail_file(path, what, hint);
}

template <size_t N>
void check_geometry(const std::array<double, N>& numbers, size_t first, size_t count, const char* name,
                    const std::filesystem::path& path) {
  for (size_t i = first; i < first + count; ++i) {
    if (!(std::abs(numbers[i]) < kMaxGeometry))
      fail_nifti(path, concat("its orientation holds ", numbers[i], " in ", name));
  }
}

// As nibabel, which takes 0, NaN and infinity for no scaling.
bool has_slope(const NiftiFields& fields) { return fields.scl_slope != 0.0 && std::isfinite(fields.scl_slope); }

// As nifti1_io where that mends: sizes below 1 of all axes but the first.
void check(NiftiFields& fields, const std::filesystem::path& path) {
  if (fields.dim[0] < 1 || fields.dim[0] > 7) fail_nifti(path, concat("claims to have ", fields.dim[0], " axes"));
  if (fields.dim[1] < 1) fail_nifti(path, concat("has size ", fields.dim[1], " along axis 0"));
  const auto num_axes = static_cast<size_t>(fields.dim[0]);
  for (size_t axis = 2; axis < 8; ++axis) {
    if (axis > num_axes || fields.dim[axis] < 1) fields.dim[axis] = 1;
  }
  check_geometry(fields.pixdim, 1, std::min<size_t>(num_axes, 3), "pixdim", path);
  if (fields.qform_code > 0) {
    check_geometry(fields.quatern, 0, 3, "its quaternion", path);
    check_geometry(fields.qoffset, 0, 3, "qoffset", path);
  }
  if (fields.sform_code > 0) check_geometry(fields.srow, 0, 12, "srow", path);
  if (has_slope(fields) && !std::isfinite(fields.scl_inter)) {
    fail_nifti(path,
               concat("its scl_slope is ", fields.scl_slope, ", its scl_inter ", fields.scl_inter,
                      ": what its numbers mean is not known"),
               "write the right intercept into its header, or both as 0 where its numbers are as they should be");
  }
}

}  // namespace

NiftiFile::NiftiFile(const std::filesystem::path& path) : path_(path), file_(gzopen(path.c_str(), "rb")) {
  if (!file_) fail_nifti(path_, "can't be opened", "");
  try {
    gzbuffer(gz(file_), kBuffer);
    std::array<char, kSize2> bytes;
    read_bytes(bytes.data(), kSize1);
    const auto size = field<int32_t>(bytes.data(), false);
    is_swapped_ = size != kSize1 && size != kSize2;
    const auto real_size = static_cast<size_t>(field<int32_t>(bytes.data(), is_swapped_));
    if (real_size != kSize1 && real_size != kSize2) fail_nifti(path_, "is not a NIfTI file");
    const bool is_second = real_size == kSize2;
    if (is_second) read_bytes(bytes.data() + kSize1, kSize2 - kSize1);
    const std::string_view magic(bytes.data() + (is_second ? 4 : 344), 4);
    if (magic == std::string_view("ni1\0", 4) || magic == std::string_view("ni2\0", 4))
      fail_nifti(path_, "is the header of a pair of files (.hdr and .img)", "convert it to one .nii file");
    if (magic != std::string_view(is_second ? "n+2\0" : "n+1\0", 4))
      fail_nifti(path_, "is not a NIfTI file: its magic number is missing", "Analyze 7.5 is not read");
    const Reader reader(bytes.data(), is_swapped_);
    fields_ = is_second ? fields_2(reader) : fields_1(reader);
    check(fields_, path_);
  } catch (...) {
    gzclose(gz(file_));
    throw;
  }
}

NiftiFile::~NiftiFile() {
  if (file_) gzclose(gz(file_));
}

void NiftiFile::read_bytes(char* to, size_t size) {
  while (size > 0) {
    const int got = gzread(gz(file_), to, static_cast<unsigned>(std::min<size_t>(size, 1 << 30)));
    if (got <= 0) fail_nifti(path_, concat("ends after ", gztell(gz(file_)), " bytes, ", size, " are missing"));
    to += got;
    size -= static_cast<size_t>(got);
  }
}

void NiftiFile::skip_to(int64_t offset) {
  if (gzseek(gz(file_), offset, SEEK_SET) != offset)
    fail_nifti(path_, concat("ends before its voxels, which begin at byte ", offset));
}

// zlib compares length and checksum when it comes to the end of the
// compressed stream. Some programs fill the last block of a file with zeros.
void NiftiFile::check_end(int64_t volume_bytes) {
  std::array<char, 4096> rest;
  int64_t surplus = 0;
  bool is_zero = true;
  const auto read_on = [&] { return gzread(gz(file_), rest.data(), rest.size()); };
  for (int got = read_on(); got > 0; got = read_on()) {
    is_zero &= std::all_of(rest.begin(), rest.begin() + got, [](char byte) { return byte == 0; });
    surplus += got;
  }
  int code = Z_OK;
  gzerror(gz(file_), &code);
  const int closed = gzclose(gz(file_));
  file_ = nullptr;
  if (code < 0 || closed != Z_OK) fail_nifti(path_, "the checksum of the compressed data is wrong");
  if (surplus == 0 || (is_zero && surplus <= kMostPadding)) return;
  if (surplus % volume_bytes == 0) {
    fail_nifti(
        path_,
        concat("holds ", surplus / volume_bytes, surplus == volume_bytes ? " volume" : " volumes",
               " more than its header says"),
        "write the right number of volumes into its header (dim), or save the ones that are meant as a file of their "
        "own");
  }
  if (surplus > kMostPadding)
    log::warning_once(path_.filename().string(),
                      "has bytes behind its last voxel, which are not read: its header may be wrong");
}

// Voxels as stored, in this machine's byte order; 64-bit integers become double (exact to 2^53).
template <class Stored, class Kept>
void NiftiFile::read_as(StoredType type, Volume& volume) {
  const auto num_voxels = static_cast<size_t>(volume.num_values());
  volume.type = type;
  volume.stored.resize(num_voxels * sizeof(Kept));
  auto* kept = reinterpret_cast<Kept*>(volume.stored.data());
  constexpr size_t kChunk = 1 << 16;
  std::vector<char> bytes(std::min(num_voxels, kChunk) * sizeof(Stored));
  for (size_t begin = 0; begin < num_voxels; begin += kChunk) {
    const size_t count = std::min(kChunk, num_voxels - begin);
    read_bytes(bytes.data(), count * sizeof(Stored));
    for (size_t i = 0; i < count; ++i)
      kept[begin + i] = static_cast<Kept>(field<Stored>(bytes.data() + i * sizeof(Stored), is_swapped_));
  }
}

void NiftiFile::read(int64_t index, bool is_last, Volume& volume) {
  volume.scaling = {has_slope(fields_) ? Scaling{fields_.scl_slope, fields_.scl_inter} : Scaling{}};
  if (!(fields_.vox_offset >= kSize1 && fields_.vox_offset < 1e9))
    fail_nifti(path_, concat("its voxels can't begin at byte ", fields_.vox_offset));
  const int64_t volume_bytes = volume.num_values() * static_cast<int64_t>(nifti_type_bytes(fields_.datatype, path_));
  skip_to(static_cast<int64_t>(fields_.vox_offset) + index * volume_bytes);
  switch (fields_.datatype) {
    case 2:
      read_as<uint8_t>(StoredType::u8, volume);
      break;
    case 256:
      read_as<int8_t>(StoredType::i8, volume);
      break;
    case 4:
      read_as<int16_t>(StoredType::i16, volume);
      break;
    case 512:
      read_as<uint16_t>(StoredType::u16, volume);
      break;
    case 8:
      read_as<int32_t>(StoredType::i32, volume);
      break;
    case 768:
      read_as<uint32_t>(StoredType::u32, volume);
      break;
    case 1024:
      read_as<int64_t, double>(StoredType::f64, volume);
      break;
    case 1280:
      read_as<uint64_t, double>(StoredType::f64, volume);
      break;
    case 16:
      read_as<float>(StoredType::f32, volume);
      break;
    default:
      read_as<double>(StoredType::f64, volume);
  }
  if (is_last) check_end(volume_bytes);
}

size_t nifti_type_bytes(int64_t datatype, const std::filesystem::path& path) {
  switch (datatype) {
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
    case 1024:
    case 1280:
    case 64:
      return 8;
    case 128:
    case 2304:
      fail_nifti(path, concat("has ", datatype == 128 ? 3 : 4, " values per voxel (colour)"),
                 "convert it to one value per voxel");
    case 32:
    case 1792:
      fail_nifti(path, "has 2 values per voxel (complex numbers)", "convert it to one value per voxel");
    default:
      fail_nifti(path, concat("has NIfTI voxel type ", datatype, ", which is not supported"), "convert it to float");
  }
}

}  // namespace vmae::io
