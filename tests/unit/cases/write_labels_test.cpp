#include "vmae/cases/write_labels.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/errors.h"
#include "support/full_disk.h"
#include "support/images.h"
#include "support/temp_folder.h"
#include "support/write_cases.h"
#include "vmae/cases/read_image.h"
#include "vmae/image/picture.h"
#include "vmae/volume/volume.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::NiftiCase;
using test::TempFolder;

void expect_same_grid(const Volume& a, const Volume& b, double tolerance) {
  EXPECT_EQ(a.size, b.size);
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(a.spacing_mm[i], b.spacing_mm[i], tolerance);
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(a.origin_mm[i], b.origin_mm[i], 100 * tolerance);
  for (size_t i = 0; i < 9; ++i) EXPECT_NEAR(a.direction[i], b.direction[i], tolerance);
}

std::vector<uint8_t> labels_of(const Volume& volume) {
  const std::vector<float> stored = values(volume);
  return {stored.begin(), stored.end()};
}

// A grid that no axis of the patient is parallel to; left-handed with `is_flipped`.
Volume oblique_grid(bool is_flipped) {
  Volume image;
  image.size = {4, 3, 2};
  image.spacing_mm = {0.7, 1.0 / 3, 2.5};
  image.origin_mm = {-12.34, 56.78, 1e-3};
  image.direction = {0.36, 0.48, -0.8, -0.8, 0.6, 0, 0.48, 0.64, 0.6};
  if (is_flipped) {
    for (const size_t i : {2, 5, 8}) image.direction[i] = -image.direction[i];
  }
  return image;
}

TEST(WriteLabels, NiftiKeepsTheGeometryOfItsInputBitForBit) {
  const TempFolder folder;
  for (const NiftiCase& input : test::nifti_cases()) {
    for (const char* ending : {".nii", ".NII.GZ"}) {
      SCOPED_TRACE(input.name + ending);
      const SourceFile file{folder.write(input.name + ".nii", input.bytes), input.name, "", "", {}, input.time_point};
      const Volume image = read_image(file);
      const std::vector<uint8_t> labels = test::made_up_labels(image, 3);
      const fs::path output = folder / ("labels" + std::string(ending));
      write_label_volume(output, file, image, labels);
      const Volume back = read_volume(output);
      EXPECT_EQ(back.type, StoredType::u8);
      EXPECT_EQ(labels_of(back), labels);
      expect_same_grid(back, image, 0);
      if (output.extension() != ".nii") continue;
      const std::string header = test::slurp(output).substr(0, 352);
      // 40 dim, 76 pixdim, 123 units, 252 codes, 256 quaternion and offset, 280 matrix.
      EXPECT_EQ(header.substr(42, 6), input.little_endian.substr(42, 6));
      EXPECT_EQ(header.substr(76, 16), input.little_endian.substr(76, 16));
      EXPECT_EQ(header.substr(123, 1), input.little_endian.substr(123, 1));
      EXPECT_EQ(header.substr(252, 76), input.little_endian.substr(252, 76));
      EXPECT_EQ(header.substr(344), std::string("n+1\0\0\0\0\0", 8));
      EXPECT_EQ(header[40], input.name == "flat" ? 2 : 3);
      EXPECT_FALSE(contains(header, "Zebedee"));  // in every text field of the input
      EXPECT_EQ(fs::file_size(output), 352 + labels.size());
    }
  }
}

TEST(WriteLabels, GeometryOfWhatWasNotNifti) {
  const TempFolder folder;
  for (const bool is_flipped : {false, true}) {
    const Volume image = oblique_grid(is_flipped);
    const std::vector<uint8_t> labels = test::made_up_labels(image, 2);
    for (const char* ending : {".nii", ".nii.gz", ".nrrd", ".mha"}) {
      SCOPED_TRACE(std::string(ending) + (is_flipped ? " flipped" : ""));
      const fs::path output = folder / ("map" + std::string(ending));
      write_label_volume(output, {folder / "picture.png"}, image, labels);
      const Volume back = read_volume(output);
      EXPECT_EQ(labels_of(back), labels);
      EXPECT_EQ(back.type, StoredType::u8);
      const bool has_floats = contains(ending, ".nii");
      expect_same_grid(back, image, has_floats ? 1e-6 : 1e-15);
    }
  }
}

