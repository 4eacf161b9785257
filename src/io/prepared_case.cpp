// The inverse of stored_slice_of, for all slices of a case.
#include <algorithm>
#include <cstring>

#include "vmae/core/error.h"
#include "vmae/io/prepared.h"

namespace vmae::io {
namespace {

[[noreturn]] void fail(const PreparedCase& c, const std::string& what) {
  throw Error(ExitCode::data, concat("case '", c.name, "' of the prepared dataset ", what), "the dataset is damaged; prepare it again");
}

std::vector<PreparedItem> items_of(const PreparedDataset& dataset, const PreparedCase& c, size_t num_slices) {
  if (c.num_items != static_cast<int64_t>(num_slices)) fail(c, concat("has ", c.num_items, " slices instead of ", num_slices));
  std::vector<PreparedItem> items(num_slices);
  std::vector<bool> is_there(num_slices, false);
  for (int64_t i = c.first_item; i < c.first_item + c.num_items; ++i) {
    const PreparedItem item = dataset.item(i);
    const auto slice = static_cast<size_t>(item.slice);
    if (item.slice < 0 || slice >= num_slices || is_there[slice]) fail(c, concat("has slice ", item.slice, " twice, or has no place for it"));
    is_there[slice] = true;
    items[slice] = item;
  }
  for (const PreparedItem& item : items) {
    if (item.height != items[0].height || item.width != items[0].width || item.channels != items[0].channels) fail(c, "has slices of different sizes");
  }
  return items;
}

bool is_uniform(const std::vector<PreparedItem>& items, int axis) {
  return std::all_of(items.begin(), items.end(),
                     [&](const PreparedItem& item) { return item.type == items[0].type && (axis == 2 || item.scaling == items[0].scaling); });
}

// Fewer or more pixels over the same extent: voxels change their size, and the centre of the first one moves.
void fit_size(Volume& volume, size_t axis, int64_t size) {
  if (volume.size[axis] == size) return;
  const double spacing_mm = volume.spacing_mm[axis] * static_cast<double>(volume.size[axis]) / static_cast<double>(size);
  for (size_t row = 0; row < 3; ++row) volume.origin_mm[row] += volume.direction[3 * row + axis] * (spacing_mm - volume.spacing_mm[axis]) / 2;
  volume.spacing_mm[axis] = spacing_mm;
  volume.size[axis] = size;
}

std::vector<std::byte> in_units(const PreparedItem& item, const std::vector<std::byte>& stored) {
  std::vector<std::byte> bytes(static_cast<size_t>(item.height * item.width * item.channels) * sizeof(float));
  auto* to = reinterpret_cast<float*>(bytes.data());
  visit(item.type, [&]<class T>(T) {
    const T* from = reinterpret_cast<const T*>(stored.data());
    for (int64_t i = 0; i < item.height * item.width * item.channels; ++i)
      to[i] = static_cast<float>(item.scaling.slope * static_cast<double>(from[i]) + item.scaling.intercept);
  });
  return bytes;
}

void put_slice(const std::vector<std::byte>& pixels, int axis, int64_t index, Volume& volume) {
  const std::array<int64_t, 3> stride{1, volume.size[0], volume.size[0] * volume.size[1]};
  const size_t column_axis = axis == 0 ? 1 : 0, row_axis = axis == 2 ? 1 : 2;
  const auto voxel_bytes = static_cast<int64_t>(size_of(volume.type)) * volume.channels;
  const std::byte* from = pixels.data();
  for (int64_t row = 0; row < volume.size[row_axis]; ++row) {
    for (int64_t column = 0; column < volume.size[column_axis]; ++column, from += voxel_bytes) {
      const int64_t voxel = index * stride[static_cast<size_t>(axis)] + row * stride[row_axis] + column * stride[column_axis];
      std::memcpy(volume.stored.data() + voxel * voxel_bytes, from, static_cast<size_t>(voxel_bytes));
    }
  }
}

}  // namespace

Volume read_prepared_case(const PreparedDataset& dataset, int64_t case_number) {
  const PreparedCase c = dataset.read_case(case_number);
  if (!c.failure.empty()) throw Error(ExitCode::data, concat("case '", c.name, "' could not be prepared: ", c.failure));
  const auto axis = static_cast<size_t>(c.axis);
  if (axis > 2 || c.size[axis] < 1) fail(c, "does not say its size");
  const std::vector<PreparedItem> items = items_of(dataset, c, static_cast<size_t>(c.size[axis]));
  const bool is_stored = is_uniform(items, c.axis);

  Volume volume;
  volume.size = c.size;
  volume.spacing_mm = c.spacing_mm;
  volume.origin_mm = c.origin_mm;
  volume.direction = c.direction;
  fit_size(volume, axis == 0 ? 1 : 0, items[0].width);
  fit_size(volume, axis == 2 ? 1 : 2, items[0].height);
  volume.channels = items[0].channels;
  volume.modality = c.modality;
  volume.units = dataset.info().intensity == "native" ? c.units : Units::raw;
  volume.stored_max = items[0].stored_max;
  volume.type = is_stored ? items[0].type : StoredType::f32;
  volume.stored.resize(static_cast<size_t>(volume.num_values()) * size_of(volume.type));
  volume.scaling.clear();
  std::vector<std::byte> pixels;
  for (const PreparedItem& item : items) {
    pixels.resize(item.pixel_bytes());
    dataset.decode(item, pixels.data());
    put_slice(is_stored ? pixels : in_units(item, pixels), c.axis, item.slice, volume);
    volume.scaling.push_back(is_stored ? item.scaling : Scaling{});
  }
  if (std::all_of(volume.scaling.begin(), volume.scaling.end(), [&](const Scaling& s) { return s == volume.scaling[0]; })) volume.scaling.resize(1);
  return volume;
}

}  // namespace vmae::io
