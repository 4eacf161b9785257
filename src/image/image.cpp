// Axes of volumes: which one the slices lie along, and one slice of it.
#include "vmae/image/image.h"

#include <algorithm>
#include <cstring>

#include "vmae/core/error.h"

namespace vmae::io {
namespace {

constexpr std::array<const char*, 8> kTypeNames{"uint8",  "int8",  "uint16",  "int16",
                                                "uint32", "int32", "float32", "float64"};

template <class T>
float in_units(T stored, const Scaling& scaling) {
  return static_cast<float>(scaling.slope * static_cast<double>(stored) + scaling.intercept);
}

}  // namespace

size_t size_of(StoredType type) {
  return visit(type, []<class T>(T) { return sizeof(T); });
}

std::string name_of(StoredType type) { return kTypeNames[static_cast<size_t>(type)]; }

StoredType stored_type_of(const std::string& name) {
  const auto found = std::find(kTypeNames.begin(), kTypeNames.end(), name);
  if (found == kTypeNames.end()) throw Error(ExitCode::data, concat("unknown pixel type '", name, "'"));
  return static_cast<StoredType>(found - kTypeNames.begin());
}

std::string name_of(Units units) {
  if (units == Units::hu) return "HU";
  return units == Units::suv ? "SUV" : "raw";
}

std::vector<float> values(const Volume& volume) {
  std::vector<float> result(static_cast<size_t>(volume.num_values()));
  const int64_t slice_size = volume.size[0] * volume.size[1] * volume.channels;
  visit(volume.type, [&]<class T>(T) {
    const T* from = reinterpret_cast<const T*>(volume.stored.data());
    for (int64_t z = 0, i = 0; z < volume.size[2]; ++z) {
      const Scaling scaling = volume.scaling_of(z);
      for (const int64_t end = i + slice_size; i < end; ++i)
        result[static_cast<size_t>(i)] = in_units(from[i], scaling);
    }
  });
  return result;
}

namespace {

bool is_flat(const VolumeHeader& header) {
  return std::find(header.size.begin(), header.size.end(), 1) != header.size.end();
}

bool is_coarsest(double spacing_mm, double largest_mm) { return spacing_mm >= 0.99 * largest_mm; }

}  // namespace

int slice_axis(const VolumeHeader& header) {
  for (const int axis : {2, 1, 0}) {
    if (header.size[axis] == 1) return axis;  // a 2D image
  }
  const double largest_mm = *std::max_element(header.spacing_mm.begin(), header.spacing_mm.end());
  int best = 2;
  double best_squareness = -1.0;
  for (const int axis : {2, 1, 0}) {
    if (!is_coarsest(header.spacing_mm[axis], largest_mm)) continue;
    const auto [shorter, longer] = std::minmax(header.size[column_axis(axis)], header.size[row_axis(axis)]);
    const double squareness = static_cast<double>(shorter) / static_cast<double>(longer);
    if (squareness > best_squareness) {
      best = axis;
      best_squareness = squareness;
    }
  }
  return best;
}

CommonAxis common_slice_axis(const std::vector<VolumeHeader>& headers) {
  CommonAxis common;
  std::array<std::pair<int64_t, int64_t>, 3> votes{};  // coarsest, then taken by slice_axis()
  for (const VolumeHeader& header : headers) {
    if (is_flat(header)) continue;
    ++common.num_volumes;
    const double largest_mm = *std::max_element(header.spacing_mm.begin(), header.spacing_mm.end());
    for (size_t axis = 0; axis < 3; ++axis)
      votes[axis].first += is_coarsest(header.spacing_mm[axis], largest_mm) ? 1 : 0;
    ++votes[static_cast<size_t>(slice_axis(header))].second;
  }
  if (common.num_volumes == 0) return common;
  common.axis = 2;
  for (const int axis : {1, 0}) {
    if (votes[static_cast<size_t>(axis)] > votes[static_cast<size_t>(common.axis)]) common.axis = axis;
  }
  common.num_coarsest = votes[static_cast<size_t>(common.axis)].first;
  return common;
}

std::string CommonAxis::text() const {
  return concat(axis < 0 ? "-" : axis_name(axis), ", the coarsest axis or one of several as coarse in ", num_coarsest,
                " of ", num_volumes, " volumes");
}

int slice_axis(const VolumeHeader& header, const std::string& wanted) {
  if (wanted == "auto" || is_flat(header)) return slice_axis(header);
  return axis_number(wanted);
}

SliceLayout::SliceLayout(const std::array<int64_t, 3>& size, int axis, int64_t index) {
  const std::array<int64_t, 3> stride{1, size[0], size[0] * size[1]};
  height = size[row_axis(axis)];
  width = size[column_axis(axis)];
  first = index * stride[static_cast<size_t>(axis)];
  row_stride = stride[row_axis(axis)];
  column_stride = stride[column_axis(axis)];
}

Image slice_of(const Volume& volume, int axis, int64_t index) {
  const SliceLayout layout(volume.size, axis, index);
  Image image{layout.height, layout.width, volume.channels, {}, volume.stored_max};
  image.pixels.resize(static_cast<size_t>(image.height * image.width * image.channels));
  visit(volume.type, [&]<class T>(T) {
    const T* stored = reinterpret_cast<const T*>(volume.stored.data());
    float* to = image.pixels.data();
    for (int64_t row = 0; row < layout.height; ++row) {
      const Scaling scaling = volume.scaling_of(axis == 2 ? index : row);  // rows are z for the other axes
      for (int64_t column = 0; column < layout.width; ++column) {
        const T* from = stored + layout.voxel(row, column) * volume.channels;
        for (int64_t channel = 0; channel < volume.channels; ++channel) *to++ = in_units(from[channel], scaling);
      }
    }
  });
  return image;
}

void stored_slice_of(const Volume& volume, int axis, int64_t index, std::vector<std::byte>& to) {
  const SliceLayout layout(volume.size, axis, index);
  const auto voxel_bytes = static_cast<int64_t>(size_of(volume.type)) * volume.channels;
  to.resize(static_cast<size_t>(layout.height * layout.width * voxel_bytes));
  std::byte* out = to.data();
  for (int64_t row = 0; row < layout.height; ++row) {
    const std::byte* from = volume.stored.data() + layout.voxel(row, 0) * voxel_bytes;
    if (layout.column_stride == 1) {
      std::memcpy(out, from, static_cast<size_t>(layout.width * voxel_bytes));
      out += layout.width * voxel_bytes;
      continue;
    }
    for (int64_t column = 0; column < layout.width; ++column, out += voxel_bytes) {
      std::memcpy(out, from + column * layout.column_stride * voxel_bytes, static_cast<size_t>(voxel_bytes));
    }
  }
}

}  // namespace vmae::io
