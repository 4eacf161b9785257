#include "vmae/io/picture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <opencv2/imgcodecs.hpp>

#include "support/errors.h"
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

// 20 rows, 30 columns, each value its own: a smooth ramp, so that JPEG keeps it.
cv::Mat ramp_picture(int type) {
  cv::Mat picture(20, 30, type);
  const int channels = picture.channels();
  for (int row = 0; row < 20; ++row) {
    for (int i = 0; i < 30 * channels; ++i) {
      const int value = 4 * row + 3 * (i / channels) + 20 * (i % channels);
      if (picture.depth() == CV_8U) picture.ptr<unsigned char>(row)[i] = static_cast<unsigned char>(value);
      if (picture.depth() == CV_16U) picture.ptr<uint16_t>(row)[i] = static_cast<uint16_t>(200 * value);
      if (picture.depth() == CV_32F) picture.ptr<float>(row)[i] = 0.5F * static_cast<float>(value) - 10.0F;
    }
  }
  return picture;
}

// `expected` in OpenCV's order (BGR, perhaps alpha), `actual` RGB or grey.
void expect_equal(const Image& actual, const cv::Mat& expected, double tolerance) {
  ASSERT_EQ(actual.height, expected.rows);
  ASSERT_EQ(actual.width, expected.cols);
  cv::Mat wanted;
  expected.convertTo(wanted, CV_32F);
  const int channels = static_cast<int>(actual.channels);
  for (int row = 0; row < wanted.rows; ++row) {
    for (int column = 0; column < wanted.cols; ++column) {
      for (int c = 0; c < channels; ++c) {
        const int from = channels == 3 ? 2 - c : c;
        ASSERT_NEAR(actual.pixels[static_cast<size_t>((row * wanted.cols + column) * channels + c)], wanted.ptr<float>(row)[column * wanted.channels() + from],
                    tolerance)
            << row << ' ' << column << ' ' << c;
      }
    }
  }
}

TEST(Picture, ExtensionsOfAnyCase) {
  for (const char* name : {"a.png", "a.JPG", "a.jpeg", "a.tif", "a.TIFF", "a.bmp"}) EXPECT_TRUE(is_picture(name)) << name;
  for (const char* name : {"a.gif", "png", "a.png.txt", "a.nii", ".png"}) EXPECT_FALSE(is_picture(name)) << name;
}

TEST(Picture, DepthsAndColours) {
  struct Case {
    const char* name;
    int type;
    int64_t channels;
    double stored_max, tolerance;
  };
  const TempFolder folder;
  for (const Case& c :
       {Case{"g8.png", CV_8UC1, 1, 255, 0}, Case{"g16.png", CV_16UC1, 1, 65535, 0}, Case{"rgb8.png", CV_8UC3, 3, 255, 0},
        Case{"rgb16.png", CV_16UC3, 3, 65535, 0}, Case{"rgba8.png", CV_8UC4, 3, 255, 0}, Case{"g8.tif", CV_8UC1, 1, 255, 0},
        Case{"g16.tif", CV_16UC1, 1, 65535, 0}, Case{"rgb16.tif", CV_16UC3, 3, 65535, 0}, Case{"g32f.tiff", CV_32FC1, 1, 0, 0},
        Case{"g8.bmp", CV_8UC1, 1, 255, 0}, Case{"rgb8.bmp", CV_8UC3, 3, 255, 0}, Case{"g8.jpg", CV_8UC1, 1, 255, 4}, Case{"rgb8.jpg", CV_8UC3, 3, 255, 12}}) {
    SCOPED_TRACE(c.name);
    const cv::Mat written = ramp_picture(c.type);
    ASSERT_TRUE(cv::imwrite((folder / c.name).string(), written));
    const Image image = read_picture(folder / c.name);
    EXPECT_EQ(image.channels, c.channels);
    EXPECT_EQ(image.stored_max, c.stored_max);
    expect_equal(image, written, c.tolerance);
  }
}

TEST(Picture, TheContentDecidesNotTheExtension) {
  const TempFolder folder;
  cv::imwrite((folder / "a.jpg").string(), ramp_picture(CV_8UC1));
  fs::rename(folder / "a.jpg", folder / "a.png");
  EXPECT_EQ(read_picture(folder / "a.png").width, 30);
}

