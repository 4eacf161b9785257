#pragma once
// The internal picture of an image. Axis order is defined here, once:
//   A Volume is stored x fastest, then y, then z (as ITK, NIfTI and a stack of DICOM slices): voxel
//   (x, y, z) is number x + size[0] * (y + size[1] * z), its channels side by side. In DICOM's words
//   x counts columns, y rows, z slices; a 2D image is a volume of size z = 1. A slice perpendicular
//   to z is an Image with rows = y and columns = x; perpendicular to y: rows = z, columns = x; to x:
//   rows = z, columns = y. origin, spacing and direction are ITK's: millimetres in the LPS frame
//   (DICOM's patient frame), direction is the row-major 3x3 matrix whose columns are the axes.
// Volumes keep the numbers of the file; `scaling` turns them into
// units. So nothing is lost between a file and a prepared dataset.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace vmae::io {

// One 2D image, rows by columns by channels, channel fastest (BHWC's HWC). Colour is RGB.
struct Image {
  int64_t height = 0, width = 0, channels = 0;
  std::vector<float> pixels;  // height * width * channels, in units
  // largest value that the stored type can hold (255, 4095, 65535),
  // 0 where the units are physical (volumes, float pictures)
  double stored_max = 0.0;
};

enum class StoredType : uint8_t { u8, i8, u16, i16, u32, i32, f32, f64 };
size_t size_of(StoredType type);
std::string name_of(StoredType type);                // as NumPy: "uint8", "int16", "float32", ...
StoredType stored_type_of(const std::string& name);  // throws Error(data)

// Calls f with a value of the C++ type of `type`: visit(type, [&]<class T>(T) { ... }).
template <class F>
decltype(auto) visit(StoredType type, F&& f) {
  switch (type) {
    case StoredType::u8:
      return f(uint8_t{});
    case StoredType::i8:
      return f(int8_t{});
    case StoredType::u16:
      return f(uint16_t{});
    case StoredType::i16:
      return f(int16_t{});
    case StoredType::u32:
      return f(uint32_t{});
    case StoredType::i32:
      return f(int32_t{});
    case StoredType::f32:
      return f(float{});
    case StoredType::f64:
      break;
  }
  return f(double{});
}

// as stored; Hounsfield units; standardised uptake value by body weight (g/ml)
enum class Units : uint8_t { raw, hu, suv };
std::string name_of(Units units);  // "raw", "HU", "SUV"

struct Scaling {  // value in units = slope * stored + intercept
  double slope = 1.0, intercept = 0.0;
  bool operator==(const Scaling&) const = default;
};

struct Volume {
  std::array<int64_t, 3> size{};  // x, y, z
  int64_t channels = 1;           // 3: RGB
  std::array<double, 3> spacing_mm{1, 1, 1}, origin_mm{0, 0, 0};
  std::array<double, 9> direction{1, 0, 0, 0, 1, 0, 0, 0, 1};
  std::string modality;  // DICOM's code (CT, MR, PT, US, DX, ...), "" if not known
  Units units = Units::raw;
  StoredType type = StoredType::f32;
  std::vector<std::byte> stored;     // size x * y * z * channels values of `type`
  std::vector<Scaling> scaling{{}};  // one for all, or one per z
  double stored_max = 0.0;           // as in Image

  int64_t num_values() const { return size[0] * size[1] * size[2] * channels; }
  const Scaling& scaling_of(int64_t z) const {
    return scaling.size() == 1 ? scaling[0] : scaling[static_cast<size_t>(z)];
  }
};

// All values in units, in the order of storage. Computed in double, rounded once.
std::vector<float> values(const Volume& volume);

// Geometry without voxels: what listing a dataset needs, read from the header alone.
struct VolumeHeader {
  std::array<int64_t, 3> size{};
  std::array<double, 3> spacing_mm{1, 1, 1};
  int64_t num_time_points = 1;  // 4-D files: volumes one after the other
};

// The axis of acquisition: largest spacing; among equals (within 1 %) the one that leaves the most
// nearly square slices, then z. An axis of length 1 comes before all: the file is one 2D image.
int slice_axis(const VolumeHeader& header);

inline std::string axis_name(int axis) { return {"xyz"[axis]}; }
inline int axis_number(const std::string& name) {
  if (name == "x") return 0;
  return name == "y" ? 1 : 2;
}

// One axis for all volumes of a dataset: that which is coarsest (within 1 %) in most of them; of equals
// that which slice_axis() takes for most, then z, y. 2D images don't count: they keep their own.
struct CommonAxis {
  int axis = -1;  // -1: there are no volumes
  int64_t num_volumes = 0, num_coarsest = 0;
  std::string text() const;  // "y, the coarsest axis or one of several as coarse in 58 of 60 volumes"
};
CommonAxis common_slice_axis(const std::vector<VolumeHeader>& headers);
// `wanted`: "x", "y", "z", or "auto" for slice_axis(). Of a 2D image its own.
int slice_axis(const VolumeHeader& header, const std::string& wanted);

// Of a slice across `axis`: the axis of the volume that its columns are counted along (its width), and its rows
// (height).
constexpr size_t column_axis(int axis) { return axis == 0 ? 1 : 0; }
constexpr size_t row_axis(int axis) { return axis == 2 ? 1 : 2; }

// How slice `index` across `axis` lies in a volume of `size`, in voxels.
struct SliceLayout {
  int64_t height, width, first, row_stride, column_stride;
  SliceLayout(const std::array<int64_t, 3>& size, int axis, int64_t index);
  int64_t voxel(int64_t row, int64_t column) const { return first + row * row_stride + column * column_stride; }
};

// A slice of voxels that are in the order of Volume::stored, row by row.
template <class T>
std::vector<T> slice_of(const std::vector<T>& voxels, const std::array<int64_t, 3>& size, int axis, int64_t index) {
  const SliceLayout layout(size, axis, index);
  std::vector<T> slice;
  slice.reserve(static_cast<size_t>(layout.height * layout.width));
  for (int64_t row = 0; row < layout.height; ++row) {
    for (int64_t column = 0; column < layout.width; ++column)
      slice.push_back(voxels[static_cast<size_t>(layout.voxel(row, column))]);
  }
  return slice;
}

// Slice `index` along `axis` (0 x, 1 y, 2 z) in the orientation defined above, in units.
Image slice_of(const Volume& volume, int axis, int64_t index);

// The same as stored numbers: rows * columns * channels values of volume.type, appended to nothing (`to` is
// resized). Its scaling is volume.scaling_of(index) for axis 2; for the others the volume must have one scaling.
void stored_slice_of(const Volume& volume, int axis, int64_t index, std::vector<std::byte>& to);

}  // namespace vmae::io