// Rotations by half a turn and near it, where parts of the quaternion are 0.
TEST(WriteLabels, QuaternionsOfAllQuadrants) {
  const TempFolder folder;
  for (int i = 0; i < 64; ++i) {
    const double a = (i % 4) * M_PI / 2, b = (i / 4 % 4) * M_PI / 2, c = (i / 16) * M_PI / 2 + (i % 3) * 0.1;
    Volume image = oblique_grid(false);
    image.direction = {cos(a) * cos(b),
                       cos(a) * sin(b) * sin(c) - sin(a) * cos(c),
                       cos(a) * sin(b) * cos(c) + sin(a) * sin(c),
                       sin(a) * cos(b),
                       sin(a) * sin(b) * sin(c) + cos(a) * cos(c),
                       sin(a) * sin(b) * cos(c) - cos(a) * sin(c),
                       -sin(b),
                       cos(b) * sin(c),
                       cos(b) * cos(c)};
    write_label_volume(folder / "map.nii", {}, image, std::vector<uint8_t>(24));
    std::string bytes = test::slurp(folder / "map.nii");
    for (const size_t code : {252U, 254U}) {  // each of the two by itself
      std::string one = bytes;
      one[code] = 0;
      expect_same_grid(read_volume(folder.write("one.nii", one)), image, 2e-6);
    }
  }
}

TEST(WriteLabels, Probabilities) {
  const TempFolder folder;
  const Volume image = oblique_grid(false);
  std::vector<float> probabilities(24);
  for (size_t i = 0; i < probabilities.size(); ++i) probabilities[i] = 1.0F / static_cast<float>(i + 1);
  for (const char* name : {"p.nii", "p.nii.gz", "p.nrrd", "p.mha"}) {
    write_float_volume(folder / name, {}, image, probabilities);
    const Volume back = read_volume(folder / name);
    EXPECT_EQ(back.type, StoredType::f32) << name;
    EXPECT_EQ(values(back), probabilities) << name;
  }
}

TEST(WriteLabels, SameBytesEachTime) {
  const TempFolder folder;
  const Volume image = oblique_grid(false);
  const std::vector<uint8_t> labels = test::made_up_labels(image, 2);
  for (const std::string ending : {".nii.gz", ".nrrd", ".mha"}) {
    write_label_volume(folder / ("a" + ending), {}, image, labels);
    write_label_volume(folder / ("b" + ending), {}, image, labels);
    EXPECT_EQ(test::slurp(folder / ("a" + ending)), test::slurp(folder / ("b" + ending)));
  }
}

// The old file stays, and nothing else is left behind.
TEST(WriteLabels, AFullDiskLeavesTheOldFile) {
  const TempFolder folder;
  Volume image = oblique_grid(false);
  image.size = {40, 30, 20};
  std::vector<uint8_t> labels(24000);
  uint32_t random = 1;
  // does not compress
  for (uint8_t& label : labels) label = static_cast<uint8_t>((random = random * 1664525U + 1013904223U) >> 24);
  for (const char* name : {"map.nii", "map.nii.gz", "map.nrrd", "map.mha", "map.png", "map.tif"}) {
    const fs::path output = folder.write(name, "old");
    const auto write = [&] {
      if (output.extension() == ".png") return write_label_png(output, 100, 240, labels);
      if (output.extension() == ".tif") return write_label_stack(output, image.size, {}, labels);
      write_label_volume(output, {}, image, labels);
    };
    EXPECT_EXIT(test::end_on_full_disk(write, name), ::testing::ExitedWithCode(42), "");
    EXPECT_TRUE(test::slurp(output) == "old") << name;
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 6);
}

