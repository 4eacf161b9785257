#include "vmae/image/image.h"

#include <gtest/gtest.h>

#include <cstring>

#include "vmae/image/resize.h"

namespace vmae::io {
namespace {

TEST(SliceAxis, IsTheOneWithTheLargestSpacing) {
  EXPECT_EQ(slice_axis({{512, 512, 40}, {0.7, 0.7, 5}}), 2);
  EXPECT_EQ(slice_axis({{20, 256, 256}, {6, 1, 1}}), 0);
  EXPECT_EQ(slice_axis({{256, 20, 256}, {1, 6, 1}}), 1);
}

TEST(SliceAxis, AmongEqualsTheSquarestSlicesThenZ) {
  EXPECT_EQ(slice_axis({{100, 100, 100}, {1, 1, 1}}), 2);
  EXPECT_EQ(slice_axis({{180, 256, 256}, {1, 1, 1}}), 0);
  EXPECT_EQ(slice_axis({{256, 180, 256}, {1, 1.005, 1}}), 1);
}

TEST(SliceAxis, IsTheFlatOneOf2DImages) {
  EXPECT_EQ(slice_axis({{512, 300, 1}, {2, 2, 1}}), 2);
  EXPECT_EQ(slice_axis({{1, 300, 512}, {1, 2, 2}}), 0);
}

TEST(SliceAxis, IsOneForADataset) {
  const VolumeHeader axial{{512, 512, 40}, {0.7, 0.7, 5}}, sagittal{{20, 256, 256}, {6, 1, 1}},
      flat{{64, 64, 1}, {1, 1, 1}};
  const VolumeHeader cube{{100, 100, 100}, {1, 1, 1}}, narrow_x{{180, 256, 256}, {1, 1, 1}},
      narrow_y{{256, 180, 256}, {1, 1, 1}};
  EXPECT_EQ(common_slice_axis({axial, axial, sagittal}).axis, 2);
  EXPECT_EQ(common_slice_axis({sagittal, axial, sagittal, flat}).axis, 0);
  // as coarse along all: what most would have by themselves
  EXPECT_EQ(common_slice_axis({narrow_x, narrow_y, narrow_y}).axis, 1);
  EXPECT_EQ(common_slice_axis({narrow_x, narrow_y}).axis, 1);
  EXPECT_EQ(common_slice_axis({narrow_x, cube}).axis, 2);
  EXPECT_EQ(common_slice_axis({narrow_x, narrow_x, axial}).axis, 2);  // the only one that is coarsest in all
  EXPECT_EQ(common_slice_axis({flat}).axis, -1);
  const CommonAxis common = common_slice_axis({axial, axial, sagittal, flat});
  EXPECT_EQ(common.num_volumes, 3);
  EXPECT_EQ(common.num_coarsest, 2);
  EXPECT_EQ(slice_axis(flat, "y"), 2);
  EXPECT_EQ(slice_axis(axial, "y"), 1);
  EXPECT_EQ(slice_axis(axial, "auto"), 2);
}

// voxel (x, y, z) holds 100 z + 10 y + x
Volume numbered_volume() {
  Volume volume;
  volume.size = {2, 3, 4};
  std::vector<float> voxels;
  for (int z = 0; z < 4; ++z) {
    for (int y = 0; y < 3; ++y) {
      for (int x = 0; x < 2; ++x) voxels.push_back(static_cast<float>(100 * z + 10 * y + x));
    }
  }
  volume.stored.resize(voxels.size() * sizeof(float));
  std::memcpy(volume.stored.data(), voxels.data(), volume.stored.size());
  return volume;
}

TEST(Slice, FollowsTheOrientationOfTheHeader) {
  const Volume volume = numbered_volume();
  const Image z = slice_of(volume, 2, 3), y = slice_of(volume, 1, 2), x = slice_of(volume, 0, 1);
  EXPECT_EQ(z.height, 3);
  EXPECT_EQ(z.width, 2);
  EXPECT_EQ(z.pixels, (std::vector<float>{300, 301, 310, 311, 320, 321}));
  EXPECT_EQ(y.height, 4);
  EXPECT_EQ(y.width, 2);
  EXPECT_EQ(y.pixels, (std::vector<float>{20, 21, 120, 121, 220, 221, 320, 321}));
  EXPECT_EQ(x.height, 4);
  EXPECT_EQ(x.width, 3);
  EXPECT_EQ(x.pixels, (std::vector<float>{1, 11, 21, 101, 111, 121, 201, 211, 221, 301, 311, 321}));
  EXPECT_EQ(x.channels, 1);
  EXPECT_EQ(x.stored_max, 0.0);
}

TEST(Slice, StoredNumbersAndTheirScaling) {
  Volume volume;
  volume.size = {1, 2, 2};
  volume.channels = 3;
  volume.type = StoredType::i16;
  volume.stored_max = 255;
  const std::vector<int16_t> stored{1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6};
  volume.stored.resize(stored.size() * 2);
  std::memcpy(volume.stored.data(), stored.data(), volume.stored.size());
  volume.scaling = {{2, 0}, {1, 100}};  // per z, as in PET
  EXPECT_EQ(slice_of(volume, 2, 0).pixels, (std::vector<float>{2, 4, 6, 8, 10, 12}));
  EXPECT_EQ(slice_of(volume, 2, 1).pixels, (std::vector<float>{99, 98, 97, 96, 95, 94}));
  EXPECT_EQ(slice_of(volume, 1, 1).pixels, (std::vector<float>{8, 10, 12, 96, 95, 94}));
  EXPECT_EQ(slice_of(volume, 2, 0).stored_max, 255);
  EXPECT_EQ(values(volume), (std::vector<float>{2, 4, 6, 8, 10, 12, 99, 98, 97, 96, 95, 94}));
  std::vector<std::byte> slice;
  stored_slice_of(volume, 1, 1, slice);
  const std::vector<int16_t> expected{4, 5, 6, -4, -5, -6};
  ASSERT_EQ(slice.size(), 12U);
  EXPECT_EQ(std::memcmp(slice.data(), expected.data(), 12), 0);
}

TEST(Resize, ShrinksByAreas) {
  const std::vector<float> from{0, 2, 4, 6, 8, 10, 12, 14};
  std::vector<float> to(2);
  resize(from.data(), {2, 4}, 1, to.data(), {1, 2});
  EXPECT_EQ(to, (std::vector<float>{5, 9}));
}

TEST(Resize, GrowsLinearlyBetweenPixelCentres) {
  const std::vector<float> from{0, 8};
  std::vector<float> to(4);
  resize(from.data(), {1, 2}, 1, to.data(), {1, 4});
  EXPECT_EQ(to, (std::vector<float>{0, 2, 6, 8}));
}

TEST(Resize, ShrinksOneAxisAndGrowsTheOther) {
  const std::vector<float> from{0, 8, 4, 12};  // 2 x 2
  std::vector<float> to(4);
  resize(from.data(), {2, 2}, 1, to.data(), {1, 4});
  EXPECT_EQ(to, (std::vector<float>{2, 4, 8, 10}));
}

TEST(Resize, KeepsChannelsApart) {
  const std::vector<float> from{1, 10, 100, 3, 30, 300};  // 1 x 2 x 3
  std::vector<float> to(3);
  resize(from.data(), {1, 2}, 3, to.data(), {1, 1});
  EXPECT_EQ(to, (std::vector<float>{2, 20, 200}));
}

}  // namespace
}  // namespace vmae::io
