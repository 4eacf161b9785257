// Masks of a prepared dataset: on the grid that was prepared, and from there on the source's own.
#include "vmae/prepared/mask.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/prepared/writer.h"

namespace vmae::io {
namespace {

using test::contains;
using test::error_of;
using test::TempFolder;

// A case whose slices across `axis` have height x width pixels; slice z, row y, column x holds a label of its own.
struct MadeUp {
  PreparedCase one;
  int64_t height, width;
};

uint8_t label_at(int64_t slice, int64_t row, int64_t column) {
  return static_cast<uint8_t>((slice * 31 + row * 7 + column) % 5);
}

MadeUp made_up(int axis, double scale = 1) {
  MadeUp made;
  made.one.name = "one";
  made.one.axis = axis;
  made.one.size = {8, 6, 4};
  made.one.spacing_mm = {0.5, 0.75, 3};
  made.one.origin_mm = {-10, 20, 30};
  made.one.direction = {0, 1, 0, -1, 0, 0, 0, 0, 1};
  made.width = std::llround(scale * static_cast<double>(made.one.size[axis == 0 ? 1 : 0]));
  made.height = std::llround(scale * static_cast<double>(made.one.size[axis == 2 ? 1 : 2]));
  return made;
}

template <class Use>
void with_dataset(const MadeUp& made, bool has_masks, const Use& use) {
  const TempFolder folder;
  std::vector<PackedItem> items;
  for (int64_t i = 0; i < made.one.size[static_cast<size_t>(made.one.axis)]; ++i) {
    PreparedItem item;
    item.slice = i;
    item.height = made.height;
    item.width = made.width;
    item.channels = 1;
    std::vector<uint8_t> mask;
    for (int64_t row = 0; row < item.height; ++row) {
      for (int64_t column = 0; column < item.width; ++column) mask.push_back(label_at(i, row, column));
    }
    if (!has_masks) mask.clear();
    items.push_back(pack_item(item, std::vector<std::byte>(item.pixel_bytes()), mask, 0));
  }
  PreparedCase one = made.one;
  one.items_sha256 = items_digest(items);
  ShardWriter shard(folder / "shard-0.mdb", 0);
  shard.add(one, items);
  shard.commit();
  PreparedInfo info;
  info.shards = {{"shard-0.mdb", 0, 1, 0, 0}};
  write_index(folder.path(), complete_info(folder.path(), info));
  use(PreparedDataset(folder.path()));
}

TEST(PreparedMask, LiesWhereItsImageLies) {
  for (const int axis : {0, 1, 2}) {
    for (const double scale : {1.0, 0.5, 2.0}) {
      SCOPED_TRACE(testing::Message() << "along " << axis << ", scaled by " << scale);
      const MadeUp made = made_up(axis, scale);
      with_dataset(made, true, [&](const PreparedDataset& dataset) {
        const Volume image = read_prepared_case(dataset, 0);
        const LabelMap map = read_prepared_mask(dataset, 0);
        EXPECT_TRUE(map.has_millimetres);
        EXPECT_EQ(map.size, image.size);
        EXPECT_EQ(map.spacing_mm, image.spacing_mm);
        EXPECT_EQ(map.origin_mm, image.origin_mm);
        EXPECT_EQ(map.direction, image.direction);
        ASSERT_EQ(map.labels.size(), static_cast<size_t>(image.num_values()));
        for (int64_t z = 0; z < map.size[2]; ++z) {
          for (int64_t y = 0; y < map.size[1]; ++y) {
            for (int64_t x = 0; x < map.size[0]; ++x) {
              const uint8_t expected = axis == 0   ? label_at(x, z, y)
                                       : axis == 1 ? label_at(y, z, x)
                                                   : label_at(z, y, x);
              ASSERT_EQ(map.labels[static_cast<size_t>(x + map.size[0] * (y + map.size[1] * z))], expected);
            }
          }
        }
        EXPECT_TRUE(has_mask(dataset, dataset.read_case(0)));
        EXPECT_EQ(is_resized(dataset, dataset.read_case(0)), scale != 1.0);
      });
    }
  }
}

TEST(PreparedMask, PicturesHaveNoMillimetres) {
  MadeUp made = made_up(2, 0.5);
  made.one.size = {8, 6, 1};
  made.one.spacing_mm = {1, 1, 1};
  made.one.origin_mm = {0, 0, 0};
  made.one.direction = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  with_dataset(made, true, [&](const PreparedDataset& dataset) {
    const LabelMap map = read_prepared_mask(dataset, 0);
    EXPECT_FALSE(map.has_millimetres);
    EXPECT_EQ(map.size, (std::array<int64_t, 3>{4, 3, 1}));
    EXPECT_EQ(map.spacing_mm, (std::array<double, 3>{1, 1, 1}));  // pixels, whatever they were before
  });
  made.one.spacing_mm = {0.2, 0.2, 1};  // one slice of a scanner
  with_dataset(made, true,
               [&](const PreparedDataset& dataset) { EXPECT_TRUE(read_prepared_mask(dataset, 0).has_millimetres); });
}

TEST(PreparedMask, ThereIsNone) {
  with_dataset(made_up(2), false, [&](const PreparedDataset& dataset) {
    EXPECT_FALSE(has_mask(dataset, dataset.read_case(0)));
    const Error error = error_of([&] { read_prepared_mask(dataset, 0); });
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_TRUE(contains(error.what(), "'one' of the prepared dataset has no mask"));
  });
}

// What preparation does to masks, undone: the truth's grid with labels of the nearest pixel.
TEST(OntoSourceGrid, TakesTheVoxelThatACentreLiesIn) {
  LabelMap source{{8, 6, 4}, {0.5, 0.75, 3}, {-10, 20, 30}, {0, 1, 0, -1, 0, 0, 0, 0, 1}};
  source.labels.resize(8 * 6 * 4);
  for (const int axis : {0, 1, 2}) {
    for (const double scale : {0.5, 2.0}) {
      SCOPED_TRACE(testing::Message() << "along " << axis << ", scaled by " << scale);
      with_dataset(made_up(axis, scale), true, [&](const PreparedDataset& dataset) {
        const LabelMap map = read_prepared_mask(dataset, 0);
        const std::optional<LabelMap> back = onto_source_grid(map, source);
        ASSERT_TRUE(back);
        EXPECT_EQ(grid_difference(*back, source), "");
        const auto in_map = [&](size_t k, int64_t i) {
          const double ratio = static_cast<double>(map.size[k]) / static_cast<double>(source.size[k]);
          return static_cast<int64_t>((static_cast<double>(i) + 0.5) * ratio);
        };
        for (int64_t z = 0; z < 4; ++z) {
          for (int64_t y = 0; y < 6; ++y) {
            for (int64_t x = 0; x < 8; ++x) {
              const int64_t from = in_map(0, x) + map.size[0] * (in_map(1, y) + map.size[1] * in_map(2, z));
              ASSERT_EQ(back->labels[static_cast<size_t>(x + 8 * (y + 6 * z))], map.labels[static_cast<size_t>(from)]);
            }
          }
        }
      });
    }
  }
}

TEST(OntoSourceGrid, OnlyFromGridsOfTheSameExtent) {
  LabelMap source{{8, 6, 4}, {0.5, 0.75, 3}, {0, 0, 0}};
  source.labels.resize(8 * 6 * 4);
  LabelMap half{{4, 3, 4}, {1, 1.5, 3}, {0.25, 0.375, 0}};
  half.labels.resize(4 * 3 * 4);
  EXPECT_TRUE(onto_source_grid(half, source));
  EXPECT_FALSE(onto_source_grid(source, source)) << "nothing to do";
  for (const auto& change :
       // the centre of the first voxel did not move
       std::vector<std::function<void(LabelMap&)>>{[](LabelMap& map) { map.origin_mm[0] = 0; },
                                                   [](LabelMap& map) { map.spacing_mm[1] = 1.4; },  // another extent
                                                   // flipped
                                                   [](LabelMap& map) { map.direction = {-1, 0, 0, 0, 1, 0, 0, 0, 1}; },
                                                   [](LabelMap& map) {
                                                     map.size[2] = 2;
                                                     map.spacing_mm[2] = 6;
                                                     map.origin_mm[2] = 1.5;
                                                   }}) {  // all three axes
    LabelMap other = half;
    change(other);
    other.labels.resize(static_cast<size_t>(other.size[0] * other.size[1] * other.size[2]));
    EXPECT_FALSE(onto_source_grid(other, source));
  }
}

}  // namespace
}  // namespace vmae::io
