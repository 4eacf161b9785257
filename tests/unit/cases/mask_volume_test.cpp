// Masks of several volumes, channels or layers, beside images of one or several time points.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "support/errors.h"
#include "support/images.h"
#include "support/temp_folder.h"
#include "vmae/cases/read_image.h"
#include "vmae/cases/read_label_map.h"
#include "vmae/cases/time_points.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::nifti;
using test::put;
using test::ramp;
using Bytes = std::vector<uint8_t>;

const std::vector<int16_t> kSize{3, 2, 2};
const Bytes kLabels{0, 1, 2, 0, 0, 3, 3, 0, 2, 2, 1, 0};  // of its voxels

// A volume per class: 1 (or `set`) where kLabels is that class. From 0 on with background.
std::vector<Bytes> channels(bool has_background, uint8_t set = 1) {
  std::vector<Bytes> all;
  for (uint8_t label = has_background ? 0 : 1; label <= 3; ++label) {
    Bytes one;
    for (const uint8_t voxel : kLabels) one.push_back(voxel == label ? set : 0);
    all.push_back(one);
  }
  return all;
}

Bytes joined(const std::vector<Bytes>& volumes) {
  Bytes all;
  for (const Bytes& one : volumes) all.insert(all.end(), one.begin(), one.end());
  return all;
}

// The values of each voxel side by side.
std::string side_by_side(const std::vector<Bytes>& volumes) {
  std::string all;
  for (size_t i = 0; i < volumes[0].size(); ++i) {
    for (const Bytes& one : volumes) all.push_back(static_cast<char>(one[i]));
  }
  return all;
}

std::string nrrd(const std::string& fields, const std::string& voxels) {
  return "NRRD0005\ntype: uint8\n" + fields + "encoding: raw\n\n" + voxels;
}

class MaskVolumes : public ::testing::Test {
 protected:
  fs::path write_nifti(const std::string& name, const std::vector<Bytes>& volumes) {
    std::vector<int16_t> size = kSize;
    if (volumes.size() > 1) size.push_back(static_cast<int16_t>(volumes.size()));
    return folder_.write(name, nifti<uint8_t>(size, joined(volumes)));
  }
  fs::path write_image(int16_t num_time_points) {
    std::vector<int16_t> size = kSize;
    if (num_time_points > 1) size.push_back(num_time_points);
    return folder_.write("image.nii", nifti<int16_t>(size, ramp<int16_t>(static_cast<size_t>(12 * num_time_points))));
  }
  SourceFile file(const fs::path& mask, int16_t num_time_points = 1, int64_t time_point = 0) {
    return {.path = write_image(num_time_points), .name = "image.nii", .time_point = time_point, .mask = mask};
  }
  Bytes mask_of(const SourceFile& file) { return read_mask(file, read_image(file)); }
  void expect_refused(const fs::path& mask, const std::string& why, int16_t num_time_points = 1) {
    const SourceFile one = file(mask, num_time_points);
    const Error error = error_of([&] { mask_of(one); });
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_TRUE(contains(error.what(), mask.filename().string()));
    EXPECT_TRUE(contains(error.what(), why)) << error.what();
  }

  test::TempFolder folder_;
};

TEST_F(MaskVolumes, EachTimePointHasItsOwnMask) {
  const std::vector<Bytes> volumes{kLabels, Bytes(12, 0), Bytes(12, 2)};
  const fs::path mask = write_nifti("mask.nii", volumes);
  for (int64_t t = 0; t < 3; ++t) EXPECT_EQ(mask_of(file(mask, 3, t)), volumes[static_cast<size_t>(t)]);
  // As 3-D masks of a moving thing: never together where one voxel is.
  const std::vector<Bytes> moving = channels(false);
  const fs::path moves = write_nifti("moving.nii", moving);
  for (int64_t t = 0; t < 3; ++t) EXPECT_EQ(mask_of(file(moves, 3, t)), moving[static_cast<size_t>(t)]);
  const std::vector<SourceFile> cases = with_masks_of_time_points({file(moves, 3)});
  ASSERT_EQ(cases.size(), 3U);
  EXPECT_EQ(cases[2].name, "image.nii#t2");
  EXPECT_EQ(read_label_map(cases[2]).labels, moving[2]);
}

TEST_F(MaskVolumes, OneMaskForAllTimePoints) {
  const fs::path mask = write_nifti("mask.nii", {kLabels});
  for (int64_t t = 0; t < 4; ++t) EXPECT_EQ(mask_of(file(mask, 4, t)), kLabels);
  EXPECT_EQ(with_masks_of_time_points({file(mask, 4)}).size(), 1U);
  EXPECT_EQ(with_time_points({file(mask, 4)}).size(), 4U);
  // Four modalities, and a mask of four channels.
  const fs::path one_hot = write_nifti("one_hot.nii", channels(true));
  for (int64_t t = 0; t < 4; ++t) EXPECT_EQ(mask_of(file(one_hot, 4, t)), kLabels);
}

