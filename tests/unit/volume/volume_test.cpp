#include "vmae/volume/volume.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <thread>

#include "support/errors.h"
#include "support/images.h"
#include "support/temp_folder.h"
#include "vmae/core/text.h"
#include "vmae/volume/volume_data.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::nifti;
using test::ramp;
using test::TempFolder;

std::string problem_of(const fs::path& path) {
  const Error error = error_of([&] { read_volume(path); });
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_TRUE(contains(error.what(), path.string()));
  return error.what();
}

// Against an independent decoder: tests/golden/make_nifti_expected.py.
TEST(Volume, RealNiftiFilesAsDecodedByNumpy) {
  const auto cases = nlohmann::json::parse(test::slurp(test::tests_folder() / "golden/nifti_expected.json"));
  ASSERT_GE(cases.size(), 15U);
  for (const auto& expected : cases) {
    SCOPED_TRACE(expected["file"].get<std::string>());
    const Volume volume = read_volume(test::hippocampus() / expected["file"].get<std::string>());
    const auto size = expected["size"].get<std::array<int64_t, 3>>();
    ASSERT_EQ(volume.size, size);
    for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(volume.spacing_mm[i], expected["spacing_mm"][i].get<double>(), 1e-6);
    for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(volume.origin_mm[i], expected["origin_mm"][i].get<double>(), 1e-5);
    for (size_t i = 0; i < 9; ++i) EXPECT_NEAR(volume.direction[i], expected["direction"][i].get<double>(), 1e-6);
    const std::vector<float> voxels = values(volume);
    for (const auto& voxel : expected["voxels"]) {
      const auto at = voxel["at"].get<std::array<int64_t, 3>>();
      EXPECT_EQ(voxels[static_cast<size_t>(at[0] + size[0] * (at[1] + size[1] * at[2]))], voxel["value"].get<float>());
    }
    const double mean = std::accumulate(voxels.begin(), voxels.end(), 0.0) / static_cast<double>(voxels.size());
    EXPECT_NEAR(mean, expected["mean"].get<double>(), 1e-6 * std::abs(mean));
  }
}

template <class T>
class VoxelType : public ::testing::Test {};
using VoxelTypes = ::testing::Types<uint8_t, int16_t, uint16_t, int32_t, int64_t, float, double>;
TYPED_TEST_SUITE(VoxelType, VoxelTypes);

TYPED_TEST(VoxelType, BecomesFloat) {
  const TempFolder folder;
  const Volume volume = read_volume(folder.write("v.nii", nifti<TypeParam>({2, 3, 4}, ramp<TypeParam>(24))));
  EXPECT_EQ(volume.size, (std::array<int64_t, 3>{2, 3, 4}));
  EXPECT_EQ(values(volume), ramp<float>(24));
}

TEST(Volume, SlopeAndInterceptAreApplied) {
  const TempFolder folder;
  for (const bool has_qform : {true, false}) {
    const Volume volume = read_volume(folder.write(
        "v.nii", nifti<int16_t>({2, 1, 1}, {-3, 5}, {.slope = 2, .intercept = -1000, .has_qform = has_qform})));
    EXPECT_EQ(values(volume), (std::vector<float>{-1006, -990})) << "qform " << has_qform;
  }
}

TEST(Volume, OtherByteOrder) {
  const TempFolder folder;
  std::string bytes = nifti<int16_t>({2, 1, 1}, {0x0102, 0x0304}, {.slope = 1, .intercept = 1});
  const auto swap = [&bytes](size_t at, size_t size, size_t count) {
    for (size_t i = 0; i < count; ++i)
      std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(at + i * size),
                   bytes.begin() + static_cast<std::ptrdiff_t>(at + (i + 1) * size));
  };
  swap(0, 4, 1);
  swap(40, 2, 8);
  swap(70, 2, 2);
  swap(76, 4, 11);
  swap(252, 2, 2);
  swap(352, 2, 2);
  EXPECT_EQ(values(read_volume(folder.write("v.nii", bytes))), (std::vector<float>{0x0103, 0x0305}));
}

