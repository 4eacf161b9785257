// Where NIfTI voxels lie. Expected numbers are written down here, or computed from the matrix
// that was put into the header; tests/e2e/test_nifti.py holds the program against nibabel.
#include "vmae/volume/volume.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cmath>
#include <random>

#include "support/errors.h"
#include "support/images.h"
#include "support/temp_folder.h"
#include "vmae/cases/read_image.h"
#include "vmae/cases/read_label_map.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::nifti;
using test::put;
using test::ramp;
using test::TempFolder;

using Matrix = std::array<double, 9>;

// Row-major rotations, some with a mirror.
Matrix random_axes(std::mt19937& random) {
  std::normal_distribution<double> normal;
  Matrix m{};
  for (double& number : m) number = normal(random);
  for (size_t axis = 0; axis < 3; ++axis) {  // Gram-Schmidt
    for (size_t other = 0; other < axis; ++other) {
      double product = 0;
      for (size_t row = 0; row < 3; ++row) product += m[3 * row + axis] * m[3 * row + other];
      for (size_t row = 0; row < 3; ++row) m[3 * row + axis] -= product * m[3 * row + other];
    }
    const double length = std::hypot(m[axis], m[3 + axis], m[6 + axis]);
    for (size_t row = 0; row < 3; ++row) m[3 * row + axis] /= length;
  }
  return m;
}

// A file of 3 x 4 x 5 voxels with an sform of these axes (RAS) and sizes.
struct Header {
  std::string bytes = nifti<int16_t>({3, 4, 5}, ramp<int16_t>(60));

  void sizes(const std::array<float, 3>& mm) {
    for (size_t axis = 0; axis < 3; ++axis) put<float>(bytes, 80 + 4 * axis, mm[axis]);
  }
  void sform(int16_t code, const Matrix& axes, const std::array<float, 3>& mm, const std::array<float, 3>& origin) {
    put<int16_t>(bytes, 254, code);
    for (size_t row = 0; row < 3; ++row) {
      for (size_t axis = 0; axis < 3; ++axis)
        put<float>(bytes, 280 + 16 * row + 4 * axis,
                   static_cast<float>(axes[3 * row + axis] * static_cast<double>(mm[axis])));
      put<float>(bytes, 292 + 16 * row, origin[row]);
    }
  }
  void qform(int16_t code, const std::array<float, 3>& quaternion, const std::array<float, 3>& origin) {
    put<int16_t>(bytes, 252, code);
    for (size_t i = 0; i < 3; ++i) put<float>(bytes, 256 + 4 * i, quaternion[i]);
    for (size_t i = 0; i < 3; ++i) put<float>(bytes, 268 + 4 * i, origin[i]);
  }
};

Volume read(const std::string& bytes) {
  const TempFolder folder;
  return read_volume(folder.write("v.nii", bytes));
}

// x and y of RAS point the other way in ITK's LPS.
void expect_axes(const Volume& volume, const Matrix& axes, double tolerance) {
  for (size_t row = 0; row < 3; ++row) {
    for (size_t axis = 0; axis < 3; ++axis)
      EXPECT_NEAR(volume.direction[3 * row + axis], (row < 2 ? -1 : 1) * axes[3 * row + axis], tolerance);
  }
}

TEST(NiftiGeometry, VoxelsOfEverySizeAndPlace) {
  std::mt19937 random(1);
  for (const float mm : {0.001F, 0.02F, 0.3F, 1.0F, 50.0F, 3000.0F}) {
    for (const float far : {0.0F, 3.0F, 755.0F, 1e5F}) {
      for (int i = 0; i < 8; ++i) {
        SCOPED_TRACE(concat(mm, " mm, ", far, " mm away"));
        const Matrix axes = random_axes(random);
        const std::array<float, 3> sizes{mm, 1.5F * mm, 4 * mm}, origin{far, -far, 2 * far};
        Header header;
        header.sizes(sizes);
        header.qform(0, {}, {});
        header.sform(static_cast<int16_t>(1 + i % 4), axes, sizes, origin);
        const Volume volume = read(header.bytes);
        for (size_t axis = 0; axis < 3; ++axis) EXPECT_EQ(volume.spacing_mm[axis], static_cast<double>(sizes[axis]));
        for (size_t row = 0; row < 3; ++row)
          EXPECT_EQ(volume.origin_mm[row], (row < 2 ? -1 : 1) * static_cast<double>(origin[row]));
        expect_axes(volume, axes, 1e-6);
      }
    }
  }
}

