// NRRD and MetaImage through ITK's ImageIO classes without its image templates; NIfTI
// as nifti_file.h and nifti_geometry.h say. The libraries beneath ITK keep global
// state (a cached file name, a stack of error texts), so it reads one file at a time.
#include "vmae/volume/volume.h"

#include <itkMetaImageIO.h>
#include <itkNrrdImageIO.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <mutex>

#include "vmae/core/error.h"
#include "vmae/core/log_once.h"
#include "vmae/core/machine.h"
#include "vmae/core/path_problem.h"
#include "vmae/image/file_name.h"
#include "vmae/volume/nifti_geometry.h"
#include "vmae/volume/volume_data.h"
#include "vmae/volume/volume_file.h"
#include "volume_geometry.h"

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
  if (is_nrrd(path)) return itk::NrrdImageIO::New().GetPointer();
  if (is_meta(path)) return itk::MetaImageIO::New().GetPointer();
  fail_file(path, "is not a volume", concat("known are ", kExtensions));
}

// Waits for slow storage outside of the lock: the header then comes from the page cache.
void warm_up(const fs::path& path) {
  std::array<char, 4096> first;
  std::ifstream(path, std::ios::binary).read(first.data(), first.size());
}

// A header that claims more voxels than the file can hold would
// have them allocated, or make a list of slices without end.
void check_claim(const VolumeHeader& header, double bytes_per_voxel, uint64_t most_bytes, const fs::path& path) {
  double claimed = bytes_per_voxel;
  for (const int64_t size : header.size) claimed *= static_cast<double>(size);
  // Of NIfTI each time point is read by itself, and the last ones may be missing.
  if (!is_nifti(path)) claimed *= static_cast<double>(header.num_time_points);
  if (claimed > static_cast<double>(most_bytes)) {
    fail_file(path,
              concat("claims ", header.size[0], " x ", header.size[1], " x ", header.size[2],
                     " voxels, far more than a file of its size can hold"),
              "the file is probably cut off or damaged");
  }
}

// What the library has no good words for.
void refuse_unread_nrrd(const fs::path& path) {
  if (const std::string encoding = nrrd_field(path, "encoding"); encoding.starts_with("bz"))
    fail_file(path, concat("is compressed as ", encoding, ", which is not read"),
              "save it with the encoding gzip or raw");
  if (nrrd_field(path, "kinds").find("time") != std::string::npos &&
      nrrd_field(path, "space directions").find("none") != std::string::npos)
    fail_file(path, "has an axis of time (kinds: " + nrrd_field(path, "kinds") + "), which is not read",
              "save each time point as a file of its own, or all as NIfTI");
}

// An image of one to three axes, or more axes, which are volumes one after the other.
itk::ImageIOBase::Pointer open(const fs::path& path, VolumeHeader& header) {
  if (is_nrrd(path)) refuse_unread_nrrd(path);
  check_spacing_fields(path, is_nrrd(path));
  const uint64_t most_bytes = most_voxel_bytes(path, is_nrrd(path));
  const std::lock_guard lock(library_mutex());
  itk::Object::SetGlobalWarningDisplay(false);
  const itk::ImageIOBase::Pointer image_io = make_image_io(path);
  bool is_readable = false;
  try {
    image_io->SetFileName(path.string());
    is_readable = is_meta(path) || image_io->CanReadFile(path.c_str());  // ITK wants .mha and .mhd in lower case
    if (is_readable) image_io->ReadImageInformation();
  } catch (const itk::ExceptionObject& error) {
    fail_file(path, "can't be read: " + reason(error));
  } catch (const std::exception& error) {
    fail_file(path, concat("can't be read: ", error.what()));
  }
  if (!is_readable) fail_file(path, "is damaged, or not what its extension says");
  const unsigned num_axes = image_io->GetNumberOfDimensions();
  for (unsigned axis = 0; axis < num_axes; ++axis) {
    const auto size = static_cast<int64_t>(image_io->GetDimensions(axis));
    if (size < 1) fail_file(path, concat("has size ", size, " along axis ", axis));
    if (axis >= 3) {
      if (header.num_time_points > kMaxTimePoints / size)
        fail_file(path, concat("claims more than ", kMaxTimePoints, " volumes"));
      header.num_time_points *= size;
      continue;
    }
    header.size[axis] = size;
    header.spacing_mm[axis] = image_io->GetSpacing(axis);
  }
  for (unsigned axis = num_axes; axis < 3; ++axis) header.size[axis] = 1;
  if (image_io->GetComponentType() == Component::UNKNOWNCOMPONENTTYPE)
    fail_file(path, "has a voxel type that is not known");
  check_claim(
      header,
      static_cast<double>(image_io->GetComponentSize()) * static_cast<double>(image_io->GetNumberOfComponents()),
      most_bytes, path);
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
      fail_file(path, "has a voxel type that is not supported: " + itk::ImageIOBase::GetComponentTypeAsString(type),
                "convert it to float");
  }
}