TEST(Volume, FewerAndTrivialAxes) {
  const TempFolder folder;
  EXPECT_EQ(read_volume(folder.write("2d.nii", nifti<uint8_t>({3, 2}, ramp<uint8_t>(6)))).size,
            (std::array<int64_t, 3>{3, 2, 1}));
  EXPECT_EQ(read_volume(folder.write("4d.nii", nifti<uint8_t>({3, 2, 2, 1}, ramp<uint8_t>(12)))).size,
            (std::array<int64_t, 3>{3, 2, 2}));
}

TEST(Volume, SpacingIsReadFromTheHeaderAlone) {
  const TempFolder folder;
  const std::string bytes = nifti<int16_t>({4, 5, 6}, ramp<int16_t>(120), {.spacing_mm = {0.5F, 0.75F, 3.0F}});
  const VolumeHeader header = read_volume_header(folder.write("v.nii", bytes.substr(0, 352)));
  EXPECT_EQ(header.size, (std::array<int64_t, 3>{4, 5, 6}));
  EXPECT_EQ(header.spacing_mm, (std::array<double, 3>{0.5, 0.75, 3.0}));
}

TEST(Volume, TimePointsAreVolumesOfTheirOwn) {
  const TempFolder folder;
  const std::vector<int16_t> stored = ramp<int16_t>(24);
  const std::string raw(reinterpret_cast<const char*>(stored.data()), 48);
  const std::string nrrd = "NRRD0004\ntype: int16\ndimension: 4\nsizes: 2 3 2 2\nencoding: raw\nendian: little\n\n";
  const std::vector<float> first = ramp<float>(12), last{12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23};
  for (const fs::path& path :
       {folder.write("v.nii", nifti<int16_t>({2, 3, 2, 2}, stored)), folder.write("v.nrrd", nrrd + raw)}) {
    SCOPED_TRACE(path.string());
    EXPECT_EQ(read_volume_header(path).num_time_points, 2);
    EXPECT_EQ(values(read_volume(path, 0)), first);
    EXPECT_EQ(values(read_volume(path, 1)), last);
    EXPECT_TRUE(contains(error_of([&] { read_volume(path, 2); }).what(), "has 2 time points"));
  }
}

TEST(Volume, NrrdAndMetaImage) {
  const TempFolder folder;
  const std::vector<int16_t> stored = ramp<int16_t>(24);
  const std::string raw(reinterpret_cast<const char*>(stored.data()), 48);
  folder.write("v.raw", raw);
  const std::string nrrd =
      "type: int16\ndimension: 3\nsizes: 2 3 4\nencoding: raw\nendian: little\nspace: left-posterior-superior\n"
      "space directions: (2,0,0) (0,0,3) (0,4,0)\nspace origin: (7,8,9)\n";
  const std::string meta =
      "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nTransformMatrix = 1 0 0 0 0 1 "
      "0 1 0\nOffset = 7 8 9\n"
      "ElementSpacing = 2 3 4\nDimSize = 2 3 4\nElementType = MET_SHORT\n";
  for (const fs::path& path : {folder.write("a.nrrd", "NRRD0004\n" + nrrd + "\n" + raw),
                               folder.write("b.nhdr", "NRRD0004\n" + nrrd + "data file: v.raw\n"),
                               folder.write("c.mha", meta + "ElementDataFile = LOCAL\n" + raw),
                               folder.write("D.MHD", meta + "ElementDataFile = v.raw\n")}) {
    SCOPED_TRACE(path.string());
    const Volume volume = read_volume(path);
    EXPECT_EQ(volume.size, (std::array<int64_t, 3>{2, 3, 4}));
    EXPECT_EQ(values(volume), ramp<float>(24));
    EXPECT_EQ(volume.spacing_mm, (std::array<double, 3>{2, 3, 4}));
    EXPECT_EQ(volume.origin_mm, (std::array<double, 3>{7, 8, 9}));
    EXPECT_EQ(volume.direction, (std::array<double, 9>{1, 0, 0, 0, 0, 1, 0, 1, 0}));
  }
}

