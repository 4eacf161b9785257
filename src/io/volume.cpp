// Headers of all formats, and the voxels of NRRD and MetaImage, through ITK's ImageIO classes without its image templates; voxels of NIfTI as nifti_voxels.h
// says. The libraries beneath keep global state (a cached file name, a stack of error texts), so ITK reads one file at a time.
#include "vmae/io/volume.h"

#include <itkMetaImageIO.h>
#include <itkNiftiImageIO.h>
#include <itkNrrdImageIO.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <limits>
#include <mutex>

#include "nifti_voxels.h"
#include "vmae/core/error.h"
#include "vmae/core/machine.h"
#include "vmae/io/file_name.h"
#include "volume_data.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using Component = itk::IOComponentEnum;

constexpr int64_t kMaxTimePoints = 1 << 20;
constexpr const char* kExtensions = ".nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd";

std::mutex& library_mutex() {
  static std::mutex mutex;
  return mutex;
}

bool has_ending(const fs::path& path, std::initializer_list<const char*> endings) {
  const std::string name = to_lower(path.filename().string());
  for (const char* ending : endings) {
    if (name.ends_with(ending)) return true;
  }
  return false;
}

bool is_nifti(const fs::path& path) { return has_ending(path, {".nii", ".nii.gz"}); }
bool is_nrrd(const fs::path& path) { return has_ending(path, {".nrrd", ".nhdr"}); }
bool is_meta(const fs::path& path) { return has_ending(path, {".mha", ".mhd"}); }

[[noreturn]] void fail(const fs::path& path, const std::string& what, const std::string& hint = "") {
  throw Error(ExitCode::data, concat(path.string(), ": ", what), hint);
}

// What ITK says without its file name and line number, on one line.
std::string reason(const itk::ExceptionObject& error) {
  std::string text = error.GetDescription();
  if (const size_t colon = text.find("): "); colon != std::string::npos) text.erase(0, colon + 3);
  for (char& c : text) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return std::string(trim(text));
}

itk::ImageIOBase::Pointer make_image_io(const fs::path& path) {
  if (is_nifti(path)) return itk::NiftiImageIO::New().GetPointer();
  if (is_nrrd(path)) return itk::NrrdImageIO::New().GetPointer();
  if (is_meta(path)) return itk::MetaImageIO::New().GetPointer();
  fail(path, "is not a volume", concat("known are ", kExtensions));
}

// Waits for slow storage outside of the lock: the header then comes from the page cache.
void warm_up(const fs::path& path) {
  std::array<char, 4096> first;
  std::ifstream(path, std::ios::binary).read(first.data(), first.size());
}

// A header that claims more voxels than the file can hold would have them allocated, or make a list of slices without end.
void check_claim(itk::ImageIOBase& image_io, const VolumeHeader& header, uint64_t most_bytes, const fs::path& path) {
  if (image_io.GetComponentType() == Component::UNKNOWNCOMPONENTTYPE) fail(path, "has a voxel type that is not known");
  double claimed = static_cast<double>(image_io.GetComponentSize());
  for (const int64_t size : header.size) claimed *= static_cast<double>(size);
  // Of NIfTI each time point is read by itself, and the last ones may be missing.
  if (!is_nifti(path)) claimed *= static_cast<double>(header.num_time_points);
  if (claimed > static_cast<double>(most_bytes)) {
    fail(path, concat("claims ", header.size[0], " x ", header.size[1], " x ", header.size[2], " voxels, far more than a file of its size can hold"),
         "the file is probably cut off or damaged");
  }
}

