// Slices of every stored type with every kind of augmentation, image and mask together.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "support/errors.h"
#include "vmae/data/transforms.h"

namespace vmae::data {
namespace {

ImageOptions grid(int64_t height, int64_t width, int64_t channels) {
  ImageOptions options;
  options.image_size = {height, width};
  options.in_channels = channels;
  return options;
}

// A picture of any stored type, filled with noise.
template <class T>
struct Picture {
  std::vector<T> pixels;
  Slice slice;

  Picture(io::StoredType type, int64_t height, int64_t width, int64_t channels, double low, double high) {
    Random random(7);
    for (int64_t i = 0; i < height * width * channels; ++i) pixels.push_back(static_cast<T>(random.uniform(low, high)));
    slice = {height, width, channels, type, pixels.data(), {}, {low, high}, nullptr};
  }
};

std::vector<float> input_of(const Slice& slice, const ImageOptions& options, const Augmentation& augmentation = {}) {
  std::vector<float> output(static_cast<size_t>(options.in_channels * options.image_size[0] * options.image_size[1]),
                            -99.0F);
  to_input(slice, options, augmentation, {output.data()});
  return output;
}

// The same numbers as floats, which never go the direct way.
template <class T>
std::vector<float> input_of_floats(const Picture<T>& picture, const ImageOptions& options,
                                   const Augmentation& augmentation = {}) {
  std::vector<float> values;
  for (const T pixel : picture.pixels)
    values.push_back(
        static_cast<float>(picture.slice.scaling.slope * static_cast<double>(pixel) + picture.slice.scaling.intercept));
  Slice slice = picture.slice;
  slice.type = io::StoredType::f32;
  slice.pixels = values.data();
  slice.scaling = {};
  return input_of(slice, options, augmentation);
}

std::vector<Augmentation> all_flips() {
  std::vector<Augmentation> augmentations(4);
  for (size_t i = 0; i < 4; ++i) augmentations[i].flips = {i % 2 == 1, i > 1};
  return augmentations;
}

TEST(ToInput, BytesGoDirectlyAndGiveWhatFloatsGive) {
  for (const int64_t channels : {1, 3}) {
    for (const int64_t in_channels : {1, 3}) {
      Picture<uint8_t> picture(io::StoredType::u8, 18, 21, channels, 10, 250);
      ImageOptions options = grid(18, 21, in_channels);
      if (in_channels == 3) {
        options.mean = {0.1, 0.1, 0.3};
        options.std = {0.2, 0.2, 0.4};
      }
      for (const Augmentation& augmentation : all_flips())
        EXPECT_EQ(input_of(picture.slice, options, augmentation), input_of_floats(picture, options, augmentation));
      picture.slice.range.per_slice = true;
      EXPECT_EQ(input_of(picture.slice, options), input_of_floats(picture, options));
      picture.slice.scaling = {-0.5, 3};
      picture.slice.range = {-80, -10};
      EXPECT_EQ(input_of(picture.slice, options), input_of_floats(picture, options));
    }
  }
}

TEST(ToInput, SignedBytesToo) {
  const Picture<int8_t> picture(io::StoredType::i8, 9, 8, 1, -128, 127);
  for (const Augmentation& augmentation : all_flips())
    EXPECT_EQ(input_of(picture.slice, grid(9, 8, 3), augmentation),
              input_of_floats(picture, grid(9, 8, 3), augmentation));
}

template <class T>
void expect_close_to_floats(io::StoredType type, double low, double high, io::Scaling scaling, IntensityRange range) {
  Picture<T> picture(type, 18, 21, 1, low, high);
  picture.slice.scaling = scaling;
  picture.slice.range = range;
  for (const int64_t side : {18, 30}) {
    for (const Augmentation& augmentation : all_flips()) {
      const auto actual = input_of(picture.slice, grid(side, 21, 3), augmentation),
                 expected = input_of_floats(picture, grid(side, 21, 3), augmentation);
      for (size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], 1e-5) << i;
    }
  }
}

TEST(ToInput, SixteenBitsGiveWhatFloatsGiveToRounding) {
  expect_close_to_floats<uint16_t>(io::StoredType::u16, 0, 65535, {}, {0, 65535});
  expect_close_to_floats<uint16_t>(io::StoredType::u16, 0, 4095, {1, -1024}, {-160, 240});
  expect_close_to_floats<int16_t>(io::StoredType::i16, -2000, 3000, {0.5, 10}, {-200, 600});
  expect_close_to_floats<int16_t>(io::StoredType::i16, -2000, 3000, {}, {400, 700, /*clamp=*/false});
}

TEST(ToInput, AConstantSliceIsZeroWhateverItsType) {
  ImageOptions options = grid(4, 4, 1);
  options.mean = {0};
  options.std = {1};
  Picture<uint8_t> bytes(io::StoredType::u8, 4, 4, 1, 9, 9);
  Picture<int16_t> shorts(io::StoredType::i16, 4, 4, 1, 9, 9);
  for (Slice slice : {bytes.slice, shorts.slice}) {
    EXPECT_EQ(input_of(slice, options), std::vector<float>(16, 0.0F));
    slice.range = {0, 1, true, /*per_slice=*/true};
    EXPECT_EQ(input_of(slice, options), std::vector<float>(16, 0.0F));
  }
}

struct Pair {
  std::vector<float> image;
  std::vector<uint8_t> mask;
};

Pair augmented(const Slice& slice, const ImageOptions& options, const Augmentation& augmentation) {
  const auto n = static_cast<size_t>(options.image_size[0] * options.image_size[1]);
  Pair pair{std::vector<float>(n * static_cast<size_t>(options.in_channels)), std::vector<uint8_t>(n)};
  to_input(slice, options, augmentation, {pair.image.data(), pair.mask.data()});
  return pair;
}

// All resize modes, sizes that shrink, grow and stay; augmentations of all tasks.
template <class Check>
void for_many_samples(const Slice& slice, const Check& expect) {
  for (const char* resize : {"stretch", "pad", "crop"}) {
    for (const auto& [height, width] : {std::pair<int64_t, int64_t>{40, 52}, {24, 24}, {64, 80}, {30, 90}}) {
      ImageOptions options = grid(height, width, 1);
      options.resize = resize;
      options.mean = {0};
      options.std = {1};
      for (const AugmentOptions& augment :
           {pretraining_augmentation(), segmentation_augmentation(), classification_augmentation()}) {
        for (uint64_t key = 0; key < 10; ++key) {
          SCOPED_TRACE(concat(resize, " ", height, " ", width, " ", key));
          Augmentation augmentation = draw_augmentation(augment, Random(key), {height, width}, {height, width});
          augmentation.minmax = false;
          expect(augmented(slice, options, augmentation));
        }
      }
    }
  }
}

TEST(ToInput, ImageAndMaskEndAtTheSamePlace) {
  const std::vector<uint8_t> pixels(40 * 52, 255), mask(40 * 52, 5);
  int64_t num_outside = 0, num_samples = 0;
  for_many_samples({40, 52, 1, io::StoredType::u8, pixels.data(), {}, {0, 255}, mask.data()}, [&](const Pair& pair) {
    for (size_t i = 0; i < pair.mask.size(); ++i) {
      ASSERT_EQ(pair.mask[i], pair.image[i] > 0.5F ? 5 : 0) << i;
      ASSERT_TRUE(pair.image[i] == 0.0F || std::abs(pair.image[i] - 1) < 1e-5F) << pair.image[i];
      num_outside += pair.mask[i] == 0;
    }
    ++num_samples;
  });
  EXPECT_GT(num_outside, 20 * num_samples);
}

// A smooth image and the mask of what is brighter than half: after any
// geometry they still belong together, up to what half a pixel can change.
TEST(ToInput, AMaskThatIsTheThresholdedImageStaysSo) {
  std::vector<uint8_t> pixels, mask;
  for (int y = 0; y < 40; ++y) {
    for (int x = 0; x < 52; ++x) {
      const double distance = std::hypot(x - 20.0, (y - 17.0) * 1.3);
      pixels.push_back(static_cast<uint8_t>(std::clamp(255 * (1 - distance / 36), 0.0, 255.0)));
      mask.push_back(pixels.back() > 127 ? 3 : 0);
    }
  }
  int64_t num_labelled = 0;
  for_many_samples({40, 52, 1, io::StoredType::u8, pixels.data(), {}, {0, 255}, mask.data()}, [&](const Pair& pair) {
    for (size_t i = 0; i < pair.mask.size(); ++i) {
      if (std::abs(pair.image[i] - 0.5F) < 0.06F) continue;
      ASSERT_EQ(pair.mask[i], pair.image[i] > 0.5F ? 3 : 0) << i << " " << pair.image[i];
      num_labelled += pair.mask[i] > 0;
    }
  });
  EXPECT_GT(num_labelled, 10000);
}

TEST(ToInput, FlipsOfTheMaskAreExactAtEverySize) {
  Picture<uint8_t> picture(io::StoredType::u8, 40, 52, 1, 0, 255);
  picture.slice.mask = picture.pixels.data();
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{40, 52}, {20, 26}, {33, 90}}) {
    const ImageOptions options = grid(height, width, 1);
    const Pair plain = augmented(picture.slice, options, {});
    for (const Augmentation& augmentation : all_flips()) {
      const Pair flipped = augmented(picture.slice, options, augmentation);
      for (int64_t row = 0; row < height; ++row) {
        for (int64_t column = 0; column < width; ++column) {
          const int64_t from = (augmentation.flips.vertical ? height - 1 - row : row) * width +
                               (augmentation.flips.horizontal ? width - 1 - column : column);
          ASSERT_EQ(flipped.mask[static_cast<size_t>(row * width + column)], plain.mask[static_cast<size_t>(from)]);
          ASSERT_EQ(flipped.image[static_cast<size_t>(row * width + column)], plain.image[static_cast<size_t>(from)]);
        }
      }
    }
  }
}

