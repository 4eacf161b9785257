// The oracle is PyTorch's grid_sample in double, on the grid that affine_grid makes of the same matrix.
#include "vmae/data/warp.h"

#include <gtest/gtest.h>
#include <torch/nn/functional/vision.h>
#include <torch/types.h>

#include <cmath>

#include "vmae/core/random.h"

namespace vmae::data {
namespace {

// Pixel coordinates to affine_grid's, which run from -1 to 1 over the area of all pixels.
at::Tensor grid_of(const Affine& a, PixelSize from, PixelSize to) {
  const auto w = static_cast<double>(to.width), h = static_cast<double>(to.height),
             w_in = static_cast<double>(from.width), h_in = static_cast<double>(from.height);
  const at::Tensor theta =
      torch::tensor({a.xx * w / w_in, a.xy * h / w_in, (a.xx * (w - 1) + a.xy * (h - 1) + 2 * a.x0 + 1) / w_in - 1,
                     a.yx * w / h_in, a.yy * h / h_in, (a.yx * (w - 1) + a.yy * (h - 1) + 2 * a.y0 + 1) / h_in - 1},
                    at::kDouble)
          .view({1, 2, 3});
  return at::affine_grid_generator(theta, {1, 1, to.height, to.width}, /*align_corners=*/false);
}

at::Tensor sample(const at::Tensor& image, const at::Tensor& grid, bool is_bilinear, bool repeats_edge) {
  namespace F = torch::nn::functional;
  auto options = F::GridSampleFuncOptions().align_corners(false);
  is_bilinear ? options.mode(torch::kBilinear) : options.mode(torch::kNearest);
  repeats_edge ? options.padding_mode(torch::kBorder) : options.padding_mode(torch::kZeros);
  return F::grid_sample(image.to(at::kDouble).view({1, 1, image.size(0), image.size(1)}), grid, options)[0][0];
}

at::Tensor warped(const at::Tensor& image, const Affine& affine, PixelSize to, float border = 0,
                  bool is_portable = false) {
  at::Tensor result = at::empty({to.height, to.width}, image.options());
  const PixelSize size{image.size(0), image.size(1)};
  if (image.scalar_type() == at::kFloat) {
    warp_bilinear({image.data_ptr<float>(), size, image.size(1)}, affine, border, result.data_ptr<float>(), to,
                  is_portable);
  } else {
    warp_nearest({image.data_ptr<uint8_t>(), size, image.size(1)}, affine, static_cast<uint8_t>(border),
                 result.data_ptr<uint8_t>(), to, is_portable);
  }
  return result;
}

Affine random_affine(Random& random, PixelSize from, PixelSize to) {
  const double ratio_x = static_cast<double>(from.width) / static_cast<double>(to.width),
               ratio_y = static_cast<double>(from.height) / static_cast<double>(to.height);
  return {ratio_x * random.uniform(-1.5, 1.5),
          random.uniform(-1, 1),
          random.uniform(-0.3, 1) * static_cast<double>(from.width),
          random.uniform(-1, 1),
          ratio_y * random.uniform(-1.5, 1.5),
          random.uniform(-0.3, 1) * static_cast<double>(from.height)};
}

TEST(Warp, IsGridSample) {
  Random random(1);
  int64_t num_inside = 0, num_outside = 0;
  for (const auto& [from, to] : {std::pair{PixelSize{37, 53}, PixelSize{41, 29}},
                                 {{64, 64}, {64, 64}},
                                 {{5, 300}, {40, 40}},
                                 {{2, 3}, {17, 19}},
                                 {{1, 1}, {9, 9}}}) {
    const at::Tensor image = at::rand({from.height, from.width}),
                     labels = at::randint(0, 256, {from.height, from.width}).to(at::kByte);
    for (int repeat = 0; repeat < 20; ++repeat) {
      Affine affine = random_affine(random, from, to);
      if (repeat % 4 == 0) affine.xy = affine.yx = 0;
      const at::Tensor grid = grid_of(affine, from, to);
      const at::Tensor inside = sample(at::ones_like(image), grid, false, false) == 1;
      const at::Tensor expected = at::where(inside, sample(image, grid, true, true), 0.25);
      EXPECT_LT((warped(image, affine, to, 0.25F) - expected).abs().max().item<double>(), 2e-5)
          << from.width << " " << repeat;
      const at::Tensor expected_labels = at::where(inside, sample(labels, grid, false, true), 7.0).to(at::kByte);
      EXPECT_TRUE(at::equal(warped(image, affine, to, 0.25F), warped(image, affine, to, 0.25F, /*is_portable=*/true)));
      EXPECT_TRUE(at::equal(warped(labels, affine, to, 7), warped(labels, affine, to, 7, /*is_portable=*/true)));
      EXPECT_TRUE(at::equal(warped(labels, affine, to, 7), expected_labels)) << from.width << " " << repeat;
      num_inside += inside.sum().item<int64_t>();
      num_outside += (inside == 0).sum().item<int64_t>();
    }
  }
  EXPECT_GT(num_inside, 10000);
  EXPECT_GT(num_outside, 10000);
}

TEST(Warp, StaysPreciseFarFromTheOrigin) {
  const at::Tensor ramp = (at::arange(20000, at::kFloat) / 20000).view({1, -1}).contiguous();
  const at::Tensor result = warped(ramp, {1, 0, 19000.123456, 0, 1, 0}, {1, 500});
  const at::Tensor expected = (at::arange(500, at::kDouble) + 19000.123456) / 20000;
  EXPECT_LT((result[0] - expected).abs().max().item<double>(), 2e-7);
}

TEST(Warp, IdentityIsExact) {
  const at::Tensor image = at::rand({19, 23}), labels = at::randint(0, 256, {19, 23}).to(at::kByte);
  EXPECT_TRUE(at::equal(warped(image, {}, {19, 23}), image));
  EXPECT_TRUE(at::equal(warped(labels, {}, {19, 23}), labels));
}

TEST(Warp, FarOutsideIsBorder) {
  for (const double far : {1e3, 1e9, -1e15}) {
    EXPECT_TRUE(at::equal(warped(at::rand({8, 8}), {1, 0, far, 0, 1, 0}, {8, 8}, 0.5F), at::full({8, 8}, 0.5F)));
    EXPECT_TRUE(at::equal(warped(at::ones({8, 8}, at::kByte), {1, 0, 0, 0, 1, far}, {8, 8}, 9),
                          at::full({8, 8}, 9, at::kByte)));
  }
}

TEST(Warp, LongStepsStayInside) {
  const at::Tensor labels = at::arange(100000).remainder(251).to(at::kByte).view({1, -1}).contiguous();
  for (const double step : {400.0, 6000.1, 12499.9}) {
    const at::Tensor result = warped(labels, {step, 0, 0.25, 0, 1, 0}, {3, 8});
    for (int64_t column = 0; column < 8; ++column)
      EXPECT_EQ(result[0][column].item<int64_t>(), std::llround(step * static_cast<double>(column) + 0.25) % 251);
  }
}

TEST(Warp, TheStrideIsThatOfTheWholeImage) {
  const at::Tensor image = at::rand({16, 20});
  const at::Tensor part = image.narrow(0, 3, 9).narrow(1, 5, 10);
  at::Tensor result = at::empty({9, 10});
  warp_bilinear({part.data_ptr<float>(), {9, 10}, 20}, {}, 0, result.data_ptr<float>(), {9, 10});
  EXPECT_TRUE(at::equal(result, part));
}

}  // namespace
}  // namespace vmae::data
