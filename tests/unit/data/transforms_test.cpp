#include "vmae/data/transforms.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "support/errors.h"
#include "support/images.h"
#include "support/temp_folder.h"
#include "vmae/volume/volume.h"

namespace vmae::data {
namespace {

using test::contains;
using test::error_of;
using Floats = std::vector<float>;

// Input as it is: no normalisation, one channel.
ImageOptions plain(int64_t height, int64_t width, int64_t channels = 1) {
  ImageOptions options;
  options.image_size = {height, width};
  options.in_channels = channels;
  options.mean = {0};
  options.std = {1};
  return options;
}

Floats input_of(const io::Image& image, const ImageOptions& options, Flips flips = {}) {
  Floats output(static_cast<size_t>(options.in_channels * options.image_size[0] * options.image_size[1]), -99.0F);
  const IntensityRange range = intensity_range(image.pixels, {.stored_max = image.stored_max}, options);
  to_input(image, range, options, flips, output.data());
  return output;
}

void expect_all_near(const Floats& actual, const Floats& expected, float tolerance = 1e-6F) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], expected[i], tolerance) << "at " << i;
}

ImageOptions with(const std::string& intensity) {
  ImageOptions options = plain(1, 4);
  options.intensity = intensity;
  return options;
}

TEST(Intensity, Stored) {
  expect_all_near(input_of({1, 4, 1, {0, 51, 102, 255}, 255}, with("auto")), {0, 0.2F, 0.4F, 1});
  expect_all_near(input_of({1, 4, 1, {0, 13107, 26214, 65535}, 65535}, with("stored")), {0, 0.2F, 0.4F, 1});
  const Error error = error_of([] { input_of({1, 4, 1, {0, 1, 2, 3}, 0}, with("stored")); });
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_TRUE(contains(error.what(), "data.intensity = stored"));
}

TEST(Intensity, WindowAndMinmax) {
  ImageOptions window = with("window");
  window.window = {-100, 300};
  expect_all_near(input_of({1, 4, 1, {-1000, 0, 100, 2000}, 0}, window), {0, 0.25F, 0.5F, 1});
  expect_all_near(input_of({1, 4, 1, {-10, 0, 10, 30}, 255}, with("minmax")), {0, 0.25F, 0.5F, 1});
}

TEST(Intensity, ZscoreIsNotClamped) {
  const float deviation = std::sqrt(5.0F);
  expect_all_near(input_of({1, 4, 1, {1, 3, 5, 7}, 0}, with("zscore")),
                  {-3 / deviation, -1 / deviation, 1 / deviation, 3 / deviation});
}

TEST(Intensity, PercentilesInterpolateAsNumpy) {
  ImageOptions options = with("auto");
  options.percentiles = {10, 75};
  const IntensityRange range = intensity_range({3, 1, 2, 5, 4, 9}, {}, options);  // numpy.percentile: 1.5, 4.75
  EXPECT_DOUBLE_EQ(range.low, 1.5);
  EXPECT_DOUBLE_EQ(range.high, 4.75);
  options.percentiles = {0, 100};
  EXPECT_EQ(intensity_range({3, 1, 2}, {}, options).low, 1);
  EXPECT_EQ(intensity_range({3, 1, 2}, {}, options).high, 3);
}

TEST(Intensity, PercentilesOfRealVolumesAsNumpy) {
  const auto cases = nlohmann::json::parse(test::slurp(test::tests_folder() / "golden/nifti_expected.json"));
  for (const auto& expected : cases) {
    const io::Volume volume = io::read_volume(test::hippocampus() / expected["file"].get<std::string>());
    const IntensityRange range = intensity_range(io::values(volume), {}, ImageOptions{});
    EXPECT_NEAR(range.low, expected["percentiles_0.5_99.5"][0].get<double>(), 1e-9 * std::abs(range.low) + 1e-9);
    EXPECT_NEAR(range.high, expected["percentiles_0.5_99.5"][1].get<double>(), 1e-9 * range.high);
  }
}

TEST(Intensity, LargeVolumesAreSampledEvenly) {
  Floats values(4'194'304);  // 2^22: a stride of 5 visits all columns
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 256);
  const IntensityRange range = intensity_range(values, {}, ImageOptions{});
  EXPECT_NEAR(range.low, 1, 0.5);
  EXPECT_NEAR(range.high, 254, 0.5);
}

TEST(Intensity, ConstantImagesBecomeZero) {
  for (const char* intensity : {"percentile", "minmax", "zscore"}) {
    SCOPED_TRACE(intensity);
    expect_all_near(input_of({1, 4, 1, {7, 7, 7, 7}, 0}, with(intensity)), {0, 0, 0, 0});
  }
  expect_all_near(input_of({1, 4, 1, {0, 0, 0, 0}, 255}, with("auto")), {0, 0, 0, 0});
}