TEST(WriteLabels, Pictures) {
  const TempFolder folder;
  const std::vector<uint8_t> labels{0, 1, 2, 3, 254, 255};
  write_label_png(folder / "map.png", 2, 3, labels);
  const Image back = read_picture(folder / "map.png");
  EXPECT_EQ(back.height, 2);
  EXPECT_EQ(back.width, 3);
  EXPECT_EQ(back.channels, 1);
  EXPECT_EQ(back.pixels, (std::vector<float>{0, 1, 2, 3, 254, 255}));
  EXPECT_EQ(error_of([&] { write_label_png(folder / "x.png", 2, 2, labels); }).code(), ExitCode::internal);
}

TEST(WriteLabels, Stacks) {
  const TempFolder folder;
  const std::vector<uint8_t> labels{0, 1, 2, 3, 254, 255, 7, 8, 9, 10, 11, 12};
  write_label_stack(folder / "map.tif", {3, 2, 2}, {{0.5, 0.75, 3}}, labels);
  const LabelPicture back = read_label_picture(folder / "map.tif");
  EXPECT_EQ(back.volume.size, (std::array<int64_t, 3>{3, 2, 2}));
  EXPECT_TRUE(back.has_millimetres);
  for (size_t axis = 0; axis < 3; ++axis)
    EXPECT_NEAR(back.volume.spacing_mm[axis], (std::array{0.5, 0.75, 3.0}[axis]), 1e-6);
  EXPECT_EQ(labels_of(back.volume), labels);
  write_label_stack(folder / "unknown.tif", {3, 2, 2}, {}, labels);
  EXPECT_FALSE(read_label_picture(folder / "unknown.tif").has_millimetres);
  const std::vector<float> floats{0.1F, 0.2F, 0.3F, -1e-20F};
  write_float_stack(folder / "floats.tif", {2, 1, 2}, {}, floats);
  EXPECT_EQ(values(picture_volume(folder / "floats.tif")), floats);
  EXPECT_EQ(error_of([&] { write_label_stack(folder / "x.tif", {3, 2, 3}, {}, labels); }).code(), ExitCode::internal);
}

TEST(WriteLabels, RefusedWithItsReason) {
  const TempFolder folder;
  Volume image = oblique_grid(false);
  const std::vector<uint8_t> labels(24);
  const Error ending = error_of([&] { write_label_volume(folder / "map.mhd", {}, image, labels); });
  EXPECT_EQ(ending.code(), ExitCode::usage);
  EXPECT_TRUE(contains(ending.what(), "map.mhd"));
  EXPECT_EQ(error_of([&] { write_label_volume(folder / "map.nii", {}, image, std::vector<uint8_t>(23)); }).code(),
            ExitCode::internal);
  const Error folder_error = error_of([&] { write_label_volume(folder / "none" / "map.nrrd", {}, image, labels); });
  EXPECT_EQ(folder_error.code(), ExitCode::usage);
  EXPECT_TRUE(contains(folder_error.what(), "none"));
  image.size = {40000, 1, 1};
  EXPECT_EQ(error_of([&] { write_label_volume(folder / "map.nii", {}, image, std::vector<uint8_t>(40000)); }).code(),
            ExitCode::data);
  write_label_volume(folder / "map.mha", {}, image, std::vector<uint8_t>(40000));
  EXPECT_EQ(read_volume(folder / "map.mha").size[0], 40000);
  // Of another file than the image.
  const SourceFile other{folder.write("other.nii", test::nifti<uint8_t>({2, 2, 2}, std::vector<uint8_t>(8)))};
  EXPECT_EQ(error_of([&] { write_label_volume(folder / "map.nii", other, oblique_grid(false), labels); }).code(),
            ExitCode::internal);
}

}  // namespace
}  // namespace vmae::io