void check_fits_memory(const VolumeHeader& header, size_t bytes_per_voxel, const fs::path& path) {
  const size_t stored_bytes = bytes_per_voxel * static_cast<size_t>(is_nifti(path) ? 1 : header.num_time_points);
  const double needed = static_cast<double>(header.size[0]) * static_cast<double>(header.size[1]) *
                        static_cast<double>(header.size[2]) * static_cast<double>(sizeof(float) + stored_bytes);
  const auto available = static_cast<double>(memory_info().available_bytes);
  if (needed > available) {
    fail_file(path,
              concat("is a volume of ", header.size[0], " x ", header.size[1], " x ", header.size[2],
                     " voxels, which needs ", human_bytes(needed), " to read; ", human_bytes(available), " are free"));
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

// All time points, as ITK reads them.
void read_voxels(itk::ImageIOBase& image_io, size_t num_bytes, std::vector<std::byte>& bytes, const fs::path& path) {
  itk::ImageIORegion region(image_io.GetNumberOfDimensions());
  for (unsigned axis = 0; axis < image_io.GetNumberOfDimensions(); ++axis)
    region.SetSize(axis, image_io.GetDimensions(axis));
  image_io.SetIORegion(region);
  try {
    bytes.resize(num_bytes);
    const std::lock_guard lock(library_mutex());
    if (!read_whole(image_io, bytes))
      fail_file(path, "ends before its last voxel", "the file is probably cut off or damaged");
  } catch (const itk::ExceptionObject& error) {
    fail_file(path, "can't be read: " + reason(error), "the file is probably cut off or damaged");
  } catch (const std::bad_alloc&) {
    fail_file(path, "needs more memory than there is");
  }
}

}  // namespace

struct VolumeFile::Parts {
  fs::path path;
  VolumeHeader header;
  Volume grid;                         // without voxels
  std::unique_ptr<NiftiFile> nifti;    // or
  itk::ImageIOBase::Pointer image_io;  // NRRD, MetaImage
  std::vector<std::byte> stored;       // of all time points, once they are read
  size_t bytes_per_voxel = 0;

  void open_nifti(uintmax_t file_bytes) {
    nifti = std::make_unique<NiftiFile>(path);
    const NiftiGrid found = nifti_grid(nifti->fields(), path);
    header = {found.size, found.spacing_mm, found.num_volumes};
    grid.channels = found.values_per_voxel;
    grid.origin_mm = found.origin_mm;
    grid.direction = found.direction;
    bytes_per_voxel = nifti_type_bytes(nifti->fields().datatype, path);
    check_claim(header, static_cast<double>(bytes_per_voxel) * static_cast<double>(grid.channels),
                most_voxel_bytes(file_bytes), path);
    bytes_per_voxel *= static_cast<size_t>(grid.channels);
  }

  // ITK before 5.4.3 turns left-right instead of front-back where the space is
  // left-anterior-superior (ITK's issue 5207), and does not turn spaces with time.
  void undo_las_mistake() {
    std::string space = nrrd_field(path, "space");
    std::erase_if(space, [](char c) { return c == '-' || c == ' '; });  // all spellings that its library takes
    const bool is_las = space == "las" || space == "leftanteriorsuperior",
               is_last = space == "last" || space == "leftanteriorsuperiortime";
    const bool is_rast = space == "rast" || space == "rightanteriorsuperiortime";
    for (size_t row = 0; row < 2; ++row) {
      if (row == 0 ? !is_las && !is_rast : !is_las && !is_last && !is_rast) continue;
      grid.origin_mm[row] = -grid.origin_mm[row];
      for (size_t axis = 0; axis < 3; ++axis) grid.direction[3 * row + axis] = -grid.direction[3 * row + axis];
    }
  }

  // Spaces of a scanner, and mere handedness, do not say where left is.
  void say_space() const {
    const std::string space = nrrd_field(path, "space");
    if (space.find("scanner") == std::string::npos && space.find("handed") == std::string::npos) return;
    log::warning_once(path.filename().string(),
                      concat("has the space ", space,
                             ", which does not say where left is: its axes are taken for left, posterior, superior"));
  }

  void open_other() {
    image_io = open(path, header);
    const unsigned num_axes = std::min(image_io->GetNumberOfDimensions(), 3U);
    for (unsigned axis = 0; axis < num_axes; ++axis) {
      grid.origin_mm[axis] = image_io->GetOrigin(axis);
      const std::vector<double> direction = image_io->GetDirection(axis);
      for (unsigned row = 0; row < num_axes; ++row) grid.direction[3 * row + axis] = direction[row];
    }
    grid.spacing_mm = header.spacing_mm;
    check_axes(grid, path, is_nrrd(path));
    apply_units(grid, num_axes, path, is_nrrd(path));
    header.spacing_mm = grid.spacing_mm;
    if (is_nrrd(path)) {
      undo_las_mistake();
      say_space();
    }
    grid.channels = image_io->GetNumberOfComponents();
    bytes_per_voxel = image_io->GetComponentSize() * static_cast<size_t>(grid.channels);
  }

  // The values of a voxel lie in volumes of their own, one value of all time points after the other.
  void read_nifti(int64_t time_point, Volume& volume) {
    const bool is_last = time_point + 1 == header.num_time_points;
    if (volume.channels == 1) return nifti->read(time_point, is_last, volume);
    const auto channels = static_cast<size_t>(volume.channels);
    Volume part = volume;
    part.channels = 1;
    for (size_t c = 0; c < channels; ++c) {
      nifti->read(static_cast<int64_t>(c) * header.num_time_points + time_point, is_last && c + 1 == channels, part);
      const size_t width = size_of(part.type);
      volume.stored.resize(part.stored.size() * channels);
      for (size_t i = 0; i < part.stored.size() / width; ++i)
        std::memcpy(&volume.stored[(i * channels + c) * width], &part.stored[i * width], width);
    }
    volume.type = part.type;
    volume.scaling = part.scaling;
  }

  void read_other(int64_t time_point, Volume& volume) {
    const size_t volume_bytes = bytes_per_voxel * static_cast<size_t>(volume.num_values() / volume.channels);
    if (stored.empty()) {
      const size_t all_bytes = volume_bytes * static_cast<size_t>(header.num_time_points);
      read_voxels(*image_io, all_bytes, stored, path);
      if (has_more_than(all_bytes, path, is_nrrd(path)))
        log::warning_once(
            path.filename().string(),
            "has more bytes of voxels than its header says, of which the first are read: its header may be wrong");
    }
    if (header.num_time_points == 1) {
      volume.stored = std::move(stored);
      stored.clear();
    } else {
      const auto first = stored.begin() + static_cast<std::ptrdiff_t>(volume_bytes * static_cast<size_t>(time_point));
      volume.stored.assign(first, first + static_cast<std::ptrdiff_t>(volume_bytes));
    }
    volume.type = stored_type(image_io->GetComponentType(), volume.stored, path);
  }
};

VolumeFile::VolumeFile(const fs::path& path) : parts_(std::make_unique<Parts>()) {
  parts_->path = path;
  if (const std::string problem = path_problem(path); !problem.empty()) fail_file(path, problem);
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) fail_file(path, "is not a file");
  if (is_of_pair(path)) fail_file(path, kPairProblem, kPairHint);
  const uintmax_t file_bytes = fs::file_size(path, ignored);
  if (ignored || file_bytes == 0) fail_file(path, "is empty (0 bytes)");
  warm_up(path);
  if (is_nifti(path)) {
    parts_->open_nifti(file_bytes);
  } else {
    parts_->open_other();
  }
  parts_->grid.size = parts_->header.size;
  parts_->grid.spacing_mm = parts_->header.spacing_mm;
}
VolumeFile::~VolumeFile() = default;
VolumeFile::VolumeFile(VolumeFile&&) noexcept = default;