TEST_F(MaskVolumes, ChannelsBecomeTheirClasses) {
  for (const bool has_background : {true, false}) {
    for (const uint8_t set : {uint8_t{1}, uint8_t{255}}) {
      SCOPED_TRACE(concat(has_background ? "with" : "without", " background, ", int{set}));
      const std::vector<Bytes> all = channels(has_background, set);
      const std::string count = std::to_string(all.size());
      std::string vector = nifti<uint8_t>({3, 2, 2, 1, static_cast<int16_t>(all.size())}, joined(all));
      put<int16_t>(vector, 68, 1007);
      const std::string space = "endian: little\n";
      const std::string meta =
          "NDims = 3\nDimSize = 3 2 2\nElementType = MET_UCHAR\nElementNumberOfChannels = " + count +
          "\nElementDataFile = LOCAL\n";
      const std::string meta_4d =
          "NDims = 4\nDimSize = 3 2 2 " + count + "\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n";
      const Bytes flat = joined(all);
      const std::string behind(flat.begin(), flat.end());
      for (const fs::path& mask : {
               write_nifti("4d.nii", all),
               folder_.write("vector.nii", vector),
               folder_.write("list.nrrd",
                             nrrd("dimension: 4\nsizes: " + count + " 3 2 2\nkinds: list domain domain domain\n",
                                  side_by_side(all))),
               folder_.write("vector.nrrd",
                             nrrd("dimension: 4\nsizes: " + count +
                                      " 3 2 2\nkinds: vector space space space\nspace: left-posterior-superior\nspace "
                                      "directions: none (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n",
                                  side_by_side(all))),
               folder_.write(
                   "list_last.nrrd",
                   nrrd("dimension: 4\nsizes: 3 2 2 " + count + "\nkinds: domain domain domain list\n", behind)),
               folder_.write("4d.nrrd", nrrd("dimension: 4\nsizes: 3 2 2 " + count + "\n", behind)),
               folder_.write("vector.mha", meta + side_by_side(all)),
               folder_.write("4d.mha", meta_4d + behind),
           }) {
        SCOPED_TRACE(mask.filename().string());
        const SourceFile one{
            .path = folder_.write("image.nrrd", nrrd("dimension: 3\nsizes: 3 2 2\n", std::string(12, 'x'))),
            .name = "image",
            .mask = mask};
        if (contains(mask.string(), ".nii")) {
          EXPECT_EQ(mask_of(file(mask)), kLabels);
        } else {
          EXPECT_EQ(mask_of(one), kLabels);
        }
        EXPECT_EQ(read_label_map(mask).labels, kLabels);
      }
    }
  }
}

// An axis of which the header says by its direction alone that it is none of space: refused, and never taken for x.
TEST_F(MaskVolumes, NrrdAxesWithoutADirection) {
  const fs::path mask = folder_.write(
      "mask.nrrd",
      nrrd("dimension: 4\nsizes: 4 3 2 2\nspace: left-posterior-superior\nspace directions: none (1,0,0) (0,1,0) "
           "(0,0,1)\nspace origin: (0,0,0)\n",
           side_by_side(channels(true))));
  expect_refused(mask, "axes (4)");
  EXPECT_TRUE(contains(error_of([&] { read_image({.path = mask}); }).what(), "axes (4)"));
  // Of an image, values side by side are refused.
  const fs::path list = folder_.write(
      "list.nrrd",
      nrrd("dimension: 4\nsizes: 4 3 2 2\nkinds: list domain domain domain\n", side_by_side(channels(true))));
  EXPECT_TRUE(contains(error_of([&] { read_image({.path = list}); }).what(), "4 values per voxel"));
}

TEST_F(MaskVolumes, ChannelsThatAreNoClasses) {
  std::vector<Bytes> overlapping = channels(false), other = channels(true);
  overlapping[2][1] = 1;
  other[1][4] = 7;
  expect_refused(
      write_nifti("overlapping.nii", overlapping),
      "holds 3 volumes where one label map is meant, and they are not one channel per class: channels 0 and 2 overlap");
  expect_refused(write_nifti("other.nii", other), "channel 1 holds the value 7");
  expect_refused(write_nifti("labels.nii", {kLabels, kLabels}), "channel 0 holds the value 2");
  std::vector<float> soft(36, 0.25F);
  expect_refused(folder_.write("soft.nii", nifti<float>({3, 2, 2, 3}, soft)), "channel 0 holds the value 0.25");
  EXPECT_TRUE(contains(error_of([&] { read_label_map(folder_ / "overlapping.nii"); }).what(), "overlap"));
  expect_refused(folder_.write("many.nii", nifti<uint8_t>({3, 2, 2, 300}, Bytes(3600))),
                 "more than there can be classes");
  expect_refused(folder_.write("rgb.nii", nifti<uint8_t>(kSize, Bytes(36), {.datatype = 128})), "colour");
}