TEST(Intensity, NonFiniteValuesAreErrors) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const char* intensity : {"auto", "stored", "minmax", "zscore"}) {
      const Error error = error_of([&] { intensity_range({1, bad, 2}, {.stored_max = 255}, with(intensity)); });
      EXPECT_EQ(error.code(), ExitCode::data);
      EXPECT_TRUE(contains(error.what(), "1 values that are NaN or infinite, of 3"));
    }
  }
}

TEST(Channels, GreyIsRepeatedAndColourBecomesLuminance) {
  expect_all_near(input_of({1, 2, 1, {0, 255}, 255}, plain(1, 2, 3)), {0, 1, 0, 1, 0, 1});
  expect_all_near(input_of({1, 2, 3, {255, 0, 0, 0, 255, 0}, 255}, plain(1, 2, 3)), {1, 0, 0, 1, 0, 0});
  expect_all_near(input_of({1, 3, 3, {255, 0, 0, 0, 255, 0, 0, 0, 255}, 255}, plain(1, 3, 1)),
                  {0.299F, 0.587F, 0.114F});
  const Error error = error_of([] { input_of({1, 1, 3, {1, 2, 3}, 255}, plain(1, 1, 2)); });
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_TRUE(contains(error.hint(), "set model.in_channels to 3"));
}

TEST(Resizing, StretchPadCrop) {
  const io::Image image{2, 4, 1, {0, 51, 102, 153, 0, 51, 102, 153}, 255};
  ImageOptions options = plain(2, 2);
  expect_all_near(input_of(image, options), {0.1F, 0.5F, 0.1F, 0.5F});
  options.resize = "crop";
  expect_all_near(input_of(image, options), {0.2F, 0.4F, 0.2F, 0.4F});
  options = plain(4, 4);
  options.resize = "pad";
  expect_all_near(input_of(image, options), {0, 0, 0, 0, 0, 0.2F, 0.4F, 0.6F, 0, 0.2F, 0.4F, 0.6F, 0, 0, 0, 0});
}

TEST(Resizing, ExtremeShapes) {
  for (const char* resize : {"stretch", "pad", "crop"}) {
    ImageOptions options = plain(8, 8);
    options.resize = resize;
    for (const io::Image& image : {io::Image{1, 5000, 1, Floats(5000, 255), 255},
                                   io::Image{5000, 1, 1, Floats(5000, 255), 255}, io::Image{1, 1, 1, {255}, 255}}) {
      const Floats input = input_of(image, options);
      EXPECT_EQ(*std::max_element(input.begin(), input.end()), 1.0F) << resize;
      EXPECT_GE(*std::min_element(input.begin(), input.end()), 0.0F) << resize;
    }
  }
}

TEST(Flipping, MirrorsTheGridOfTheNetwork) {
  const io::Image image{2, 2, 1, {0, 51, 102, 255}, 255};
  const ImageOptions options = plain(2, 2);
  expect_all_near(input_of(image, options, {.horizontal = true}), {0.2F, 0, 1, 0.4F});
  expect_all_near(input_of(image, options, {.vertical = true}), {0.4F, 1, 0, 0.2F});
  expect_all_near(input_of(image, options, {.horizontal = true, .vertical = true}), {1, 0.4F, 0.2F, 0});
}

TEST(Normalising, OneValueOrOnePerChannel) {
  ImageOptions options = plain(1, 1, 3);
  options.mean = {0.5};
  options.std = {0.25};
  expect_all_near(input_of({1, 1, 3, {0, 255, 51}, 255}, options), {-2, 2, -1.2F});
  options.mean = {0, 0.5, 0.2};
  options.std = {1, 0.5, 0.1};
  expect_all_near(input_of({1, 1, 3, {255, 255, 51}, 255}, options), {1, 1, 0});
}

TEST(ImageOptions, ProblemsNameTheKey) {
  const auto problem = [](auto change) {
    ImageOptions options;
    change(options);
    const Error error = error_of([&] { check(options); });
    EXPECT_EQ(error.code(), ExitCode::usage);
    return std::string(error.what());
  };
  EXPECT_NO_THROW(check(ImageOptions{}));
  EXPECT_TRUE(contains(problem([](ImageOptions& o) { o.image_size = {224}; }), "model.image_size"));
  EXPECT_TRUE(contains(problem([](ImageOptions& o) { o.percentiles = {99, 1}; }), "data.percentiles"));
  EXPECT_TRUE(contains(problem([](ImageOptions& o) { o.intensity = "window"; }), "data.window"));
  EXPECT_TRUE(contains(problem([](ImageOptions& o) { o.mean = {1, 2}; }), "data.mean has 2 values"));
  EXPECT_TRUE(contains(problem([](ImageOptions& o) { o.std = {}; }), "data.std has 0 values"));
}

}  // namespace
}  // namespace vmae::data
