// A prepared case put back together.
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/prepared/prepared.h"
#include "vmae/prepared/writer.h"

namespace vmae::io {
namespace {

using test::contains;
using test::error_of;
using test::TempFolder;

Volume made_up_volume(StoredType type, int64_t channels) {
  Volume volume;
  volume.size = {5, 4, 3};
  volume.channels = channels;
  volume.spacing_mm = {0.7, 0.9, 2.5};
  volume.origin_mm = {-10, 20.5, 30};
  volume.direction = {0, 1, 0, -1, 0, 0, 0, 0, 1};
  volume.modality = "CT";
  volume.units = Units::hu;
  volume.type = type;
  volume.scaling = {{2, -1024}};
  volume.stored_max = 7;
  volume.stored.resize(static_cast<size_t>(volume.num_values()) * size_of(type));
  visit(type, [&]<class T>(T) {
    for (int64_t i = 0; i < volume.num_values(); ++i)
      reinterpret_cast<T*>(volume.stored.data())[i] = static_cast<T>((i * 37) % 120);
  });
  return volume;
}

PreparedItem item_of(const Volume& volume, int axis, int64_t slice, std::vector<std::byte>& pixels) {
  PreparedItem item;
  stored_slice_of(volume, axis, slice, pixels);
  item.slice = slice;
  item.height = volume.size[axis == 2 ? 1 : 2];
  item.width = volume.size[axis == 0 ? 1 : 0];
  item.channels = volume.channels;
  item.type = volume.type;
  item.scaling = volume.scaling_of(axis == 2 ? slice : 0);
  item.stored_max = volume.stored_max;
  return item;
}

PackedItem packed(const Volume& volume, int axis, int64_t slice) {
  std::vector<std::byte> pixels;
  const PreparedItem item = item_of(volume, axis, slice, pixels);
  return pack_item(item, pixels, {}, 0);
}

std::vector<PackedItem> slices_of(const Volume& volume, int axis) {
  std::vector<PackedItem> items;
  // any order
  for (int64_t i = volume.size[static_cast<size_t>(axis)] - 1; i >= 0; --i) items.push_back(packed(volume, axis, i));
  return items;
}

PreparedCase case_of(const Volume& volume, int axis) {
  PreparedCase c;
  c.name = "one";
  c.axis = axis;
  c.size = volume.size;
  c.spacing_mm = volume.spacing_mm;
  c.origin_mm = volume.origin_mm;
  c.direction = volume.direction;
  c.modality = volume.modality;
  c.units = volume.units;
  return c;
}

// Case 0 of a dataset that holds it alone.
Volume through_dataset(PreparedCase c, const std::vector<PackedItem>& items, const std::string& intensity = "native") {
  const TempFolder folder;
  c.items_sha256 = items_digest(items);
  ShardWriter shard(folder / "shard-0.mdb", 0);
  shard.add(c, items);
  shard.commit();
  PreparedInfo info;
  info.shards = {{"shard-0.mdb", 0, 1, 0, 0}};
  info.intensity = intensity;
  write_index(folder.path(), complete_info(folder.path(), info));
  return read_prepared_case(PreparedDataset(folder.path()), 0);
}

TEST(PreparedCase, IsTheVolumeThatItWasCutFrom) {
  for (const StoredType type : {StoredType::u8, StoredType::i16, StoredType::f32, StoredType::f64}) {
    for (const int64_t channels : {1, 3}) {
      for (const int axis : {0, 1, 2}) {
        SCOPED_TRACE(name_of(type) + " along " + std::to_string(axis));
        const Volume volume = made_up_volume(type, channels),
                     back = through_dataset(case_of(volume, axis), slices_of(volume, axis));
        EXPECT_EQ(back.size, volume.size);
        EXPECT_EQ(back.channels, volume.channels);
        EXPECT_EQ(back.spacing_mm, volume.spacing_mm);
        EXPECT_EQ(back.origin_mm, volume.origin_mm);
        EXPECT_EQ(back.direction, volume.direction);
        EXPECT_EQ(back.modality, "CT");
        EXPECT_EQ(back.units, Units::hu);
        EXPECT_EQ(back.type, volume.type);
        EXPECT_EQ(back.stored, volume.stored);
        EXPECT_EQ(back.scaling, volume.scaling);
        EXPECT_EQ(back.stored_max, 7);
      }
    }
  }
}

TEST(PreparedCase, ScalingsOfSlices) {
  Volume volume = made_up_volume(StoredType::i16, 1);
  volume.scaling = {{1, 0}, {0.5, 3}, {2, -1}};
  const Volume back = through_dataset(case_of(volume, 2), slices_of(volume, 2));
  EXPECT_EQ(back.scaling, volume.scaling);
  EXPECT_EQ(back.stored, volume.stored);
  // Across z, one scaling must do: numbers in units.
  const Volume plain = made_up_volume(StoredType::i16, 1);
  std::vector<PackedItem> items;
  for (int64_t i = 0; i < 5; ++i) {
    Volume scaled = plain;
    scaled.scaling = {{1, static_cast<double>(100 * i)}};
    items.push_back(packed(scaled, 0, i));
  }
  const Volume in_units = through_dataset(case_of(plain, 0), items);
  EXPECT_EQ(in_units.type, StoredType::f32);
  EXPECT_EQ(in_units.scaling, std::vector<Scaling>{{}});
  const std::vector<float> found = values(in_units);
  for (size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i], static_cast<float>((i * 37) % 120 + 100 * (i % 5)));
}

TEST(PreparedCase, ResizedSlicesCoverTheSamePlace) {
  const Volume volume = made_up_volume(StoredType::u8, 1);
  Volume resized = volume;
  resized.size = {10, 2, 3};
  resized.stored.resize(60);
  const Volume back = through_dataset(case_of(volume, 2), slices_of(resized, 2), "window");
  EXPECT_EQ(back.size, resized.size);
  EXPECT_EQ(back.stored, resized.stored);
  EXPECT_EQ(back.units, Units::raw);
  EXPECT_DOUBLE_EQ(back.spacing_mm[0], 0.35);
  EXPECT_DOUBLE_EQ(back.spacing_mm[1], 1.8);
  EXPECT_DOUBLE_EQ(back.spacing_mm[2], 2.5);
  // The first voxel begins where it did: x goes to -y of the patient, y to x.
  EXPECT_DOUBLE_EQ(back.origin_mm[0], -10 + (1.8 - 0.9) / 2);
  EXPECT_DOUBLE_EQ(back.origin_mm[1], 20.5 - (0.35 - 0.7) / 2);
  EXPECT_DOUBLE_EQ(back.origin_mm[2], 30);
}

TEST(PreparedCase, DamagedOnesAreErrors) {
  const Volume volume = made_up_volume(StoredType::u8, 1);
  const auto what = [&](const PreparedCase& c, const std::vector<PackedItem>& items) {
    const Error error = error_of([&] { through_dataset(c, items); });
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_TRUE(contains(error.what(), "'one'"));
    return std::string(error.what());
  };
  std::vector<PackedItem> items = slices_of(volume, 2);
  items.pop_back();
  EXPECT_TRUE(contains(what(case_of(volume, 2), items), "2 slices instead of 3"));
  items.push_back(items[0]);
  EXPECT_TRUE(contains(what(case_of(volume, 2), items), "twice"));
  items.back() = packed(volume, 1, 0);
  EXPECT_TRUE(contains(what(case_of(volume, 2), items), "different sizes"));
  PreparedCase failed = case_of(volume, 2);
  failed.failure = "is cut off";
  EXPECT_TRUE(contains(what(failed, {}), "is cut off"));
}

}  // namespace
}  // namespace vmae::io