TEST(Picture, FirstPageOfATiff) {
  const TempFolder folder;
  cv::imwritemulti((folder / "pages.tif").string(), std::vector<cv::Mat>{ramp_picture(CV_8UC1), cv::Mat::zeros(5, 5, CV_8UC1)});
  expect_equal(read_picture(folder / "pages.tif"), ramp_picture(CV_8UC1), 0);
}

// EXIF orientation 6: the stored picture is to be turned by 90 degrees clockwise.
TEST(Picture, ExifOrientationIsApplied) {
  const TempFolder folder;
  cv::imwrite((folder / "plain.jpg").string(), ramp_picture(CV_8UC1));
  std::string bytes = slurp(folder / "plain.jpg");
  bytes.insert(2, std::string("\xFF\xE1\0\x22"
                              "Exif\0\0"
                              "MM\0*\0\0\0\x08"
                              "\0\x01"
                              "\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"
                              "\0\0\0\0",
                              36));
  const Image turned = read_picture(folder.write("turned.jpg", bytes)), plain = read_picture(folder / "plain.jpg");
  ASSERT_EQ(turned.height, 30);
  ASSERT_EQ(turned.width, 20);
  for (int64_t row = 0; row < 30; ++row) {
    for (int64_t column = 0; column < 20; ++column)
      ASSERT_EQ(turned.pixels[static_cast<size_t>(row * 20 + column)], plain.pixels[static_cast<size_t>((19 - column) * 30 + row)]);
  }
}

TEST(Picture, CutOffFilesAreErrors) {
  for (const char* extension : {".png", ".jpg", ".tif", ".bmp"}) {
    for (const int type : {CV_8UC1, CV_8UC3}) {
      const TempFolder folder;
      const fs::path whole = folder / (std::string("whole") + extension);
      cv::imwrite(whole.string(), ramp_picture(type));
      const std::string bytes = slurp(whole);
      for (size_t size = 0; size < bytes.size(); size += size < 64 ? 1 : bytes.size() / 29) {
        SCOPED_TRACE(size);
        what_of(folder.write(std::to_string(size) + extension, bytes.substr(0, size)));
      }
      what_of(folder.write(std::string("cut") + extension, bytes.substr(0, bytes.size() - 1)));
    }
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

  cv::imwrite((folder / "a.png").string(), ramp_picture(CV_8UC1));
  std::string damaged = slurp(folder / "a.png");
  damaged[damaged.size() / 2] ^= 0x10;
  EXPECT_TRUE(contains(what_of(folder.write("damaged.png", damaged)), "wrong checksum"));

  std::string bmp(54, '\0');
  bmp.replace(0, 2, "BM");
  bmp[2] = 54, bmp[10] = 54, bmp[14] = 40, bmp[20] = 1, bmp[24] = 1, bmp[26] = 1, bmp[28] = 24;  // 65536 x 65536
  EXPECT_TRUE(contains(what_of(folder.write("huge.bmp", bmp)), "65536 x 65536 pixels"));
  cv::imwrite((folder / "a.jpg").string(), ramp_picture(CV_8UC1));
  std::string jpeg = slurp(folder / "a.jpg");
  const size_t frame = jpeg.find("\xFF\xC0");
  ASSERT_NE(frame, std::string::npos);
  for (size_t i = 5; i < 9; ++i) jpeg[frame + i] = '\xFF';
  EXPECT_TRUE(contains(what_of(folder.write("huge.jpg", jpeg)), "65535 x 65535 pixels"));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
}

TEST(Picture, SignedIntegerTiffsAreRefused) {
  const TempFolder folder;
  cv::imwrite((folder / "a.tif").string(), ramp_picture(CV_16UC1), {cv::IMWRITE_TIFF_COMPRESSION, 1});
  std::string bytes = slurp(folder / "a.tif");
  const size_t format = bytes.find(std::string("\x53\x01\x03\x00\x01\x00\x00\x00\x01\x00", 10));  // SampleFormat = 1, little endian
  ASSERT_NE(format, std::string::npos);
  bytes[format + 8] = 2;
  EXPECT_TRUE(contains(what_of(folder.write("signed.tif", bytes)), "16-bit signed integers"));
}

TEST(Picture, OddChunksOfAPngAreHarmless) {
  const TempFolder folder;
  cv::imwrite((folder / "a.png").string(), ramp_picture(CV_8UC1));
  std::string bytes = slurp(folder / "a.png");
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
