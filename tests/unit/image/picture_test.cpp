#include "vmae/image/picture.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/errors.h"
#include "support/source_path.h"
#include "support/temp_folder.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::slurp;
using test::TempFolder;

std::string what_of(const fs::path& path) {
  const Error error = error_of([&] { read_picture(path); });
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_TRUE(contains(error.what(), path.string()));
  return error.what();
}

// tests/golden/make_pictures.py
fs::path golden(const std::string& name) { return test::source_path("tests/golden/pictures") / name; }

// The ramp of make_pictures.py: 20 rows, 30 columns.
double ramp(double stored_max, int64_t row, int64_t column, int64_t channel) {
  const auto value = static_cast<double>(4 * row + 3 * column + 20 * channel);
  return stored_max == 65535 ? 200 * value : stored_max == 0 ? value / 2 - 10 : value;
}

void expect_ramp(const Image& image, double tolerance) {
  ASSERT_EQ(image.height, 20);
  ASSERT_EQ(image.width, 30);
  size_t at = 0;
  for (int64_t row = 0; row < 20; ++row) {
    for (int64_t column = 0; column < 30; ++column) {
      for (int64_t c = 0; c < image.channels; ++c)
        ASSERT_NEAR(image.pixels[at++], ramp(image.stored_max, row, column, c), tolerance)
            << row << ' ' << column << ' ' << c;
    }
  }
}

std::vector<uint8_t> bytes_of(const Volume& volume) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(volume.stored.data());
  return {bytes, bytes + volume.stored.size()};
}

// The mask of make_pictures.py: 6 rows, 8 columns.
std::vector<uint8_t> labels(uint8_t one, uint8_t two) {
  std::vector<uint8_t> map(48);
  for (size_t i = 0; i < 48; ++i) {
    const size_t row = i / 8, column = i % 8;
    map[i] = row >= 1 && row < 3 && column >= 1 && column < 4 ? one : row >= 4 && column >= 2 ? two : 0;
  }
  return map;
}

TEST(Picture, ExtensionsOfAnyCase) {
  for (const char* name : {"a.png", "a.JPG", "a.jpeg", "a.tif", "a.TIFF", "a.bmp"})
    EXPECT_TRUE(is_picture(name)) << name;
  for (const char* name : {"a.gif", "png", "a.png.txt", "a.nii", ".png"}) EXPECT_FALSE(is_picture(name)) << name;
}

TEST(Picture, DepthsAndColours) {
  struct Case {
    const char* name;
    int64_t channels;
    double stored_max, tolerance;
  };
  for (const Case& c : {Case{"g8.png", 1, 255, 0}, Case{"g16.png", 1, 65535, 0}, Case{"rgb8.png", 3, 255, 0},
                        Case{"rgba8.png", 3, 255, 0}, Case{"la8.png", 1, 255, 0}, Case{"g8.tif", 1, 255, 0},
                        Case{"g16.tif", 1, 65535, 0}, Case{"rgb16.tif", 3, 65535, 0}, Case{"g32f.tiff", 1, 0, 0},
                        Case{"white0.tif", 1, 255, 0}, Case{"white0_16.tif", 1, 65535, 0},
                        Case{"planes.tif", 3, 255, 0}, Case{"g8.bmp", 1, 255, 0}, Case{"rgb8.bmp", 3, 255, 0},
                        Case{"g8.jpg", 1, 255, 4}, Case{"rgb8.jpg", 3, 255, 12}}) {
    SCOPED_TRACE(c.name);
    const Image image = read_picture(golden(c.name));
    EXPECT_EQ(image.channels, c.channels);
    EXPECT_EQ(image.stored_max, c.stored_max);
    expect_ramp(image, c.tolerance);
  }
}

TEST(Picture, SignedIntegersKeepTheirSign) {
  const Volume volume = picture_volume(golden("i16.tif"));
  EXPECT_EQ(volume.type, StoredType::i16);
  EXPECT_EQ(volume.stored_max, 0);
  const Image image = slice_of(volume, 2, 0);
  EXPECT_EQ(image.pixels.front(), -100);
  EXPECT_EQ(image.pixels.back(), 63);
}

TEST(Picture, TheContentDecidesNotTheExtension) {
  const TempFolder folder;
  EXPECT_EQ(read_picture(folder.write("a.png", slurp(golden("g8.jpg")))).width, 30);
}