const VolumeHeader& VolumeFile::header() const { return parts_->header; }
int64_t VolumeFile::values_per_voxel() const { return parts_->grid.channels; }
int64_t VolumeFile::num_axes() const {
  return parts_->nifti ? parts_->nifti->fields().dim[0] : int64_t{parts_->image_io->GetNumberOfDimensions()};
}

Volume VolumeFile::read(int64_t time_point) {
  Parts& parts = *parts_;
  if (time_point < 0 || time_point >= parts.header.num_time_points)
    fail_file(parts.path,
              concat("has ", parts.header.num_time_points, " time points; number ", time_point, " was asked for"));
  check_fits_memory(parts.header, parts.bytes_per_voxel, parts.path);
  Volume volume = parts.grid;
  if (parts.nifti) {
    parts.read_nifti(time_point, volume);
  } else {
    parts.read_other(time_point, volume);
  }
  return volume;
}

namespace {

VolumeFile open_image(const fs::path& path) {
  VolumeFile file(path);
  if (file.values_per_voxel() != 1) {
    fail_file(path, concat("has ", file.values_per_voxel(), " values per voxel (colour, vectors or complex numbers)"),
              "convert it to one value per voxel");
  }
  return file;
}

}  // namespace

bool is_volume(const fs::path& path) { return kind_of(path) == FileKind::volume; }

VolumeHeader read_volume_header(const fs::path& path) { return open_image(path).header(); }

Volume read_volume(const fs::path& path, int64_t time_point) { return open_image(path).read(time_point); }

}  // namespace vmae::io
