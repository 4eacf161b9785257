// Label maps of every format by themselves, and on each other's grids.
#include "vmae/cases/read_label_map.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/errors.h"
#include "support/seg_cases.h"
#include "support/temp_folder.h"
#include "support/write_cases.h"
#include "vmae/cases/read_image.h"
#include "vmae/cases/write_labels.h"
#include "vmae/image/picture.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;

// Oblique, nothing equal along two axes.
Volume grid() {
  Volume image;
  image.size = {7, 6, 5};
  image.spacing_mm = {0.75, 0.5, 2.5};
  image.origin_mm = {-12.25, 56.5, 3};
  image.direction = {0.36, 0.48, -0.8, -0.8, 0.6, 0, 0.48, 0.64, 0.6};
  return image;
}

LabelMap map_of(const Volume& image, const std::vector<uint8_t>& labels) {
  return {.size = image.size,
          .spacing_mm = image.spacing_mm,
          .origin_mm = image.origin_mm,
          .direction = image.direction,
          .labels = labels};
}

LabelMap made_up() { return map_of(grid(), test::made_up_labels(grid(), 3)); }

class LabelMaps : public ::testing::Test {
 protected:
  void expect_refused(const fs::path& file, const std::string& why) const {
    const Error error = error_of([&] { read_label_map(file); });
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_TRUE(contains(error.what(), file.string()));
    EXPECT_TRUE(contains(error.what(), why));
  }
  fs::path write_png(const Image& image) const { return folder_.write("map.png", encode_png(image)); }

  test::TempFolder folder_;
};

TEST_F(LabelMaps, VolumesComeBack) {
  const LabelMap expected = made_up();
  for (const char* name : {"a.nii", "a.nii.gz", "a.nrrd", "a.mha"}) {
    SCOPED_TRACE(name);
    write_label_volume(folder_ / name, {folder_ / "none.mha", ""}, grid(), expected.labels);
    const LabelMap map = read_label_map(folder_ / name);
    EXPECT_EQ(map.size, expected.size);
    EXPECT_EQ(map.labels, expected.labels);
    EXPECT_TRUE(map.has_millimetres);
    EXPECT_TRUE(map.names.empty());
    EXPECT_EQ(grid_difference(map, expected), "");
    for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(map.origin_mm[i], expected.origin_mm[i], 1e-5);
  }
}

TEST_F(LabelMaps, PicturesComeBack) {
  const std::vector<uint8_t> labels{0, 1, 2, 3, 4, 255};
  write_label_png(folder_ / "a.png", 2, 3, labels);
  const LabelMap map = read_label_map(folder_ / "a.png");
  EXPECT_EQ(map.size, (std::array<int64_t, 3>{3, 2, 1}));
  EXPECT_EQ(map.labels, labels);
  EXPECT_FALSE(map.has_millimetres);
  // the dataset says what it is
  EXPECT_EQ(read_label_map(write_png({1, 3, 1, {0, 255, 0}, 255})).labels, (std::vector<uint8_t>{0, 255, 0}));
  // grey in three channels
  EXPECT_EQ(read_label_map(write_png({1, 2, 3, {5, 5, 5, 0, 0, 0}, 255})).labels, (std::vector<uint8_t>{5, 0}));
}

TEST_F(LabelMaps, WhatIsNoLabelMap) {
  const auto write = [&]<class T>(T value) { return folder_.write("a.nii", test::nifti<T>({2, 1, 1}, {T{1}, value})); };
  expect_refused(write(int16_t{256}), "holds the value 256");
  expect_refused(write(int16_t{-1}), "holds the value -1");
  expect_refused(write(1.5F), "holds the value 1.5");
  expect_refused(write(std::nanf("")), "holds the value nan");
  expect_refused(write_png({1, 2, 3, {1, 2, 3, 0, 0, 0}, 255}), "colour");
  expect_refused(folder_.write("times.nii", test::nifti<uint8_t>({2, 1, 1, 2}, {0, 1, 0, 1})), "holds 2 volumes");
  expect_refused(folder_.write("a.txt", "1 2 3"), "unknown type");
  expect_refused(folder_ / "none.nii", "does not exist");
  expect_refused(folder_.path(), "folder");
}