// What is nearly a right angle becomes one; the axes stay where they are to the same amount.
TEST(NiftiGeometry, AxesThatAreNearlyPerpendicularAreMadeSo) {
  std::mt19937 random(2);
  for (const double error : {0.0, 2e-4, 5e-4, 1.5e-3}) {
    const Matrix axes = random_axes(random);
    Matrix skewed = axes;
    for (size_t row = 0; row < 3; ++row) skewed[3 * row] += error * axes[3 * row + 1];
    Header header;
    header.sizes({0.7F, 0.7F, 3});
    header.qform(0, {}, {});
    header.sform(2, skewed, {0.7F, 0.7F, 3}, {1, 2, 3});
    const Volume volume = read(header.bytes);
    expect_axes(volume, axes, error + 1e-6);
    for (size_t a = 0; a < 3; ++a) {
      for (size_t b = 0; b <= a; ++b) {
        double product = 0;
        for (size_t row = 0; row < 3; ++row) product += volume.direction[3 * row + a] * volume.direction[3 * row + b];
        EXPECT_NEAR(product, a == b ? 1 : 0, error > 1e-4 ? 1e-14 : 1e-6) << error;
      }
    }
  }
}

TEST(NiftiGeometry, ShearedAndScaledSforms) {
  const TempFolder folder;
  const Matrix identity{1, 0, 0, 0, 1, 0, 0, 0, 1}, tilted{1, 0, 0, 0, 1, 0.2, 0, 0, 0.98};
  Header sheared, scaled;
  sheared.sform(1, tilted, {1, 1, 1}, {0, 0, 0});
  scaled.sform(1, identity, {2, 2, 2}, {0, 0, 0});
  for (Header* header : {&sheared, &scaled}) {
    expect_axes(read(header->bytes), identity, 0);  // the qform
    header->qform(0, {}, {});
  }
  const Error of_sheared = error_of([&] { read_volume(folder.write("sheared.nii", sheared.bytes)); });
  EXPECT_EQ(of_sheared.code(), ExitCode::data);
  EXPECT_TRUE(contains(of_sheared.what(), "sheared.nii: the axes of its sform are not perpendicular (cosine 0.2"));
  EXPECT_TRUE(contains(of_sheared.what(), "resample"));
  const Error of_scaled = error_of([&] { read_volume(folder.write("scaled.nii", scaled.bytes)); });
  EXPECT_TRUE(contains(of_scaled.what(), "scaled.nii: its sform has voxels of 2 x 2 x 2, its pixdim of 1 x 1 x 1"));
  EXPECT_TRUE(contains(of_scaled.hint(), "the right size"));
  for (const float nothing : {0.0F, 1e-30F}) {
    scaled.sform(1, {nothing, 0, 0, 0, 1, 0, 0, 0, 1}, {1, 1, 1}, {0, 0, 0});
    EXPECT_TRUE(contains(error_of([&] { read_volume(folder.write("flat.nii", scaled.bytes)); }).what(), "flat.nii"));
  }
}

TEST(NiftiGeometry, WhichFormCounts) {
  const Matrix identity{1, 0, 0, 0, 1, 0, 0, 0, 1}, turned{0, -1, 0, 1, 0, 0, 0, 0, 1};
  const std::array<float, 3> quarter{0, 0, std::sqrt(0.5F)};
  for (const auto& [q, s, is_sform] : std::vector<std::tuple<int16_t, int16_t, bool>>{
           {1, 1, true}, {2, 1, true}, {1, 2, false}, {1, 4, false}, {0, 2, true}, {1, 0, false}, {-1, 3, true}}) {
    SCOPED_TRACE(concat("qform ", q, ", sform ", s));
    Header header;
    header.qform(q, quarter, {10, 20, 30});
    header.sform(s, identity, {1, 1, 1}, {1, 2, 3});
    const Volume volume = read(header.bytes);
    expect_axes(volume, is_sform ? identity : turned, 1e-7);
    EXPECT_EQ(volume.origin_mm, (is_sform ? std::array<double, 3>{-1, -2, 3} : std::array<double, 3>{-10, -20, 30}));
  }
  Header neither;
  neither.qform(0, quarter, {10, 20, 30});
  EXPECT_EQ(read(neither.bytes).direction, identity);
  EXPECT_EQ(read(neither.bytes).origin_mm, (std::array<double, 3>{0, 0, 0}));
}