TEST_F(MaskVolumes, OtherNumbersOfVolumes) {
  const fs::path mask = write_nifti("mask.nii", channels(true));
  expect_refused(mask, "holds 4 volumes, the image 3", 3);
  std::string vector = nifti<uint8_t>({3, 2, 2, 2, 3}, Bytes(72));
  put<int16_t>(vector, 68, 1007);
  expect_refused(folder_.write("vector.nii", vector), "holds 2 volumes, the image 1");
  EXPECT_EQ(mask_of(file(folder_ / "vector.nii", 2, 1)), Bytes(12, 0));
}

// Of 3D Slicer: a layer is a label map; the segments of several layers may overlap, and may have the same numbers.
TEST_F(MaskVolumes, LayersOfSegments) {
  const auto segment = [](int number, const char* name, int layer, int value) {
    const std::string key = concat("Segment", number, '_');
    return concat(key, "ID:=", name, "_1\n", key, "LabelValue:=", value, '\n', key, "Layer:=", layer, '\n', key,
                  "Name:=", name, '\n', key, "NameAutoGenerated:=0\n");
  };
  const Bytes first{0, 1, 2, 0, 0, 0, 0, 0, 2, 2, 1, 0}, second{0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0};
  const std::string fields = "dimension: 4\nsizes: 2 3 2 2\nkinds: list domain domain domain\nencoding: raw\n";
  const auto write = [&](const std::string& segments, const Bytes& last) {
    return folder_.write("mask.seg.nrrd",
                         "NRRD0004\ntype: uint8\n" + fields + segments + "\n" + side_by_side({first, last}));
  };
  const std::string both = segment(0, "liver", 0, 1) + segment(1, "spleen", 0, 2);
  const SourceFile one{.path = folder_.write("image.nrrd", nrrd("dimension: 3\nsizes: 3 2 2\n", std::string(12, 'x'))),
                       .name = "image",
                       .mask = folder_ / "mask.seg.nrrd"};
  write(both + segment(2, "lesion", 1, 3), second);
  EXPECT_EQ(mask_of(one), kLabels);
  const auto refused = [&](const std::string& segments, const Bytes& last, const std::string& why) {
    write(segments, last);
    const Error error = error_of([&] { mask_of(one); });
    EXPECT_TRUE(contains(error.what(), "mask.seg.nrrd: holds 2 layers of segments " + why)) << error.what();
    EXPECT_TRUE(contains(error.hint(), "labelmap"));
  };
  Bytes overlapping = second, ones = second, strange = second;
  overlapping[1] = 3;
  std::replace(ones.begin(), ones.end(), uint8_t{3}, uint8_t{1});
  strange[4] = 9;
  refused(both + segment(2, "lesion", 1, 3), overlapping,
          "that overlap (layer 0: liver 1, spleen 2; layer 1: lesion 3)");
  refused(both + segment(2, "lesion", 1, 1), ones, "that have the same numbers");
  refused(both + segment(2, "lesion", 1, 3), strange, "and the value 9 in layer 1, which is none of them");
  refused(both + segment(2, "lesion", 2, 3), second, "that its header does not describe");
}

TEST_F(MaskVolumes, NumbersThatAreNearlyIntegers) {
  const auto labels = [&](const std::string& bytes) { return mask_of(file(folder_.write("mask.nii", bytes))); };
  const std::vector<int16_t> stored{0, 1, 2, 0, 0, 3, 3, 0, 2, 2, 1, 0};
  EXPECT_EQ(labels(nifti<int16_t>(kSize, stored, {.slope = 1.0000153F})), kLabels);
  std::vector<float> floats(kLabels.begin(), kLabels.end());
  for (float& value : floats) value += 9e-4F;
  EXPECT_EQ(labels(nifti<float>(kSize, floats)), kLabels);
  for (float& value : floats) value -= 18e-4F;
  EXPECT_EQ(labels(nifti<float>(kSize, floats)), kLabels);
  for (float& value : floats) value -= 5e-3F;
  expect_refused(folder_.write("mask.nii", nifti<float>(kSize, floats)), "holds the value");
  expect_refused(folder_.write("mask.nii", nifti<int16_t>(kSize, stored, {.slope = 0.5F})), "holds the value 0.5");
  // As nibabel stores 0 to 250 in 16 bits: with the whole range of the type.
  const double slope = 250.0 / 65535;
  std::vector<int16_t> scaled;
  Bytes expected;
  for (int i = 0; i < 12; ++i) {
    expected.push_back(static_cast<uint8_t>(22 * i + 3));
    scaled.push_back(static_cast<int16_t>(std::lround((22 * i + 3) / slope - 32768)));
  }
  EXPECT_EQ(labels(nifti<int16_t>(
                kSize, scaled, {.slope = static_cast<float>(slope), .intercept = static_cast<float>(32768 * slope)})),
            expected);
  // Probabilities in 8 bits are no labels.
  expect_refused(folder_.write("mask.nii", nifti<uint8_t>(kSize, ramp<uint8_t>(12), {.slope = 1.0F / 255})),
                 "holds the value 0.0039");
}

}  // namespace
}  // namespace vmae::io