// One volume in every space that says where left is: origin and axes are turned to LPS by hand here.
TEST(Volume, NrrdSpaces) {
  const test::TempFolder folder;
  const std::array<double, 9> axes{2, 0, 0, 0, 3, 0, 0, 0, 4};  // columns, in LPS
  const std::array<double, 3> origin{10, 20, 30};
  struct Space {
    const char* name;
    int x, y;  // what is positive to the left, and to the back
  };
  for (const Space& space :
       {Space{"left-posterior-superior", 1, 1}, Space{"LPS", 1, 1}, Space{"right-anterior-superior", -1, -1},
        Space{"RAS", -1, -1}, Space{"left-anterior-superior", 1, -1}, Space{"LAS", 1, -1}}) {
    const std::string x = space.x > 0 ? "" : "-", y = space.y > 0 ? "" : "-";
    const std::string header =
        concat("NRRD0004\ntype: uint8\ndimension: 3\nspace: ", space.name, "\nsizes: 1 2 1\nspace directions: (", x,
               "2,0,0) (0,", y, "3,0) (0,0,4)\nspace origin: (", x, "10,", y, "20,30)\nencoding: raw\n\n");
    const Volume volume = read_volume(folder.write("v.nrrd", header + "ab"), 0);
    EXPECT_EQ(volume.origin_mm, origin) << space.name;
    for (size_t row = 0; row < 3; ++row) {
      for (size_t axis = 0; axis < 3; ++axis)
        EXPECT_NEAR(volume.direction[3 * row + axis] * volume.spacing_mm[axis], axes[3 * row + axis], 1e-9)
            << space.name << ' ' << row << ' ' << axis;
    }
  }
}

// Small volumes of 2 x 3 x 4 voxels.
std::string nrrd_of(const std::string& fields) {
  return "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 3 4\n" + fields + "encoding: raw\n\n" + std::string(24, 'a');
}
std::string meta_of(const std::string& fields) {
  return "ObjectType = Image\nNDims = 3\nDimSize = 2 3 4\n" + fields +
         "ElementType = MET_UCHAR\nElementDataFile = LOCAL\n" + std::string(24, 'a');
}
std::string directions(const std::array<double, 9>& axes) {  // columns
  std::string text = "space: LPS\nspace directions:";
  for (size_t axis = 0; axis < 3; ++axis)
    text += concat(" (", axes[axis], ",", axes[3 + axis], ",", axes[6 + axis], ")");
  return text + "\n";
}
std::string transform(const std::array<double, 9>& axes) {
  std::string text = "TransformMatrix =";
  for (size_t axis = 0; axis < 3; ++axis) text += concat(" ", axes[axis], " ", axes[3 + axis], " ", axes[6 + axis]);
  return text + "\n";
}