TEST(NiftiGeometry, QuaternionsAsNifti1Io) {
  Header header;
  header.qform(1, {0.6F, 0.8F, 0}, {0, 0, 0});  // a half turn
  expect_axes(read(header.bytes), {-0.28, 0.96, 0, 0.96, 0.28, 0, 0, 0, -1}, 1e-6);
  header.qform(1, {6, 8, 0}, {0, 0, 0});  // longer than 1
  expect_axes(read(header.bytes), {-0.28, 0.96, 0, 0.96, 0.28, 0, 0, 0, -1}, 1e-6);
  put<float>(header.bytes, 76, -1);  // left-handed
  expect_axes(read(header.bytes), {-0.28, 0.96, 0, 0.96, 0.28, 0, 0, 0, 1}, 1e-6);
}

TEST(NiftiGeometry, UnitsAndOddVoxelSizes) {
  const Matrix identity{1, 0, 0, 0, 1, 0, 0, 0, 1};
  Header header;
  header.sizes({20, 30, 40});
  header.sform(1, identity, {20, 30, 40}, {1000, 2000, 3000});
  header.bytes[123] = 3 + 8;  // micrometres, seconds
  EXPECT_NEAR(read(header.bytes).spacing_mm[0], 0.02, 1e-12);
  EXPECT_NEAR(read(header.bytes).origin_mm[1], -2, 1e-12);
  header.bytes[123] = 1;  // metres
  EXPECT_EQ(read(header.bytes).spacing_mm[2], 40000);
  Header odd;
  odd.sizes({-2, 0, 3});
  EXPECT_EQ(read(odd.bytes).spacing_mm, (std::array<double, 3>{2, 1, 3}));
}

// ITK leaves the third axis of 2-D files out, and would have nothing left of a sagittal one.
TEST(NiftiGeometry, TwoDimensionalFiles) {
  const auto flat = [](const Matrix& axes) {
    Header header;
    header.sform(1, axes, {1, 1, 1}, {4, 5, 6});
    put<int16_t>(header.bytes, 40, 2);
    put<int16_t>(header.bytes, 46, 1);
    header.bytes.resize(352 + 2 * 12);  // one slice
    header.qform(0, {}, {});
    return read(header.bytes);
  };
  const Volume axial = flat({0, -1, 0, 1, 0, 0, 0, 0, 1});
  EXPECT_EQ(axial.size, (std::array<int64_t, 3>{3, 4, 1}));
  EXPECT_EQ(axial.origin_mm, (std::array<double, 3>{-4, -5, 0}));
  EXPECT_EQ(axial.direction, (Matrix{0, 1, 0, -1, 0, 0, 0, 0, 1}));
  const Volume sagittal = flat({0, 0, 1, 1, 0, 0, 0, 1, 0});
  EXPECT_EQ(sagittal.origin_mm, (std::array<double, 3>{-4, -5, 6}));
  expect_axes(sagittal, {0, 0, 1, 1, 0, 0, 0, 1, 0}, 0);
}

TEST(NiftiGeometry, MasksThatLieElsewhereBecauseTheFormsDiffer) {
  const TempFolder folder;
  const Matrix identity{1, 0, 0, 0, 1, 0, 0, 0, 1};
  Header image, mask;
  image.sform(1, identity, {1, 1, 1}, {0, 0, 0});
  mask.sform(2, identity, {1, 1, 1}, {0, 0, 0});
  mask.qform(1, {0, 0, 0}, {0, 7.25F, 0});
  const SourceFile file{.path = folder.write("image.nii", image.bytes),
                        .name = "image.nii",
                        .mask = folder.write("mask.nii", mask.bytes)};
  const Error error = error_of([&] { read_mask(file, read_image(file)); });
  EXPECT_TRUE(contains(error.what(), "lies elsewhere along axis 1"));
  EXPECT_TRUE(
      contains(error.what(), "the qform and the sform of the mask lie up to 7.3 voxels apart; its qform is used"))
      << error.what();
  EXPECT_TRUE(contains(error.hint(), "both forms"));
  const std::string difference = grid_difference(read_label_map(file.path), read_label_map(file.mask));
  EXPECT_TRUE(contains(difference, "mask.nii lie up to 7.3 voxels apart"));
  mask.qform(0, {}, {});
  mask.sform(2, identity, {1, 1, 1}, {0, 3, 0});
  folder.write("mask.nii", mask.bytes);
  EXPECT_FALSE(contains(error_of([&] { read_mask(file, read_image(file)); }).what(), "qform"));
}

