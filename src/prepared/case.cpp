// The inverse of stored_slice_of, for all slices of a case.
#include <algorithm>
#include <cstring>

#include "record.h"
#include "vmae/core/error.h"
#include "vmae/prepared/mask.h"
#include "vmae/prepared/prepared.h"

namespace vmae::io {
namespace {

[[noreturn]] void fail_case(const PreparedCase& c, const std::string& what) {
  throw Error(ExitCode::data, concat("case '", c.name, "' of the prepared dataset ", what),
              "the dataset is damaged; prepare it again");
}

std::vector<PreparedItem> items_of(const PreparedDataset& dataset, const PreparedCase& c, size_t num_slices) {
  if (c.num_items != static_cast<int64_t>(num_slices))
    fail_case(c, concat("has ", c.num_items, " slices instead of ", num_slices));
  std::vector<PreparedItem> items(num_slices);
  std::vector<bool> is_there(num_slices, false);
  for (int64_t i = c.first_item; i < c.first_item + c.num_items; ++i) {
    const PreparedItem item = dataset.item(i);
    const auto slice = static_cast<size_t>(item.slice);
    if (item.slice < 0 || slice >= num_slices || is_there[slice])
      fail_case(c, concat("has slice ", item.slice, " twice, or has no place for it"));
    is_there[slice] = true;
    items[slice] = item;
  }
  for (const PreparedItem& item : items) {
    if (item.height != items[0].height || item.width != items[0].width || item.channels != items[0].channels)
      fail_case(c, "has slices of different sizes");
  }
  return items;
}

bool is_uniform(const std::vector<PreparedItem>& items, int axis) {
  return std::all_of(items.begin(), items.end(), [&](const PreparedItem& item) {
    return item.type == items[0].type && (axis == 2 || item.scaling == items[0].scaling);
  });
}

// Fewer or more pixels over the same extent: voxels change their size,
// and the centre of the first one moves. Grid: Volume or LabelMap.
template <class Grid>
void fit_size(Grid& grid, size_t axis, int64_t size) {
  if (grid.size[axis] == size) return;
  const double spacing_mm = grid.spacing_mm[axis] * static_cast<double>(grid.size[axis]) / static_cast<double>(size);
  for (size_t row = 0; row < 3; ++row)
    grid.origin_mm[row] += grid.direction[3 * row + axis] * (spacing_mm - grid.spacing_mm[axis]) / 2;
  grid.spacing_mm[axis] = spacing_mm;
  grid.size[axis] = size;
}

// The case's slices in their order, and its grid with the pixels that they have.
std::vector<PreparedItem> open_case(const PreparedDataset& dataset, const PreparedCase& c, Volume& grid) {
  if (!c.failure.empty()) throw Error(ExitCode::data, concat("case '", c.name, "' could not be prepared: ", c.failure));
  const auto axis = static_cast<size_t>(c.axis);
  if (axis > 2 || c.size[axis] < 1) fail_case(c, "does not say its size");
  std::vector<PreparedItem> items = items_of(dataset, c, static_cast<size_t>(c.size[axis]));
  grid.size = c.size;
  grid.spacing_mm = c.spacing_mm;
  grid.origin_mm = c.origin_mm;
  grid.direction = c.direction;
  fit_size(grid, column_axis(c.axis), items[0].width);
  fit_size(grid, row_axis(c.axis), items[0].height);
  return items;
}

bool is_picture_case(const PreparedCase& c) {
  return c.axis == 2 && c.size[2] == 1 && c.spacing_mm == PreparedCase{}.spacing_mm &&
         c.origin_mm == PreparedCase{}.origin_mm && c.direction == PreparedCase{}.direction;
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
  const SliceLayout layout(volume.size, axis, index);
  const auto voxel_bytes = static_cast<int64_t>(size_of(volume.type)) * volume.channels;
  const std::byte* from = pixels.data();
  for (int64_t row = 0; row < layout.height; ++row) {
    for (int64_t column = 0; column < layout.width; ++column, from += voxel_bytes) {
      std::byte* const to = volume.stored.data() + layout.voxel(row, column) * voxel_bytes;
      std::memcpy(to, from, static_cast<size_t>(voxel_bytes));
    }
  }
}

}  // namespace

Volume read_prepared_case(const PreparedDataset& dataset, int64_t case_number) {
  const PreparedCase c = dataset.read_case(case_number);
  Volume volume;
  const std::vector<PreparedItem> items = open_case(dataset, c, volume);
  const bool is_stored = is_uniform(items, c.axis);
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
  if (std::all_of(volume.scaling.begin(), volume.scaling.end(),
                  [&](const Scaling& s) { return s == volume.scaling[0]; }))
    volume.scaling.resize(1);
  return volume;
}

bool has_mask(const PreparedDataset& dataset, const PreparedCase& c) {
  return c.num_items > 0 && !dataset.item(c.first_item).mask.empty();
}

bool is_resized(const PreparedDataset& dataset, const PreparedCase& c) {
  if (c.num_items == 0) return false;
  const PreparedItem item = dataset.item(c.first_item);
  return item.width != c.size[column_axis(c.axis)] || item.height != c.size[row_axis(c.axis)];
}

LabelMap read_prepared_mask(const PreparedDataset& dataset, int64_t case_number) {
  const PreparedCase c = dataset.read_case(case_number);
  Volume volume;  // of labels
  const std::vector<PreparedItem> items = open_case(dataset, c, volume);
  volume.type = StoredType::u8;
  volume.channels = 1;
  volume.stored.resize(static_cast<size_t>(volume.num_values()));
  std::vector<std::byte> mask;
  for (const PreparedItem& item : items) {
    if (item.mask.empty())
      throw Error(ExitCode::data, concat("case '", c.name, "' of the prepared dataset has no mask"));
    try {  // decode_mask() leaves that to decode()
      check_item(item.record);
    } catch (const Error& error) {
      fail_case(c, concat("has a damaged slice: ", error.what()));
    }
    mask.resize(item.mask_bytes());
    dataset.decode_mask(item, reinterpret_cast<uint8_t*>(mask.data()));
    put_slice(mask, c.axis, item.slice, volume);
  }
  LabelMap map{volume.size, volume.spacing_mm, volume.origin_mm, volume.direction,
               c.has_millimetres && !is_picture_case(c)};
  if (!map.has_millimetres) {
    map.spacing_mm = LabelMap{}.spacing_mm;
    map.origin_mm = LabelMap{}.origin_mm;
  }
  map.labels.resize(volume.stored.size());
  std::memcpy(map.labels.data(), volume.stored.data(), volume.stored.size());
  return map;
}

std::optional<LabelMap> onto_source_grid(const LabelMap& map, const LabelMap& reference) {
  LabelMap expected{reference.size, reference.spacing_mm, reference.origin_mm, reference.direction,
                    reference.has_millimetres};
  int64_t num_resized = 0;
  for (size_t axis = 0; axis < 3; ++axis) {
    if (map.size[axis] == reference.size[axis]) continue;
    ++num_resized;
    fit_size(expected, axis, map.size[axis]);
  }
  if (num_resized == 0 || num_resized > 2 || !grid_difference(map, expected).empty()) return std::nullopt;
  LabelMap result{
      reference.size, reference.spacing_mm, reference.origin_mm, reference.direction, reference.has_millimetres, {},
      map.names};
  result.labels.reserve(reference.labels.size());
  const auto in_map = [&](size_t axis, int64_t i) { return (2 * i + 1) * map.size[axis] / (2 * reference.size[axis]); };
  for (int64_t z = 0; z < reference.size[2]; ++z) {
    for (int64_t y = 0; y < reference.size[1]; ++y) {
      const int64_t row = (in_map(2, z) * map.size[1] + in_map(1, y)) * map.size[0];
      for (int64_t x = 0; x < reference.size[0]; ++x)
        result.labels.push_back(map.labels[static_cast<size_t>(row + in_map(0, x))]);
    }
  }
  return result;
}

}  // namespace vmae::io