TEST(Volume, UnitsOfNrrdAndMetaImageBecomeMillimetres) {
  const TempFolder folder;
  struct Unit {
    const char* name;
    double mm;
  };
  const std::string place = "space directions: (20,0,0) (0,0,30) (0,40,0)\nspace origin: (7,8,9)\n",
                    sizes = "spacings: 20 30 40\n";
  for (const Unit& unit : {Unit{"mm", 1}, Unit{"um", 1e-3}, Unit{"\xC2\xB5m", 1e-3}, Unit{"micron", 1e-3},
                           Unit{"cm", 10}, Unit{"m", 1000}, Unit{"Meters", 1000}, Unit{"nm", 1e-6}, Unit{"", 1}}) {
    const std::string all = concat(": \"", unit.name, "\" \"", unit.name, "\" \"", unit.name, "\"\n");
    for (const fs::path& path :
         {folder.write("a.nrrd", nrrd_of("space: LPS\nspace units" + all + place)),
          folder.write("b.nrrd", nrrd_of("units" + all + sizes)),
          folder.write("c.mha", meta_of(concat("DistanceUnits = ", *unit.name ? unit.name : "?",
                                               "\nElementSpacing = 20 30 40\nOffset = 7 8 9\n")))}) {
      SCOPED_TRACE(concat(path.filename().string(), ' ', unit.name));
      const Volume volume = read_volume(path);
      for (size_t axis = 0; axis < 3; ++axis) {
        EXPECT_NEAR(volume.spacing_mm[axis], (20 + 10 * static_cast<double>(axis)) * unit.mm, 1e-9 * unit.mm);
        if (path.filename() != "b.nrrd") {
          EXPECT_NEAR(volume.origin_mm[axis], (7 + static_cast<double>(axis)) * unit.mm, 1e-9 * unit.mm);
        }
      }
      EXPECT_EQ(read_volume_header(path).spacing_mm, volume.spacing_mm);
    }
  }
  const std::string of_time =
      "type: uint8\ndimension: 4\nsizes: 2 3 2 2\nspace: LPST\nspace units: \"um\" \"um\" \"um\" \"s\"\n";
  const std::string axes = "space directions: (2,0,0,0) (0,3,0,0) (0,0,4,0) (0,0,0,5)\nencoding: raw\n\n";
  EXPECT_NEAR(read_volume(folder.write("t.nrrd", "NRRD0004\n" + of_time + axes + std::string(24, 'a'))).spacing_mm[2],
              4e-3, 1e-12);
  EXPECT_TRUE(
      contains(problem_of(folder.write("d.nrrd", nrrd_of("space: LPS\nspace units: \"mm\" \"um\" \"mm\"\n" + place))),
               "several units (space units: mm, um, mm)"));
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(read_volume(folder.write("e.nrrd", nrrd_of("space: LPS\nspace units: \"ell\" \"ell\" \"ell\"\n" + place)))
                .spacing_mm[0],
            20);
  EXPECT_TRUE(contains(::testing::internal::GetCapturedStderr(),
                       "e.nrrd has space units ell, which is no known unit of length"));
}

TEST(Volume, VoxelSizesThatAreNoSizesAreRefused) {
  const TempFolder folder;
  for (const char* bad : {"0", "-2", "nan", "NaN", "inf", "-0.5"}) {
    for (int axis = 0; axis < 3; ++axis) {
      const std::string sizes =
          concat(axis == 0 ? bad : "1", ' ', axis == 1 ? bad : "2", ' ', axis == 2 ? bad : "3", '\n');
      for (const auto& [path, field] :
           {std::pair{folder.write("a.nrrd", nrrd_of("spacings: " + sizes)), "spacings: "},
            {folder.write("b.mha", meta_of("ElementSpacing = " + sizes)), "ElementSpacing: "},
            {folder.write("c.mha", meta_of("ElementSize = " + sizes)), "ElementSize: "}}) {
        const std::string what = problem_of(path);
        EXPECT_TRUE(contains(to_lower(what), to_lower(concat("a size of ", bad, " (", field)))) << what;
      }
    }
  }
  EXPECT_TRUE(contains(problem_of(folder.write("a.nrrd", nrrd_of(directions({0, 0, 0, 0, 1, 0, 0, 0, 1})))),
                       "size 0 along axis 0"));
  // None are 1 mm, and sizes of axes that are no axes of the volume do not matter.
  const std::string list =
      "NRRD0004\ntype: uint8\ndimension: 4\nsizes: 1 2 3 4\nkinds: list domain domain domain\nspacings: NaN 4 5 "
      "6\nencoding: raw\n\n";
  EXPECT_EQ(read_volume_header(folder.write("list.nrrd", list + std::string(24, 'a'))).spacing_mm,
            (std::array<double, 3>{4, 5, 6}));
  for (const fs::path& path : {folder.write("a.nrrd", nrrd_of("")), folder.write("b.mha", meta_of(""))})
    EXPECT_EQ(read_volume(path).spacing_mm, (std::array<double, 3>{1, 1, 1}));
  const std::string of_time =
      "ObjectType = Image\nNDims = 4\nDimSize = 2 3 2 2\nElementSpacing = 2 3 4 0\nElementType = "
      "MET_UCHAR\nElementDataFile = LOCAL\n";
  EXPECT_EQ(read_volume(folder.write("t.mha", of_time + std::string(24, 'a'))).spacing_mm,
            (std::array<double, 3>{2, 3, 4}));
}