TEST_F(LabelMaps, DifferencesOfGridsInWords) {
  const LabelMap map = made_up();
  const auto difference = [&](const auto& change) {
    LabelMap changed = map;
    change(changed);
    return grid_difference(changed, map);
  };
  EXPECT_EQ(difference([](LabelMap&) {}), "");
  EXPECT_EQ(difference([](LabelMap& m) { m.size[2] = 4; }), "7 x 6 x 4 voxels against 7 x 6 x 5");
  EXPECT_TRUE(contains(difference([](LabelMap& m) { m.spacing_mm[1] = 0.51; }), "axis 1: spacing 0.51 mm (other 0.5)"));
  EXPECT_EQ(difference([](LabelMap& m) { m.spacing_mm[1] = 0.504; }), "");
  // A tenth of 2.5 mm along the third axis, which mostly is the patient's first.
  const auto shift = [](LabelMap& m, size_t axis, double mm) {
    for (size_t row = 0; row < 3; ++row) m.origin_mm[row] += mm * m.direction[3 * row + axis];
  };
  EXPECT_EQ(difference([&](LabelMap& m) { shift(m, 2, 0.24); }), "");
  EXPECT_TRUE(contains(difference([&](LabelMap& m) { shift(m, 2, -0.26); }),
                       "axis 2: spacing 2.5 mm (other 2.5), origin -0.26 mm from that of the other"));
  EXPECT_TRUE(contains(difference([&](LabelMap& m) { shift(m, 1, 0.06); }), "axis 1"));
  EXPECT_TRUE(contains(difference([](LabelMap& m) { m.origin_mm[1] = NAN; }), "axis"));
  EXPECT_TRUE(contains(difference([](LabelMap& m) { m.direction = {1, 0, 0, 0, 1, 0, 0, 0, 1}; }),
                       "cosine between the axes 0.36"));
  EXPECT_EQ(difference([](LabelMap& m) {
              m.has_millimetres = false;
              m.spacing_mm = {1, 1, 1};
            }),
            "");
}

// x and z exchanged, y flipped, and only a part: the labels must land where they came from.
TEST_F(LabelMaps, PartsTurnedAndFlippedFindTheirPlace) {
  const LabelMap whole = made_up();
  LabelMap part{.size = {3, 4, 5}, .spacing_mm = {2.5, 0.5, 0.75}};
  const std::array<int64_t, 3> corner{1, 5, 1};  // in the whole; part (x, y, z) is whole (1 + z, 5 - y, 1 + x)
  for (size_t row = 0; row < 3; ++row) {
    part.direction[3 * row] = whole.direction[3 * row + 2];
    part.direction[3 * row + 1] = -whole.direction[3 * row + 1];
    part.direction[3 * row + 2] = whole.direction[3 * row];
    part.origin_mm[row] = whole.origin_mm[row];
    for (size_t axis = 0; axis < 3; ++axis)
      part.origin_mm[row] +=
          static_cast<double>(corner[axis]) * whole.spacing_mm[axis] * whole.direction[3 * row + axis];
  }
  std::vector<uint8_t> expected(whole.labels.size(), 0);
  for (int64_t z = 0; z < 5; ++z) {
    for (int64_t y = 0; y < 4; ++y) {
      for (int64_t x = 0; x < 3; ++x) {
        const auto at = static_cast<size_t>(1 + z + 7 * (5 - y + 6 * (1 + x)));
        part.labels.push_back(whole.labels[at]);
        expected[at] = whole.labels[at];
      }
    }
  }
  const LabelMap placed = onto_grid(part, whole);
  EXPECT_EQ(placed.labels, expected);
  EXPECT_EQ(grid_difference(placed, whole), "");
  EXPECT_EQ(onto_grid(whole, whole).labels, whole.labels);
  const auto [both, reference] = onto_common_grid(part, whole);
  EXPECT_EQ(both.labels, expected);
  EXPECT_EQ(reference.labels, whole.labels);
  // The other way round the grid of the part grows to hold all.
  const auto [back, grown] = onto_common_grid(whole, part);
  EXPECT_EQ(grid_difference(back, grown), "");
  EXPECT_EQ(onto_grid(back, whole).labels, whole.labels);
  EXPECT_EQ(onto_grid(grown, whole).labels, expected);
}

TEST_F(LabelMaps, WhatDoesNotFitIsRefused) {
  const LabelMap whole = made_up();
  const auto expect_error = [&](const LabelMap& map, const std::string& why, bool has_common) {
    const Error error = error_of([&] { onto_grid(map, whole); });
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_TRUE(contains(error.what(), why));
    if (has_common) {
      EXPECT_NO_THROW(onto_common_grid(map, whole));
    } else {
      EXPECT_EQ(error_of([&] { onto_common_grid(map, whole); }).code(), ExitCode::data);
    }
  };
  LabelMap map = whole;
  map.spacing_mm[0] = 0.8;
  expect_error(map, "axis 0", false);
  map = whole;
  // one voxel further
  for (size_t row = 0; row < 3; ++row) map.origin_mm[row] += whole.spacing_mm[0] * whole.direction[3 * row];
  expect_error(map, "axis 0", true);
  for (size_t row = 0; row < 3; ++row) map.origin_mm[row] += 0.5 * whole.spacing_mm[0] * whole.direction[3 * row];
  expect_error(map, "axis 0", false);
  for (size_t row = 0; row < 3; ++row) map.origin_mm[row] += 10000.5 * whole.spacing_mm[0] * whole.direction[3 * row];
  expect_error(map, "axis 0", false);
  map = whole;
  map.size = {7, 5, 6};
  map.has_millimetres = false;
  expect_error(map, "7 x 5 x 6 voxels against 7 x 6 x 5", false);
}

}  // namespace
}  // namespace vmae::io