// The same file as NIfTI-2: fields are wider and lie elsewhere.
std::string second_version(const std::string& first) {
  std::string bytes(544, '\0');
  put<int32_t>(bytes, 0, 540);
  bytes.replace(4, 8, std::string("n+2\0\r\n\032\n", 8));
  const auto get = [&]<class T>(size_t at, T) {
    T value;
    std::memcpy(&value, first.data() + at, sizeof(T));
    return value;
  };
  put<int16_t>(bytes, 12, get(70, int16_t{}));
  for (size_t i = 0; i < 8; ++i) put<int64_t>(bytes, 16 + 8 * i, get(40 + 2 * i, int16_t{}));
  for (size_t i = 0; i < 8; ++i) put<double>(bytes, 104 + 8 * i, static_cast<double>(get(76 + 4 * i, float{})));
  put<int64_t>(bytes, 168, 544);
  put<double>(bytes, 176, static_cast<double>(get(112, float{})));
  put<double>(bytes, 184, static_cast<double>(get(116, float{})));
  put<int32_t>(bytes, 344, get(252, int16_t{}));
  put<int32_t>(bytes, 348, get(254, int16_t{}));
  for (size_t i = 0; i < 18; ++i) put<double>(bytes, 352 + 8 * i, static_cast<double>(get(256 + 4 * i, float{})));
  put<int32_t>(bytes, 500, first[123]);
  return bytes + first.substr(352);
}

TEST(NiftiGeometry, SecondVersionOfTheFormat) {
  std::mt19937 random(3);
  for (int i = 0; i < 12; ++i) {
    Header header;
    header.bytes = nifti<int16_t>({3, 4, 5, 2}, ramp<int16_t>(120), {.slope = 2, .intercept = -1});
    header.sizes({0.7F, 0.8F, 0.9F});
    header.qform(static_cast<int16_t>(i % 2), {0.1F, 0.2F, 0.3F}, {4, 5, 6});
    header.sform(static_cast<int16_t>(i % 3), random_axes(random), {0.7F, 0.8F, 0.9F}, {1, 2, 3});
    const TempFolder folder;
    const Volume first = read_volume(folder.write("1.nii", header.bytes), 1),
                 second = read_volume(folder.write("2.nii", second_version(header.bytes)), 1);
    EXPECT_EQ(first.size, second.size);
    EXPECT_EQ(first.spacing_mm, second.spacing_mm);
    EXPECT_EQ(first.origin_mm, second.origin_mm);
    EXPECT_EQ(first.direction, second.direction);
    EXPECT_EQ(values(first), values(second));
  }
}

// As nibabel: "Valid slope but invalid intercept"; a slope of 0, NaN or infinity is none.
TEST(NiftiGeometry, SlopesWithoutAnInterceptAreRefused) {
  const TempFolder folder;
  for (const float slope : {2.0F, 1.0F, -0.5F, 0.0F, NAN, INFINITY}) {
    for (const float intercept : {NAN, INFINITY, -INFINITY, 3.0F}) {
      const std::string first = nifti<uint8_t>({2, 1, 1}, {0, 2}, {.slope = slope, .intercept = intercept});
      for (const fs::path& path : {folder.write("1.nii", first), folder.write("2.nii", second_version(first))}) {
        SCOPED_TRACE(concat(path.filename().string(), " slope ", slope, " intercept ", intercept));
        const bool is_scaled = slope != 0 && std::isfinite(slope);
        if (!is_scaled || std::isfinite(intercept)) {
          EXPECT_EQ(values(read_volume(path))[1], is_scaled ? 2 * slope + intercept : 2);
          continue;
        }
        const Error error = error_of([&] { read_volume_header(path); });
        EXPECT_EQ(error.code(), ExitCode::data);
        EXPECT_TRUE(
            contains(error.what(), concat(path.string(), ": its scl_slope is ", slope, ", its scl_inter ", intercept)))
            << error.what();
        EXPECT_TRUE(contains(error.hint(), "intercept"));
      }
    }
  }
}