TEST(ToInput, ASliceWithoutMaskIsBackground) {
  const Picture<uint8_t> picture(io::StoredType::u8, 4, 4, 1, 0, 255);
  EXPECT_EQ(augmented(picture.slice, grid(4, 4, 1), {}).mask, std::vector<uint8_t>(16, 0));
}

TEST(ToInput, ColourIsWarpedPerChannel) {
  Picture<uint8_t> picture(io::StoredType::u8, 24, 24, 3, 0, 255);
  Augmentation augmentation;
  augmentation.is_warped = true;
  augmentation.warp = rotation_warp(11, {24, 24});
  const auto colour = input_of(picture.slice, grid(24, 24, 3), augmentation);
  for (size_t channel = 0; channel < 3; ++channel) {
    std::vector<uint8_t> one;
    for (size_t i = channel; i < picture.pixels.size(); i += 3) one.push_back(picture.pixels[i]);
    Slice slice = picture.slice;
    slice.channels = 1;
    slice.pixels = one.data();
    const auto grey = input_of(slice, grid(24, 24, 1), augmentation);
    EXPECT_TRUE(std::equal(grey.begin(), grey.end(), colour.begin() + static_cast<std::ptrdiff_t>(channel * 24 * 24)));
  }
}

std::vector<float> changed(const std::vector<float>& values, const Augmentation& augmentation) {
  ImageOptions options = grid(1, static_cast<int64_t>(values.size()), 1);
  options.mean = {0};
  options.std = {1};
  return input_of({1, static_cast<int64_t>(values.size()), 1, io::StoredType::f32, values.data(), {}, {0, 1}, nullptr},
                  options, augmentation);
}

void expect_near(const std::vector<float>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 1e-6) << i;
}

TEST(ToInput, ValuesChange) {
  const std::vector<float> values{0.2F, 0.4F, 0.6F, 0.8F};
  Augmentation augmentation;
  augmentation.brightness = 0.1F;
  expect_near(changed(values, augmentation), {0.3F, 0.5F, 0.7F, 0.9F});
  augmentation = {};
  augmentation.contrast = 1.5F;
  expect_near(changed(values, augmentation), {0.05F, 0.35F, 0.65F, 0.95F});
  augmentation = {};
  augmentation.gamma = 2.0F;  // between .2 and .8
  expect_near(changed(values, augmentation), {0.2F, 0.2F + 0.6F / 9, 0.2F + 0.6F * 4 / 9, 0.8F});
  augmentation = {};
  augmentation.minmax = true;
  expect_near(changed(values, augmentation), {0, 1 / 3.0F, 2 / 3.0F, 1});
  expect_near(changed({0.5F, 0.5F}, augmentation), {0, 0});
}

}  // namespace
}  // namespace vmae::data