TEST(Volume, AxesThatAreNotPerpendicularAreRefusedAsOfNifti) {
  const TempFolder folder;
  for (const double skew : {0.0, 5e-5, 1.5e-3, 3e-3, 0.2, 0.6, -0.6}) {
    for (const size_t axis : {1U, 2U, 5U, 6U}) {  // which part of the axes is off
      std::array<double, 9> axes{1, 0, 0, 0, 1, 0, 0, 0, 1};
      axes[axis] = skew;
      const size_t column = axis % 3;
      axes[4 * column] = std::sqrt(1 - skew * skew);
      for (const auto& [path, field] :
           {std::pair{folder.write("a.nrrd", nrrd_of(directions(axes))), "space directions"},
            {folder.write("b.mha", meta_of(transform(axes))), "TransformMatrix"}}) {
        SCOPED_TRACE(concat(path.filename().string(), ' ', skew, ' ', axis));
        if (std::abs(skew) > 2e-3) {
          const Error error = error_of([&, &file = path] { read_volume(file); });
          EXPECT_TRUE(contains(error.what(),
                               concat("the axes of its ", field, " are not perpendicular (cosine ", std::abs(skew))))
              << error.what();
          EXPECT_TRUE(contains(error.what(), "resample"));
          continue;
        }
        const Volume volume = read_volume(path);
        for (size_t i = 0; i < 9; ++i) EXPECT_NEAR(volume.direction[i], axes[i], skew + 1e-12);
        EXPECT_NEAR(volume.direction[0] * volume.direction[1] + volume.direction[3] * volume.direction[4] +
                        volume.direction[6] * volume.direction[7],
                    0, 1e-4);
      }
    }
  }
}

TEST(Volume, TransformMatricesOfOtherLengthsAreRefused) {
  const TempFolder folder;
  for (const double length : {0.0, 0.5, 0.98, 1.02, 2.0, -2.0}) {
    for (size_t axis = 0; axis < 3; ++axis) {
      std::array<double, 9> axes{1, 0, 0, 0, 1, 0, 0, 0, 1};
      axes[4 * axis] = length;
      EXPECT_TRUE(contains(problem_of(folder.write("a.mha", meta_of(transform(axes)))),
                           concat("an axis of length ", std::abs(length), " (axis ", axis, ")")));
    }
  }
  for (const double length : {-1.0, 0.995, 1.005})
    EXPECT_NEAR(read_volume(folder.write("a.mha", meta_of(transform({length, 0, 0, 0, 1, 0, 0, 0, 1})))).direction[0],
                length < 0 ? -1 : 1, 1e-12);
}

// Said once for all files of a run, so the last of these says it.
TEST(Volume, MoreBytesOfVoxelsThanTheHeaderSaysAreNoticed) {
  const TempFolder folder;
  const std::string voxels(24, 'a');
  const std::string nrrd = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 3 4\nencoding: raw\n",
                    meta =
                        "ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = 2 3 4\nElementType = MET_UCHAR\n";
  folder.write("right.raw", voxels);
  folder.write("skipped.raw", std::string(16, 'x') + voxels);
  ::testing::internal::CaptureStderr();
  for (const fs::path& path :
       {folder.write("a.nrrd", nrrd + "\n" + voxels), folder.write("b.nhdr", nrrd + "data file: right.raw\n"),
        folder.write("c.nhdr", nrrd + "byte skip: 16\ndata file: skipped.raw\n"),
        folder.write("d.nhdr", nrrd + "byte skip: -1\ndata file: skipped.raw\n"),
        folder.write("e.nrrd", nrrd + "byte skip: 16\n\n" + std::string(16, 'x') + voxels),
        folder.write("f.mha", meta + "ElementDataFile = LOCAL\n" + voxels),
        folder.write("g.mhd", meta + "ElementDataFile = right.raw\n"),
        folder.write("h.mhd", meta + "HeaderSize = 16\nElementDataFile = skipped.raw\n"),
        folder.write("i.mhd", meta + "HeaderSize = -1\nElementDataFile = skipped.raw\n")})
    EXPECT_EQ(values(read_volume(path)), std::vector<float>(24, 'a')) << path;
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  for (const auto& [path, is_nrrd] :
       {std::pair{folder.write("j.nhdr", nrrd + "data file: skipped.raw\n"), true},
        {folder.write("k.nrrd", nrrd + "\n" + voxels + "x"), true},
        {folder.write("l.nhdr", nrrd + "byte skip: 15\ndata file: skipped.raw\n"), true},
        {folder.write("m.mhd", meta + "ElementDataFile = skipped.raw\n"), false},
        {folder.write("n.mha", meta + "ElementDataFile = LOCAL\n" + voxels + voxels), false},
        {folder.write("o.mhd", meta + "HeaderSize = 3\nElementDataFile = skipped.raw\n"), false}})
    EXPECT_TRUE(has_more_than(24, path, is_nrrd)) << path;
  ::testing::internal::CaptureStderr();
  read_volume(folder / "m.mhd");
  EXPECT_TRUE(
      contains(::testing::internal::GetCapturedStderr(), "m.mhd has more bytes of voxels than its header says"));
}