// The header, checked: a scalar image of one to three axes, or more axes of length 1.
itk::ImageIOBase::Pointer open(const fs::path& path, VolumeHeader& header) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) fail(path, "does not exist");
  if (!fs::is_regular_file(path, ignored)) fail(path, "is not a file");
  const uintmax_t file_bytes = fs::file_size(path, ignored);
  if (ignored || file_bytes == 0) fail(path, "is empty (0 bytes)");
  warm_up(path);
  if (is_nifti(path)) check_nifti_header(path);
  const uint64_t most_bytes = is_nifti(path) ? most_voxel_bytes(file_bytes) : most_voxel_bytes(path, is_nrrd(path));
  const std::lock_guard lock(library_mutex());
  itk::Object::SetGlobalWarningDisplay(false);
  const itk::ImageIOBase::Pointer image_io = make_image_io(path);
  bool is_readable = false;
  try {
    image_io->SetFileName(path.string());
    is_readable = is_meta(path) || image_io->CanReadFile(path.c_str());  // ITK wants .mha and .mhd in lower case
    if (is_readable) image_io->ReadImageInformation();
  } catch (const itk::ExceptionObject& error) {
    fail(path, "can't be read: " + reason(error));
  } catch (const std::exception& error) {
    fail(path, concat("can't be read: ", error.what()));
  }
  if (!is_readable) fail(path, "is damaged, or not what its extension says");
  const unsigned num_axes = image_io->GetNumberOfDimensions();
  for (unsigned axis = 0; axis < num_axes; ++axis) {
    const auto size = static_cast<int64_t>(image_io->GetDimensions(axis));
    if (size < 1) fail(path, concat("has size ", size, " along axis ", axis));
    if (axis >= 3) {
      if (header.num_time_points > kMaxTimePoints / size) fail(path, concat("claims more than ", kMaxTimePoints, " volumes"));
      header.num_time_points *= size;
      continue;
    }
    header.size[axis] = size;
    const double spacing_mm = image_io->GetSpacing(axis);
    header.spacing_mm[axis] = spacing_mm > 0 && spacing_mm < std::numeric_limits<double>::infinity() ? spacing_mm : 1.0;
  }
  for (unsigned axis = num_axes; axis < 3; ++axis) header.size[axis] = 1;
  if (image_io->GetNumberOfComponents() != 1) {
    fail(path, concat("has ", image_io->GetNumberOfComponents(), " values per voxel (colour, vectors or complex numbers)"),
         "convert it to one value per voxel");
  }
  check_claim(*image_io, header, most_bytes, path);
  return image_io;
}

// 64-bit integers become double (exact to 2^53).
template <class Integer>
void widen(std::vector<std::byte>& bytes) {
  for (size_t i = 0; i + sizeof(Integer) <= bytes.size(); i += sizeof(Integer)) {
    Integer stored;
    std::memcpy(&stored, bytes.data() + i, sizeof(stored));
    const auto value = static_cast<double>(stored);
    std::memcpy(bytes.data() + i, &value, sizeof(value));
  }
}

StoredType stored_type(Component type, std::vector<std::byte>& bytes, const fs::path& path) {
  switch (type) {
    case Component::UCHAR:
      return StoredType::u8;
    case Component::CHAR:
      return StoredType::i8;
    case Component::USHORT:
      return StoredType::u16;
    case Component::SHORT:
      return StoredType::i16;
    case Component::UINT:
      return StoredType::u32;
    case Component::INT:
      return StoredType::i32;
    case Component::ULONG:
    case Component::ULONGLONG:
      widen<uint64_t>(bytes);
      return StoredType::f64;
    case Component::LONG:
    case Component::LONGLONG:
      widen<int64_t>(bytes);
      return StoredType::f64;
    case Component::FLOAT:
      return StoredType::f32;
    case Component::DOUBLE:
      return StoredType::f64;
    default:
      fail(path, "has a voxel type that is not supported: " + itk::ImageIOBase::GetComponentTypeAsString(type), "convert it to float");
  }
}