TEST(Picture, PagesOfATiffAreSlices) {
  for (const char* name : {"stack.tif", "stack_imagej.tif"}) {
    SCOPED_TRACE(name);
    const Volume volume = picture_volume(golden(name));
    EXPECT_EQ(volume.size, (std::array<int64_t, 3>{8, 6, 3}));
    EXPECT_EQ(volume.stored_max, 0) << "a volume as any other";
    const std::vector<uint8_t> bytes = bytes_of(volume), mask = labels(0, 1);
    for (size_t z = 0; z < 3; ++z) {
      for (size_t i = 0; i < 48; ++i) ASSERT_EQ(bytes[48 * z + i], mask[i] + 2 * z);
    }
    const auto header = picture_header(golden(name));
    ASSERT_TRUE(header);
    EXPECT_EQ(header->size, volume.size);
    EXPECT_EQ(header->spacing_mm, volume.spacing_mm);
    EXPECT_TRUE(contains(what_of(golden(name)), "stack of 3 pages"));
  }
  EXPECT_FALSE(picture_header(golden("g8.tif")));
  EXPECT_FALSE(picture_header(golden("g8.png")));
  EXPECT_FALSE(picture_header(golden("thumbnail.tif"))) << "a smaller copy is no slice";
  EXPECT_EQ(read_picture(golden("thumbnail.tif")).pixels.size(), 48U);
}

TEST(Picture, PagesThatAreNoSlicesAreRefused) {
  for (const auto& [name, text] : {std::pair{"two_sizes.tif", "page 2 has 4 x 3 pixels"},
                                   {"channels_imagej.tif", "3 channels"},
                                   {"time_and_slices.tif", "2 x 3 pages"}}) {
    SCOPED_TRACE(name);
    EXPECT_TRUE(contains(what_of(golden(name)), text)) << what_of(golden(name));
    EXPECT_TRUE(contains(error_of([&] { picture_header(golden(name)); }).what(), text));
    EXPECT_TRUE(contains(error_of([&] { read_label_picture(golden(name)); }).what(), text));
  }
  const TempFolder folder;
  EXPECT_TRUE(contains(what_of(folder.write("a.png", slurp(golden("stack.tif")))), "TIFF of 3 pages"));
}

TEST(Picture, SpacingOfAStack) {
  const TempFolder folder;
  const std::string stack = slurp(golden("stack.tif"));
  const fs::path image = folder.write("c_0000.tif", stack);
  EXPECT_FALSE(stack_spacing_mm(image));
  EXPECT_FALSE(read_label_picture(image).has_millimetres);
  EXPECT_EQ(*stack_spacing_mm(golden("stack_imagej.tif")), (std::array<double, 3>{0.5, 0.25, 3}));
  folder.write("c_0000.json", "{\"other\": 1}");
  folder.write("c.json", "{\"spacing\": [3.0, 1.5, 0.5]}");
  EXPECT_EQ(picture_header(image)->spacing_mm, (std::array<double, 3>{0.5, 1.5, 3}));
  EXPECT_EQ(picture_volume(image).spacing_mm, (std::array<double, 3>{0.5, 1.5, 3}));
  EXPECT_TRUE(read_label_picture(folder.write("c.tif", stack)).has_millimetres);
  folder.write("c_0000.json", "{\"spacing\": [3.0, 1.5, 1]}");
  EXPECT_TRUE(contains(error_of([&] { picture_header(image); }).what(), "two different spacings"));
  folder.write("c_0000.json", "{\"spacing\": [0, 1.5, 1]}");
  EXPECT_TRUE(contains(error_of([&] { picture_header(image); }).what(), "c_0000.json"));
}

// EXIF orientation 6: the stored picture is to be turned by 90 degrees clockwise.
TEST(Picture, ExifOrientationIsApplied) {
  for (const char* ending : {"png", "jpg"}) {
    const Image turned = read_picture(golden(concat("turned.", ending))),
                plain = read_picture(golden(concat("g8.", ending)));
    ASSERT_EQ(turned.height, 30);
    ASSERT_EQ(turned.width, 20);
    for (int64_t row = 0; row < 30; ++row) {
      for (int64_t column = 0; column < 20; ++column)
        ASSERT_EQ(turned.pixels[static_cast<size_t>(row * 20 + column)],
                  plain.pixels[static_cast<size_t>((19 - column) * 30 + row)]);
    }
  }
}

TEST(Picture, MasksWithAPaletteHoldIndices) {
  for (const char* name : {"labels_colours.png", "labels_greys.png"}) {
    const LabelPicture picture = read_label_picture(golden(name));
    EXPECT_EQ(bytes_of(picture.volume), labels(1, 2)) << name;
    EXPECT_GE(picture.palette.size(), 3U);
    EXPECT_FALSE(picture.is_lossy);
  }
  EXPECT_EQ(bytes_of(picture_volume(golden("labels_greys.png"))), labels(127, 255));
  EXPECT_EQ(picture_volume(golden("labels_colours.png")).channels, 3);
  EXPECT_TRUE(contains(error_of([&] { read_label_picture(golden("labels_descending.png")); }).what(), "do not ascend"));
  EXPECT_EQ(picture_volume(golden("labels_descending.png")).channels, 1);
}

TEST(Picture, OneBitIsBlackAndWhite) {
  EXPECT_EQ(bytes_of(picture_volume(golden("labels_bit.png"))), labels(0, 255));
  const LabelPicture picture = read_label_picture(golden("labels_bit.png"));
  EXPECT_EQ(bytes_of(picture.volume), labels(0, 255));
  EXPECT_EQ(picture.bits, 1);
}