std::string zipped(const std::string& bytes, const fs::path& path) {
  const gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
  return path;
}

TEST(NiftiGeometry, MoreVoxelsThanTheHeaderSays) {
  const TempFolder folder;
  for (const int16_t side : {3, 20, 40}) {
    for (const int16_t num_volumes : {1, 2}) {
      const auto voxels = static_cast<size_t>(side) * static_cast<size_t>(side * 2);
      const std::string good =
          nifti<int16_t>({side, side, 2, num_volumes}, ramp<int16_t>(voxels * static_cast<size_t>(num_volumes)));
      const std::string volume = good.substr(352, 2 * voxels);
      const auto read = [&](const std::string& bytes) {
        for (const fs::path& path : {folder.write("a.nii", bytes), fs::path(zipped(bytes, folder / "b.nii.gz"))})
          read_volume(path, num_volumes - 1);
      };
      for (const size_t more : {1U, 2U, 7U}) {
        std::string bytes = good;
        for (size_t i = 0; i < more; ++i) bytes += volume;
        const Error error = error_of([&] { read(bytes); });
        EXPECT_EQ(error.code(), ExitCode::data);
        EXPECT_TRUE(contains(error.what(), concat("a.nii: holds ", more, more == 1 ? " volume more" : " volumes more")))
            << error.what();
        EXPECT_TRUE(contains(error_of([&] { read_volume(zipped(bytes, folder / "b.nii.gz"), num_volumes - 1); }).what(),
                             "b.nii.gz: holds"));
      }
      for (const size_t padding : {1U, 512U, 4096U}) read(good + std::string(padding, '\0'));
    }
  }
  ::testing::internal::CaptureStderr();
  read_volume(folder.write("c.nii", nifti<int16_t>({20, 20, 2}, ramp<int16_t>(800)) + std::string(5001, 'x')));
  EXPECT_TRUE(contains(::testing::internal::GetCapturedStderr(), "c.nii has bytes behind its last voxel"));
}

TEST(NiftiGeometry, OtherFilesAreRefusedByName) {
  const TempFolder folder;
  const auto what = [&](size_t at, const std::string& with) {
    std::string bytes = Header().bytes;
    bytes.replace(at, with.size(), with);
    return std::string(error_of([&] { read_volume(folder.write("v.nii", bytes)); }).what());
  };
  EXPECT_TRUE(contains(what(344, "ni1"), "pair of files"));
  EXPECT_TRUE(contains(what(344, std::string(3, '\0')), "magic number"));
  EXPECT_TRUE(contains(what(0, "\1"), "is not a NIfTI file"));
  EXPECT_TRUE(contains(what(40, std::string("\0\0", 2)), "claims to have 0 axes"));
  EXPECT_TRUE(contains(what(40, std::string("\11\0", 2)), "claims to have 9 axes"));
  EXPECT_TRUE(contains(what(42, std::string("\0\0", 2)), "size 0 along axis 0"));
  EXPECT_TRUE(contains(what(70, std::string("\1\0", 2)), "voxel type 1,"));
  EXPECT_TRUE(contains(what(70, std::string("\200\0", 2)), "colour"));
  std::string second = second_version(Header().bytes);
  put<int64_t>(second, 24, int64_t{1} << 62);
  put<int64_t>(second, 32, int64_t{1} << 62);
  EXPECT_TRUE(contains(error_of([&] { read_volume_header(folder.write("v.nii", second)); }).what(), "can hold"));
  put<int64_t>(second, 16, 7);
  for (size_t axis = 4; axis < 8; ++axis) put<int64_t>(second, 16 + 8 * axis, int64_t{1} << 62);
  EXPECT_TRUE(contains(error_of([&] { read_volume_header(folder.write("v.nii", second)); }).what(), "volumes"));
}

}  // namespace
}  // namespace vmae::io
