#include "vmae/data/augment.h"

#include <gtest/gtest.h>

#include <torch/types.h>
#include <map>

#include <cmath>
#include <functional>

#include "support/errors.h"
#include "vmae/data/transforms.h"

namespace vmae::data {
namespace {

constexpr PixelSize kSquare{24, 24};

at::Tensor warped(const at::Tensor& image, const Affine& affine, PixelSize to) {
  at::Tensor result = at::empty({to.height, to.width});
  warp_bilinear({image.data_ptr<float>(), {image.size(0), image.size(1)}, image.size(1)}, affine, 0,
                result.data_ptr<float>(), to);
  return result;
}

TEST(AugmentWarp, MirrorsAndQuarterTurnsAreExact) {
  const at::Tensor image = at::rand({24, 24}), wide = at::rand({10, 17});
  EXPECT_TRUE(at::equal(warped(wide, mirror_warp({.horizontal = true}, {10, 17}), {10, 17}), wide.flip({1})));
  EXPECT_TRUE(at::equal(warped(wide, mirror_warp({.vertical = true}, {10, 17}), {10, 17}), wide.flip({0})));
  EXPECT_TRUE(at::equal(warped(wide, mirror_warp({true, true}, {10, 17}), {10, 17}), wide.flip({0, 1})));
  for (int turns = 0; turns < 4; ++turns)
    EXPECT_TRUE(at::equal(warped(image, quarter_turn_warp(turns, kSquare), kSquare), at::rot90(image, turns, {0, 1})));
}

TEST(AugmentWarp, AQuarterTurnFillsAGridThatIsNotSquare) {
  const at::Tensor turned = warped(at::ones({10, 40}), quarter_turn_warp(1, {10, 40}), {10, 40});
  EXPECT_EQ(turned.min().item<float>(), 1);
}

TEST(AugmentWarp, ARotationTurnsCounterClockwise) {
  const at::Tensor image = at::rand({24, 24});
  const at::Tensor turned = warped(image, rotation_warp(90, kSquare), kSquare), exact = at::rot90(image, 1, {0, 1});
  EXPECT_LT((turned - exact).slice(0, 1, 23).slice(1, 1, 23).abs().max().item<float>(), 1e-5);
}

// Where the affine puts a point of the image, written out.
TEST(AugmentWarp, TheAffineShearsScalesTurnsAndShifts) {
  const PixelSize size{50, 80};
  const double degrees = 17, shift_x = 3, shift_y = -5, scale = 1.3, shear = 8, pi = std::acos(-1.0);
  const Affine warp = affine_warp(degrees, shift_x, shift_y, scale, shear, size);
  for (const auto& [x, y] : {std::pair{0.0, 0.0}, {79.0, 3.0}, {40.0, 49.0}}) {
    const double u = x - 39.5, v = y - 24.5;
    const double sheared = scale * (u + std::tan(shear * pi / 180) * v), scaled = scale * v;
    const double c = std::cos(degrees * pi / 180), s = std::sin(degrees * pi / 180);
    const double to_x = 39.5 + c * sheared + s * scaled + shift_x, to_y = 24.5 - s * sheared + c * scaled + shift_y;
    EXPECT_NEAR(warp.xx * to_x + warp.xy * to_y + warp.x0, x, 1e-9);
    EXPECT_NEAR(warp.yx * to_x + warp.yy * to_y + warp.y0, y, 1e-9);
  }
}

TEST(AugmentWarp, EnlargeAndCropIsUpsamplingAndASlice) {
  const at::Tensor image = at::rand({20, 30});
  const at::Tensor large = at::upsample_bilinear2d(image.view({1, 1, 20, 30}), {22, 33}, /*align_corners=*/false)[0][0];
  const at::Tensor crop = warped(image, crop_warp({22, 33}, 2, 1, {20, 30}), {20, 30});
  EXPECT_LT((crop - large.slice(0, 2, 22).slice(1, 1, 31)).abs().max().item<float>(), 1e-5);
}

TEST(AugmentDraw, FlipsAreTheFirstTwoNumbers) {
  for (uint64_t key = 0; key < 200; ++key) {
    Random random(key);
    const bool horizontal = random.chance(0.5), vertical = random.chance(0.3);
    AugmentOptions options = segmentation_augmentation();
    options.flip_horizontal = 0.5;
    options.flip_vertical = 0.3;
    const Augmentation drawn = draw_augmentation(options, Random(key), kSquare, kSquare);
    EXPECT_EQ(drawn.flips.horizontal, horizontal);
    EXPECT_EQ(drawn.flips.vertical, vertical);
  }
}

bool equal(const Affine& a, const Affine& b) {
  return a.xx == b.xx && a.xy == b.xy && a.x0 == b.x0 && a.yx == b.yx && a.yy == b.yy && a.y0 == b.y0;
}

TEST(AugmentDraw, IsAFunctionOfTheKey) {
  const AugmentOptions options = classification_augmentation();
  for (uint64_t key = 0; key < 50; ++key) {
    const Augmentation a = draw_augmentation(options, Random(key), kSquare, kSquare),
                       b = draw_augmentation(options, Random(key), kSquare, kSquare);
    EXPECT_TRUE(equal(a.warp, b.warp));
    EXPECT_FALSE(equal(a.warp, draw_augmentation(options, Random(key + 1), kSquare, kSquare).warp));
  }
}

// How often something holds, of 4000 draws.
double share(const AugmentOptions& options, const std::function<bool(const Augmentation&)>& holds) {
  int count = 0;
  for (uint64_t key = 0; key < 4000; ++key)
    count += holds(draw_augmentation(options, Random(mix64(key)), kSquare, kSquare));
  return count / 4000.0;
}

AugmentOptions nothing() {
  AugmentOptions options;
  options.flip_horizontal = 0;
  return options;
}

double angle_of(const Augmentation& drawn) { return std::atan2(-drawn.warp.xy, drawn.warp.xx) * 180 / std::acos(-1.0); }

TEST(AugmentDraw, WholeDegrees) {
  AugmentOptions options = nothing();
  options.rotate = 1;
  options.rotate_whole = true;
  std::map<int, int> seen;
  for (uint64_t key = 0; key < 4000; ++key) {
    const double angle = angle_of(draw_augmentation(options, Random(mix64(key)), kSquare, kSquare));
    EXPECT_NEAR(angle, std::round(angle), 1e-9);
    ++seen[static_cast<int>(std::round(angle))];
  }
  EXPECT_EQ(seen.size(), 40U);
  EXPECT_EQ(seen.begin()->first, -20);
  EXPECT_EQ(seen.rbegin()->first, 19);
}

// A turned image has no value that it did not have, but 0; a mask of the same pixels is turned alike.
TEST(AugmentWarp, NearestAsMasks) {
  const PixelSize size{21, 37};
  const at::Tensor image = at::randint(1, 255, {size.height, size.width}).to(at::kByte), pixels = image.to(at::kFloat);
  const Affine turn = rotation_warp(17, size);
  at::Tensor of_mask = at::empty_like(image), of_image = at::empty_like(pixels);
  warp_nearest(Plane<uint8_t>{image.data_ptr<uint8_t>(), size, size.width}, turn, 0, of_mask.data_ptr<uint8_t>(), size);
  warp_nearest(Plane<float>{pixels.data_ptr<float>(), size, size.width}, turn, 0, of_image.data_ptr<float>(), size);
  EXPECT_TRUE(at::equal(of_mask.to(at::kFloat), of_image));
  EXPECT_GT(of_mask.count_nonzero().item<int64_t>(), 300);
}

// An image that grows is on the grid before it is turned: no block of equal pixels, and what a turn of the input is.
TEST(AugmentWarp, NearestTurnsWhatIsOnTheGrid) {
  const at::Tensor ramp = at::linspace(0, 1, 400);
  ImageOptions options;
  options.image_size = {32, 32};
  options.in_channels = 1;
  const auto input = [&](const Augmentation& augmentation) {
    at::Tensor output = at::empty({32, 32});
    to_input({20, 20, 1, io::StoredType::f32, ramp.const_data_ptr(), {}, {0, 1}, nullptr}, options, augmentation,
             {output.data_ptr<float>()});
    return output;
  };
  const at::Tensor plain = input({});
  for (int turns = 1; turns < 4; ++turns) {
    Augmentation turn;
    turn.is_nearest = turn.is_warped = true;
    turn.warp = quarter_turn_warp(turns, {32, 32});
    EXPECT_TRUE(at::equal(input(turn), at::rot90(plain, turns, {0, 1}))) << turns;
  }
}

TEST(AugmentDraw, PretrainingOnlyFlips) {
  const AugmentOptions options = pretraining_augmentation();
  EXPECT_NEAR(share(options, [](const Augmentation& a) { return a.flips.horizontal; }), 0.5, 0.03);
  EXPECT_EQ(share(options, [](const Augmentation& a) { return a.flips.vertical || a.is_warped || a.changes_values(); }),
            0);
}

TEST(AugmentDraw, SegmentationTurnsOrRotatesThenAffine) {
  AugmentOptions options = segmentation_augmentation();
  EXPECT_EQ(share(options, [](const Augmentation& a) { return a.minmax && !a.flips.horizontal && !a.flips.vertical; }),
            1);
  // neither of .5, .5 and .5
  EXPECT_NEAR(share(options, [](const Augmentation& a) { return !a.is_warped; }), 0.125, 0.02);
  options.affine = 0;
  const auto is_exact = [](const Augmentation& a) {
    return a.warp.xx == std::floor(a.warp.xx) && a.warp.xy == std::floor(a.warp.xy);
  };
  const auto is_mirrored = [](const Augmentation& a) { return a.warp.xx * a.warp.yy - a.warp.xy * a.warp.yx < 0; };
  EXPECT_NEAR(share(options, [&](const Augmentation& a) { return a.is_warped && is_exact(a) && is_mirrored(a); }), 0.5,
              0.03);
  EXPECT_NEAR(share(options, [&](const Augmentation& a) { return a.is_warped && !is_exact(a); }), 0.25, 0.03);
  EXPECT_NEAR(share(options,
                    [&](const Augmentation& a) {
                      return a.is_warped && !is_exact(a) && angle_of(a) > 10 && angle_of(a) <= 20;
                    }),
              0.25 / 4, 0.02);
  EXPECT_EQ(
      share(options,
            [&](const Augmentation& a) { return a.is_warped && !is_exact(a) && std::abs(angle_of(a)) > 20.0001; }),
      0);
}

TEST(AugmentDraw, AffineParametersStayWithinTheirLimitsAndFillThem) {
  AugmentOptions options = nothing();
  options.affine = 1;
  options.affine_degrees = options.affine_shear_degrees = 0;
  options.affine_scale = {0.8, 1.25};
  options.affine_shift = 0;
  EXPECT_EQ(share(options,
                  [](const Augmentation& a) {
                    return a.warp.xx >= 0.8 - 1e-9 && a.warp.xx <= 1.25 + 1e-9 &&
                           std::abs(a.warp.xx - a.warp.yy) < 1e-12;
                  }),
            1);
  // magnified by less than 1
  EXPECT_NEAR(share(options, [](const Augmentation& a) { return a.warp.xx > 1; }), 0.2 / 0.45, 0.03);
  options.affine_scale = {1, 1};
  options.affine_shift = 0.25;
  EXPECT_EQ(share(options, [](const Augmentation& a) { return std::abs(a.warp.x0) <= 6 && std::abs(a.warp.y0) <= 6; }),
            1);
  EXPECT_NEAR(share(options, [](const Augmentation& a) { return a.warp.x0 > 3; }), 0.25, 0.03);
  options.affine_shift = 0;
  options.affine_shear_degrees = 10;
  const double largest = std::tan(10 * std::acos(-1.0) / 180);
  EXPECT_EQ(
      share(options, [&](const Augmentation& a) { return std::abs(a.warp.xy) <= largest + 1e-9 && a.warp.yx == 0; }),
      1);
  EXPECT_NEAR(share(options, [&](const Augmentation& a) { return a.warp.xy > 0; }), 0.5, 0.03);
}

TEST(AugmentDraw, ClassificationEnlargesAndCropsInside) {
  AugmentOptions options = classification_augmentation();
  EXPECT_EQ(share(options, [](const Augmentation& a) { return a.is_warped; }), 1);
  options.rotate = options.affine = 0;
  options.flip_horizontal = 0;
  EXPECT_EQ(share(options,
                  [](const Augmentation& a) {
                    return std::abs(a.warp.xx - 24.0 / 26) < 1e-12 && a.warp.x0 >= -0.5 &&
                           a.warp.xx * 23 + a.warp.x0 <= 23.5;
                  }),
            1);
  EXPECT_NEAR(share(options, [](const Augmentation& a) { return a.warp.x0 < 0; }), 1 / 3.0, 0.03);  // offsets 0, 1, 2
}

TEST(AugmentDraw, ValuesChangeWithinTheirLimits) {
  AugmentOptions options = nothing();
  options.brightness = 0.2;
  options.contrast = 0.3;
  options.gamma = 0.5;
  EXPECT_EQ(share(options,
                  [](const Augmentation& a) {
                    return !a.is_warped && std::abs(a.brightness) <= 0.2F && std::abs(a.contrast - 1) <= 0.3001F;
                  }),
            1);
  EXPECT_EQ(share(options, [](const Augmentation& a) { return a.gamma >= 1 / 1.5001F && a.gamma <= 1.5001F; }), 1);
  EXPECT_NEAR(share(options, [](const Augmentation& a) { return a.gamma > 1; }), 0.5, 0.03);
  EXPECT_NEAR(share(options, [](const Augmentation& a) { return a.brightness > 0.1F; }), 0.25, 0.03);
}

TEST(AugmentOptions, EvaluationKeepsOnlyWhatIsNotRandom) {
  AugmentOptions options = segmentation_augmentation();
  options.brightness = 0.1;
  EXPECT_EQ(
      share(evaluation_augmentation(options),
            [](const Augmentation& a) { return a.minmax && !a.is_warped && !a.flips.horizontal && a.brightness == 0; }),
      1);
  EXPECT_EQ(share(evaluation_augmentation(pretraining_augmentation()),
                  [](const Augmentation& a) { return a.minmax || a.flips.horizontal; }),
            0);
}

TEST(AugmentOptions, AScaleTheWrongWayRoundIsRefused) {
  AugmentOptions options;
  options.affine_scale = {1.1, 0.9};
  EXPECT_TRUE(test::contains(test::error_of([&] { check(options); }).what(), "data.affine_scale"));
}

TEST(AugmentOptions, WholeDegreesNeedAWholeLimit) {
  AugmentOptions options;
  options.rotate_degrees = 2.5;
  check(options);
  options.rotate_whole = true;
  for (const double degrees : {0.0, 0.5, 2.5}) {
    options.rotate_degrees = degrees;
    EXPECT_TRUE(test::contains(test::error_of([&] { check(options); }).what(), "data.rotate_degrees")) << degrees;
  }
  options.rotate_degrees = 1;
  check(options);
}

}  // namespace
}  // namespace vmae::data