TEST(Picture, MasksThatCanBeReadInTwoWaysAreRefused) {
  EXPECT_TRUE(contains(error_of([&] { read_label_picture(golden("white0.tif")); }).what(), "white as 0"));
  EXPECT_TRUE(read_label_picture(golden("g8.jpg")).is_lossy);
}

TEST(Picture, CutOffFilesAreErrors) {
  for (const char* name :
       {"g8.png", "rgb8.png", "g8.jpg", "rgb8.jpg", "g8.tif", "rgb16.tif", "stack.tif", "g8.bmp", "rgb8.bmp"}) {
    const TempFolder folder;
    const std::string bytes = slurp(golden(name)), extension = fs::path(name).extension();
    for (size_t size = 0; size < bytes.size(); size += size < 64 ? 1 : bytes.size() / 29) {
      SCOPED_TRACE(size);
      what_of(folder.write(std::to_string(size) + extension, bytes.substr(0, size)));
    }
    what_of(folder.write("cut" + extension, bytes.substr(0, bytes.size() - 1)));
  }
}

TEST(Picture, DamagedAndStrangeFilesAreErrorsWithoutChatter) {
  const TempFolder folder;
  ::testing::internal::CaptureStderr();
  ::testing::internal::CaptureStdout();
  EXPECT_TRUE(contains(what_of(folder / "none.png"), "does not exist"));
  EXPECT_TRUE(contains(what_of(folder.write("zero.png", "")), "0 bytes"));
  EXPECT_TRUE(contains(what_of(folder.write("text.png", "Once upon a time")), "is not a PNG, JPEG, TIFF or BMP"));
  fs::create_directory(folder / "folder.png");
  EXPECT_TRUE(contains(what_of(folder / "folder.png"), "is not a file"));
  fs::create_symlink("nowhere", folder / "dangling.png");
  EXPECT_TRUE(contains(what_of(folder / "dangling.png"), "does not exist"));

  std::string damaged = slurp(golden("g8.png"));
  damaged[damaged.size() / 2] ^= 0x10;
  EXPECT_TRUE(contains(what_of(folder.write("damaged.png", damaged)), "wrong checksum"));

  std::string jbig = slurp(golden("g16.tif"));
  jbig.replace(jbig.find(std::string_view("\x03\x01\x03\0\x01\0\0\0", 8)) + 8, 2, "\x65\x87");  // tag 259
  EXPECT_TRUE(contains(what_of(folder.write("jbig.tif", jbig)), "is a TIFF compressed with JBIG, which is not read"));

  std::string bmp(54, '\0');
  bmp.replace(0, 2, "BM");
  bmp[2] = 54;
  bmp[10] = 54;
  bmp[14] = 40;
  bmp[20] = 1;
  bmp[24] = 1;
  bmp[26] = 1;
  bmp[28] = 24;  // 65536 x 65536
  EXPECT_TRUE(contains(what_of(folder.write("huge.bmp", bmp)), "65536 x 65536 pixels"));
  std::string jpeg = slurp(golden("g8.jpg"));
  const size_t frame = jpeg.find("\xFF\xC0");
  ASSERT_NE(frame, std::string::npos);
  for (size_t i = 5; i < 9; ++i) jpeg[frame + i] = '\xFF';
  EXPECT_TRUE(contains(what_of(folder.write("huge.jpg", jpeg)), "65535 x 65535 pixels"));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
}

TEST(Picture, OddChunksOfAPngAreHarmless) {
  const TempFolder folder;
  std::string bytes = slurp(golden("g8.png"));
  const std::string chunk("\0\0\0\4gAMA\0\0\0\0\x8B%`M", 16);  // a gamma of 0, of which libpng warns
  bytes.insert(33, chunk);
  ::testing::internal::CaptureStderr();
  const Error error = error_of([&] {
    read_picture(folder.write("b.png", bytes));
    throw Error(ExitCode::ok, "read");
  });
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_TRUE(contains(error.what(), "read"));
}

TEST(EncodePng, RoundTrip) {
  const TempFolder folder;
  Image image{2, 2, 3, {255, 0, 10, 0, 128, 20, 300, -5, 1.6F, NAN, 7, 8}, 255};
  const Image back = read_picture(folder.write("a.png", encode_png(image)));
  EXPECT_EQ(back.channels, 3);
  EXPECT_EQ(back.pixels, (std::vector<float>{255, 0, 10, 0, 128, 20, 255, 0, 2, 0, 7, 8}));
  image.channels = 1;
  image.width = 6;
  EXPECT_EQ(read_picture(folder.write("b.png", encode_png(image))).pixels, back.pixels);
  image.channels = 2;
  EXPECT_EQ(error_of([&] { encode_png(image); }).code(), ExitCode::internal);
}

}  // namespace
}  // namespace vmae::io
