// Views of contrastive learning: each step against torchvision's functions at fixed
// parameters (tests/golden/make_simclr.py), and what is drawn against what the options say.
#include "vmae/data/views.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/golden.h"
#include "support/tensors.h"
#include "vmae/data/augment.h"
#include "vmae/data/transforms.h"

namespace vmae::data {
namespace {

at::Tensor drawn(uint64_t seed, at::IntArrayRef shape) { return at::rand(shape, at::detail::createCPUGenerator(seed)); }

TEST(Views, EqualTorchvisionsAtFixedParameters) {
  const weights::TensorFile expected = test::golden("simclr");
  const auto of = [&](const char* key) { return *expected.find(std::string("views.") + key); };
  const int64_t n = of("hue").size(0);
  const ViewChanges changes{.jitters = at::ones({n}, at::kBool),
                            .order = of("order"),
                            .factors = of("factors"),
                            .hue = of("hue"),
                            .becomes_grey = of("becomes_grey") > 0,
                            .is_blurred = of("sigma") > 0,
                            .sigma = of("sigma").clamp_min(0.1)};
  const at::Tensor colour = changed(drawn(40, {n, 3, 40, 56}), changes, {}),
                   grey = changed(drawn(41, {n, 1, 40, 56}), changes, {});
  EXPECT_LT(test::max_abs_difference(colour.flatten().slice(0, 0, std::nullopt, 7), of("colour")), 2e-6);
  EXPECT_LT(test::max_abs_difference(grey.flatten().slice(0, 0, std::nullopt, 7), of("grey")), 2e-6);
}

// Values stay in [0, 1].
ImageOptions network_of(std::vector<int64_t> size, int64_t channels) {
  ImageOptions options;
  options.image_size = std::move(size);
  options.in_channels = channels;
  options.mean = {0.0};
  options.std = {1.0};
  return options;
}

TEST(Views, PartsEqualTorchvisionsResizedCrop) {
  const weights::TensorFile expected = test::golden("simclr");
  const at::Tensor image = drawn(42, {3, 50, 70}), parts = *expected.find("parts"), cut = *expected.find("parts.cut");
  const std::vector<float> pixels = [&] {
    const at::Tensor channels_last = image.permute({1, 2, 0}).contiguous();
    return std::vector<float>(channels_last.const_data_ptr<float>(),
                              channels_last.const_data_ptr<float>() + channels_last.numel());
  }();
  const Slice slice{50, 70, 3, io::StoredType::f32, pixels.data(), {}, {0.0, 1.0}, nullptr};
  const ImageOptions options = network_of({48, 40}, 3);
  for (int64_t i = 0; i < parts.size(0); ++i) {
    const auto at_column = [&](int64_t column) { return parts[i][column].item<int64_t>(); };
    Augmentation augmentation;
    augmentation.part = Part{at_column(0), at_column(1), {at_column(2), at_column(3)}};
    at::Tensor ours = at::empty({3, 48, 40});
    to_input(slice, options, augmentation, {ours.mutable_data_ptr<float>()});
    const at::Tensor of_part =
        image.slice(1, at_column(0), at_column(0) + at_column(2)).slice(2, at_column(1), at_column(1) + at_column(3));
    const at::Tensor wanted = cut[i].clamp(of_part.min().item<double>(), of_part.max().item<double>());
    EXPECT_LT(test::max_abs_difference(ours.flatten().slice(0, 0, std::nullopt, 7), wanted), 2e-5) << i;
  }
}

// A part that is larger than the network's size: the mean of the pixels that fall into one.
TEST(Views, PartsThatShrinkAreAveraged) {
  const at::Tensor image = drawn(8, {40, 60});
  const Slice slice{40, 60, 1, io::StoredType::f32, image.const_data_ptr<float>(), {}, {0.0, 1.0}, nullptr};
  const ImageOptions options = network_of({16, 12}, 1);
  Augmentation augmentation;
  augmentation.part = Part{3, 7, {32, 36}};
  at::Tensor ours = at::empty({1, 16, 12});
  to_input(slice, options, augmentation, {ours.mutable_data_ptr<float>()});
  const at::Tensor wanted = image.slice(0, 3, 35).slice(1, 7, 43).reshape({16, 2, 12, 3}).mean(at::IntArrayRef({1, 3}));
  EXPECT_LT(test::max_abs_difference(ours[0], wanted), 1e-6);
}

// At the network's size the kernel is 23 taps wide.
TEST(Views, TheBlurIsATenthOfTheSideWide) {
  ViewOptions only_blur;
  only_blur.jitter = only_blur.grey = 0.0;
  only_blur.blur = 1.0;
  only_blur.blur_sigma = {30.0, 30.0};  // nearly a mean, so that its width shows
  at::Tensor point = at::zeros({1, 1, 224, 240});
  point[0][0][100][120] = 1.0;
  const at::Tensor blurred = changed(point, view_changes(drawn(9, {1, kViewDraws}), only_blur), only_blur)[0][0];
  EXPECT_EQ((blurred > 0).sum().item<int64_t>(), 23 * 23);
  EXPECT_GT(blurred[89][109].item<float>(), 0.0F);
  EXPECT_EQ(blurred[88][120].item<float>(), 0.0F);
}

// Where the network's size is that of the image, masks and images are cut alike all the same.
TEST(Views, AMaskFollowsItsPart) {
  std::vector<uint8_t> pixels(64), mask(64);
  for (size_t i = 0; i < 64; ++i) pixels[i] = mask[i] = static_cast<uint8_t>(i / 8 >= 4 && i % 8 >= 2 ? 255 : 0);
  const Slice slice{8, 8, 1, io::StoredType::u8, pixels.data(), {}, {0.0, 255.0}, mask.data()};
  const ImageOptions options = network_of({8, 8}, 1);
  Augmentation augmentation;
  augmentation.part = Part{4, 2, {4, 4}};
  at::Tensor image = at::zeros({1, 8, 8}), cut = at::zeros({8, 8}, at::kByte);
  to_input(slice, options, augmentation, {image.mutable_data_ptr<float>(), cut.mutable_data_ptr<uint8_t>()});
  EXPECT_EQ(image.min().item<float>(), 1.0F);
  EXPECT_EQ(cut.min().item<int>(), 255);
}

TEST(Views, DrawsAreWithinTheOptionsAndOfTheirProbability) {
  ViewOptions options;
  options.brightness = 0.4;
  options.contrast = 1.5;
  options.saturation = 0.1;
  const int64_t n = 20000;
  const ViewChanges changes = view_changes(drawn(1, {n, kViewDraws}), options);
  const auto share = [](const at::Tensor& what) { return what.to(at::kFloat).mean().item<double>(); };
  EXPECT_NEAR(share(changes.jitters), options.jitter, 0.015);
  EXPECT_NEAR(share(changes.becomes_grey), options.grey, 0.015);
  EXPECT_NEAR(share(changes.is_blurred), options.blur, 0.015);
  for (int64_t place = 0; place < 4; ++place) {
    for (int64_t step = 0; step < 4; ++step)
      EXPECT_NEAR(share(changes.order.select(1, place) == step), 0.25, 0.015) << "every order as often";
  }
  const std::vector<std::pair<double, double>> ranges{{0.6, 1.4}, {0.0, 2.5}, {0.9, 1.1}};
  for (size_t i = 0; i < 3; ++i) {
    const at::Tensor factor = changes.factors.select(1, static_cast<int64_t>(i));
    EXPECT_GE(factor.min().item<double>(), ranges[i].first - 1e-6);
    EXPECT_LE(factor.max().item<double>(), ranges[i].second + 1e-6);
    EXPECT_NEAR(share(factor), (ranges[i].first + ranges[i].second) / 2, 0.03);
  }
  EXPECT_NEAR(changes.hue.abs().max().item<double>(), options.hue, 0.01);
  EXPECT_NEAR(changes.sigma.min().item<double>(), 0.1, 0.01);
  EXPECT_NEAR(changes.sigma.max().item<double>(), 2.0, 0.01);
}

TEST(Views, AnImageThatNothingIsDrawnForStaysAsItIs) {
  ViewOptions none;
  none.jitter = none.grey = none.blur = 0.0;
  for (const int64_t channels : {1, 2, 3, 5}) {
    const at::Tensor image = drawn(2, {4, channels, 32, 40});
    EXPECT_TRUE(at::equal(changed(image, view_changes(drawn(3, {4, kViewDraws}), none), none), image));
    const at::Tensor view = changed(image, view_changes(drawn(3, {4, kViewDraws}), {}), {});
    EXPECT_EQ(view.sizes(), image.sizes());
    EXPECT_GE(view.min().item<double>(), 0.0);
    EXPECT_LE(view.max().item<double>(), 1.0);
  }
}

// What a view becomes does not depend on what else is in its batch.
TEST(Views, OfASampleAloneAreThoseInABatch) {
  const at::Tensor image = drawn(4, {6, 3, 64, 64}), draws = drawn(5, {6, kViewDraws});
  const at::Tensor together = changed(image, view_changes(draws, {}), {});
  for (int64_t i = 0; i < 6; ++i) {
    const at::Tensor alone = changed(image.slice(0, i, i + 1), view_changes(draws.slice(0, i, i + 1), {}), {});
    EXPECT_LT(test::max_abs_difference(alone[0], together[i]), 1e-6) << i;
  }
}

// Three equal channels stay equal, and become what one channel becomes.
TEST(Views, GreyInThreeChannelsIsAsGreyInOne) {
  const at::Tensor grey = drawn(6, {16, 1, 40, 40}), draws = drawn(7, {16, kViewDraws});
  const at::Tensor three = changed(grey.expand({-1, 3, -1, -1}), view_changes(draws, {}), {}),
                   one = changed(grey, view_changes(draws, {}), {});
  EXPECT_LT(test::max_abs_difference(three.slice(1, 0, 1), three.slice(1, 2, 3)), 1e-6);
  EXPECT_LT(test::max_abs_difference(three.slice(1, 0, 1), one), 2e-3) << "the weights of grey sum to 0.9999";
}

TEST(Views, RandomPartsHaveTheAreasAndRatiosAskedFor) {
  for (const PixelSize image : {PixelSize{100, 140}, PixelSize{37, 31}, PixelSize{224, 224}}) {
    Random random(3);
    const auto pixels = static_cast<double>(image.height * image.width);
    double area = 0;
    for (int i = 0; i < 4000; ++i) {
      const Part part = random_part(image, {0.2, 0.6}, {0.75, 4.0 / 3.0}, random);
      ASSERT_GE(part.row, 0);
      ASSERT_GE(part.column, 0);
      ASSERT_LE(part.row + part.size.height, image.height);
      ASSERT_LE(part.column + part.size.width, image.width);
      const auto height = static_cast<double>(part.size.height), width = static_cast<double>(part.size.width);
      EXPECT_GT((height + 1) * (width + 1), 0.2 * pixels);
      EXPECT_LT((height - 1) * (width - 1), 0.6 * pixels);
      EXPECT_GT((width + 1) / (height - 1), 0.75);
      EXPECT_LT((width - 1) / (height + 1), 4.0 / 3.0);
      area += height * width / pixels;
    }
    EXPECT_NEAR(area / 4000, 0.4, 0.02);
  }
  Random random(1);  // a strip, of which no part has the ratio
  const Part strip = random_part({4, 400}, {0.9, 1.0}, {0.75, 4.0 / 3.0}, random);
  EXPECT_EQ(strip.size, (PixelSize{4, 5}));
  EXPECT_EQ(strip.column, 197);
}

}  // namespace
}  // namespace vmae::data