void check_fits_memory(const VolumeHeader& header, size_t component_bytes, const fs::path& path) {
  const size_t stored_bytes = component_bytes * static_cast<size_t>(is_nifti(path) ? 1 : header.num_time_points);
  const double needed = static_cast<double>(header.size[0]) * static_cast<double>(header.size[1]) * static_cast<double>(header.size[2]) *
                        static_cast<double>(sizeof(float) + stored_bytes);
  const auto available = static_cast<double>(memory_info().available_bytes);
  if (needed > available) {
    fail(path, concat("is a volume of ", header.size[0], " x ", header.size[1], " x ", header.size[2], " voxels, which needs ", human_bytes(needed),
                      " to read; ", human_bytes(available), " are free"));
  }
}

// MetaImageIO says nothing when data are missing; it then leaves the end of the buffer as it was.
bool read_whole(itk::ImageIOBase& image_io, std::vector<std::byte>& bytes) {
  for (const std::byte mark : {std::byte{0x5A}, std::byte{0xA5}}) {
    bytes.back() = mark;
    image_io.Read(bytes.data());
    if (bytes.back() != mark) return true;
  }
  return false;
}

// ITK reads all time points at once; the one that is wanted is kept.
void read_voxels(itk::ImageIOBase& image_io, const VolumeHeader& header, int64_t time_point, Volume& volume, const fs::path& path) {
  itk::ImageIORegion region(image_io.GetNumberOfDimensions());
  for (unsigned axis = 0; axis < image_io.GetNumberOfDimensions(); ++axis) region.SetSize(axis, image_io.GetDimensions(axis));
  image_io.SetIORegion(region);
  const size_t volume_bytes = static_cast<size_t>(volume.num_values()) * image_io.GetComponentSize();
  try {
    volume.stored.resize(volume_bytes * static_cast<size_t>(header.num_time_points));
    const std::lock_guard lock(library_mutex());
    if (!read_whole(image_io, volume.stored)) fail(path, "ends before its last voxel", "the file is probably cut off or damaged");
  } catch (const itk::ExceptionObject& error) {
    fail(path, "can't be read: " + reason(error), "the file is probably cut off or damaged");
  } catch (const std::bad_alloc&) {
    fail(path, "needs more memory than there is");
  }
  if (header.num_time_points > 1) {
    const auto first = volume.stored.begin() + static_cast<std::ptrdiff_t>(volume_bytes * static_cast<size_t>(time_point));
    volume.stored = std::vector<std::byte>(first, first + static_cast<std::ptrdiff_t>(volume_bytes));
  }
  volume.type = stored_type(image_io.GetComponentType(), volume.stored, path);
}

}  // namespace

bool is_volume(const fs::path& path) { return kind_of(path) == FileKind::volume; }

VolumeHeader read_volume_header(const fs::path& path) {
  VolumeHeader header;
  open(path, header);
  return header;
}

Volume read_volume(const fs::path& path, int64_t time_point) {
  VolumeHeader header;
  const itk::ImageIOBase::Pointer image_io = open(path, header);
  if (time_point < 0 || time_point >= header.num_time_points)
    fail(path, concat("has ", header.num_time_points, " time points; number ", time_point, " was asked for"));
  check_fits_memory(header, image_io->GetComponentSize(), path);

  Volume volume;
  volume.size = header.size;
  volume.spacing_mm = header.spacing_mm;
  const unsigned num_axes = std::min(image_io->GetNumberOfDimensions(), 3U);
  for (unsigned axis = 0; axis < num_axes; ++axis) {
    volume.origin_mm[axis] = image_io->GetOrigin(axis);
    const std::vector<double> direction = image_io->GetDirection(axis);
    for (unsigned row = 0; row < num_axes; ++row) volume.direction[3 * row + axis] = direction[row];
  }

  if (is_nifti(path)) {
    read_nifti_voxels(path, time_point, time_point + 1 == header.num_time_points, volume);
  } else {
    read_voxels(*image_io, header, time_point, volume, path);
  }
  return volume;
}

}  // namespace vmae::io