TEST(Volume, NonFiniteVoxelsAreKept) {
  const TempFolder folder;
  const Volume volume = read_volume(folder.write("v.nii", nifti<float>({3, 1, 1}, {1.0F, NAN, INFINITY})));
  EXPECT_EQ(values(volume)[0], 1.0F);
  EXPECT_TRUE(std::isnan(values(volume)[1]));
  EXPECT_TRUE(std::isinf(values(volume)[2]));
}

TEST(Volume, BrokenFilesAreErrorsOnly) {
  const TempFolder folder;
  const std::string good = nifti<int16_t>({8, 8, 8}, ramp<int16_t>(512));
  const std::string zipped = test::slurp(test::hippocampus() / "images/hippocampus_001.nii.gz");
  ASSERT_GT(zipped.size(), 1000U);
  std::string damaged = zipped;
  damaged[zipped.size() / 2] ^= 0x55;
  ::testing::internal::CaptureStderr();
  EXPECT_TRUE(contains(problem_of(folder / "none.nii"), "does not exist"));
  EXPECT_TRUE(contains(problem_of(folder.write("zero.nii.gz", "")), "0 bytes"));
  for (const char* name : {"text.nii", "text.nii.gz", "text.nrrd", "text.nhdr"})
    problem_of(folder.write(name, "Once upon a time\nthere was an image.\n"));
  for (const size_t size : {10U, 200U, 352U, 500U}) problem_of(folder.write("short.nii", good.substr(0, size)));
  for (const size_t size : {15U, 200U, 5000U}) problem_of(folder.write("short.nii.gz", zipped.substr(0, size)));
  problem_of(folder.write("last_byte.nii.gz", zipped.substr(0, zipped.size() - 1)));
  problem_of(folder.write("damaged.nii.gz", damaged));
  problem_of(folder.write("short.nrrd",
                          "NRRD0004\ntype: int16\ndimension: 3\nsizes: 2 3 4\nencoding: raw\nendian: little\n\nabc"));
  const std::string sizes = "NRRD0004\ntype: int16\ndimension: 4\nsizes: 2 3 4 2\nspace: left-posterior-superior\n";
  EXPECT_TRUE(
      contains(problem_of(folder.write("packed.nrrd", sizes + "encoding: bzip2\n\nBZh91AY")), "compressed as bzip2"));
  const std::string time =
      sizes + "encoding: raw\nspace directions: (1,0,0) (0,1,0) (0,0,1) none\nkinds: domain domain domain time\n\n";
  EXPECT_TRUE(contains(problem_of(folder.write("time.nrrd", time + std::string(96, 'a'))), "axis of time"));
  problem_of(folder.write("huge.nii", nifti<int16_t>({32767, 32767, 32767}, ramp<int16_t>(10))));
  problem_of(folder.write("colour.nii", nifti<uint8_t>({2, 2, 2}, ramp<uint8_t>(24), {.datatype = 128})));
  fs::create_directory(folder / "folder.nii");
  EXPECT_TRUE(contains(problem_of(folder / "folder.nii"), "is not a file"));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

// MetaIO comments on these on standard error; only the errors count.
TEST(Volume, BrokenMetaImagesAreErrors) {
  const TempFolder folder;
  const std::string header =
      "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nDimSize = 2 3 4\nElementType "
      "= MET_SHORT\n";
  for (const char* name : {"text.mha", "text.mhd"})
    problem_of(folder.write(name, "Once upon a time\nthere was an image.\n"));
  problem_of(folder.write("short.mha", header + "ElementDataFile = LOCAL\nabc"));
  problem_of(folder.write("last_byte.mha", header + "ElementDataFile = LOCAL\n" + std::string(47, 'x')));
  problem_of(folder.write("zipped.mha", header + "CompressedData = True\nElementDataFile = LOCAL\nnot zlib data"));
  problem_of(folder.write("no_raw.mhd", header + "ElementDataFile = gone.raw\n"));
}

// Found by fuzzing: ITK would hang, crash, print with the name as its format, or
// allocate what the header claims. tests/fuzz/corpus/volume has such files too.
TEST(Volume, HeadersThatItkBelievesTooEasily) {
  const TempFolder folder;
  std::string endless = nifti<int16_t>({2, 2, 2}, ramp<int16_t>(8));
  test::put<int16_t>(endless, 254, 1);       // sform_code: the affine matrix counts
  test::put<float>(endless, 308, -1.7e38F);  // in its second row
  EXPECT_TRUE(contains(problem_of(folder.write("endless.nii", endless)), "orientation"));
  test::put<float>(endless, 308, NAN);
  EXPECT_TRUE(contains(problem_of(folder.write("nan.nii", endless)), "orientation"));
  test::put<int16_t>(endless, 254, 0);
  EXPECT_EQ(read_volume(folder.write("unused.nii", endless)).num_values(), 8)
      << "a matrix that is not used does not matter";

  const std::string header = "NDims = 2\nDimSize = 3 2\nElementType = MET_UCHAR\n";
  for (const char* name : {"a%s.raw", "%n", "%d%d.raw", "%999d", "100%"}) {
    EXPECT_TRUE(
        contains(problem_of(folder.write("format.mhd", header + "ElementDataFile = " + name + "\n")), "not understood"))
        << name;
    EXPECT_TRUE(contains(
        problem_of(folder.write(
            "format.nhdr",
            "NRRD0004\ntype: uint8\ndimension: 1\nsizes: 6\nencoding: raw\ndata file: " + std::string(name) + "\n")),
        "not understood"))
        << name;
  }
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_TRUE(
      contains(problem_of(folder.write("pipe.mhd", header + "ElementDataFile = pipe\n")), "not a regular file"));
  EXPECT_TRUE(contains(
      problem_of(folder.write("many_axes.mhd",
                              "NDims = -1\nDimSize = 3 2\nElementType = MET_UCHAR\nElementDataFile = LOCAL\nabcdef")),
      "ndims"));
  EXPECT_TRUE(contains(problem_of(folder.write("packed.mha", "CompressedData = True\nCompressedDataSize = 1e18\n" +
                                                                 header + "ElementDataFile = LOCAL\nabcdef")),
                       "compresseddatasize"));
  problem_of(
      folder.write("type.mha", "NDims = 2\nDimSize = 3 2\nElementType = MET_NONE\nElementDataFile = LOCAL\nabcdef"));
  for (const std::string sizes : {"3\nsizes: 9 9 100000000", "4\nsizes: 9 9 9 100000"}) {
    const fs::path path = folder.write(
        "claim.nrrd", "NRRD0004\ntype: int16\ndimension: " + sizes + "\nencoding: raw\nendian: little\n\nabc");
    EXPECT_TRUE(contains(error_of([&] { read_volume_header(path); }).what(), "can hold")) << sizes;
  }
}

TEST(Volume, ManyThreadsReadAtOnce) {
  const TempFolder folder;
  const fs::path bad = folder.write("bad.nrrd", "text");
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int repeat = 0; repeat < 5; ++repeat) {
        EXPECT_EQ(read_volume(test::hippocampus() / "images/hippocampus_001.nii.gz").size[0], 35);
        EXPECT_THROW(read_volume(bad), Error);
      }
    });
  }
}

}  // namespace
}  // namespace vmae::io
