// Slices of any size through a network of one size: where the canvas lies, whether tiles show, and what averaging does.
#include "../../../src/predict/slice_predictor.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/errors.h"
#include "support/tensors.h"

namespace vmae::run {
namespace {

const std::vector<data::IntensityRange> kUnit{{0.0, 1.0}};

LoadedModel tiny_model(const std::string& resize, int64_t seed = 1) {
  torch::manual_seed(static_cast<uint64_t>(seed));
  nn::UnetOptions options{.num_classes = 3};
  options.swin.image_size = {64, 64};
  options.swin.in_channels = 1;
  options.swin.embed_dim = 12;
  options.swin.depths = {1, 1, 1, 1};
  options.swin.num_heads = {1, 1, 2, 2};
  options.swin.window_size = 4;
  LoadedModel model;
  model.name = "swin-unet";
  model.segmenter = make_segmenter(model.name, options);
  model.segmenter.module->eval();
  const at::NoGradGuard no_grad;
  // so that outputs differ from place to place
  for (auto& parameter : model.segmenter.module->parameters()) parameter.mul_(3.0);
  model.card.class_names = {"a", "b"};
  model.card.image.image_size = {64, 64};
  model.card.image.in_channels = 1;
  model.card.image.resize = resize;
  return model;
}

// Slow waves, so that neighbouring pixels look alike.
io::Image waves(int64_t height, int64_t width) {
  io::Image image{height, width, 1, {}, 0.0};
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x)
      image.pixels.push_back(static_cast<float>(0.5 + 0.25 * std::sin(static_cast<double>(x) / 9) +
                                                0.2 * std::cos(static_cast<double>(y) / 7)));
  }
  return image;
}

SlicePredictor predictor(const std::string& resize, SliceOptions options = {}) {
  return {{tiny_model(resize)}, std::move(options), at::kCPU, train::Precision::fp32};
}

TEST(SlicePredictor, ProbabilitiesOnTheGridOfTheSlice) {
  for (const char* resize : {"stretch", "pad", "crop", "none"}) {
    for (const auto& [height, width] : {std::pair<int64_t, int64_t>{64, 64}, {50, 90}, {130, 77}, {20, 30}}) {
      const at::Tensor p = predictor(resize).probabilities({waves(height, width), waves(height, width)}, kUnit);
      EXPECT_EQ(p.sizes(), at::IntArrayRef({2, 3, height, width})) << resize;
      EXPECT_LT((p.sum(1) - 1.0).abs().max().item<double>(), 1e-4) << resize;
      EXPECT_TRUE(test::same_bits(p[0], p[1])) << resize;
    }
  }
}

// The network's own size needs neither resizing nor tiles, whatever the option.
TEST(SlicePredictor, OwnSizeIsTheNetworksOutput) {
  LoadedModel model = tiny_model("stretch");
  const io::Image image = waves(64, 64);
  const at::NoGradGuard no_grad;
  const at::Tensor input =
      (at::tensor(image.pixels).view({1, 1, 64, 64}) - model.card.image.mean[0]) / model.card.image.std[0];
  const at::Tensor expected = at::softmax(model.segmenter.net->forward(input), 1);
  for (const char* resize : {"stretch", "pad", "crop", "none"})
    EXPECT_LT(test::max_abs_difference(predictor(resize).probabilities({image}, kUnit), expected), 1e-5);
}

// With `none`, the middle of a tile of an image is the network's output
// there; a smaller image is in the centre of the network's grid.
TEST(SlicePredictor, SmallImagesLieInTheCentre) {
  LoadedModel model = tiny_model("none");
  const io::Image image = waves(40, 50);
  const at::NoGradGuard no_grad;
  const float black = static_cast<float>((0.0 - model.card.image.mean[0]) / model.card.image.std[0]);
  at::Tensor input = at::full({1, 1, 64, 64}, black);
  input.slice(2, 12, 52).slice(3, 7, 57).copy_(
      (at::tensor(image.pixels).view({1, 1, 40, 50}) - model.card.image.mean[0]) / model.card.image.std[0]);
  const at::Tensor expected = at::softmax(model.segmenter.net->forward(input), 1).slice(2, 12, 52).slice(3, 7, 57);
  EXPECT_LT(test::max_abs_difference(predictor("none").probabilities({image}, kUnit), expected), 1e-5);
}

// Two tiles, blended by hand. Where one begins, it weighs nearly nothing beside the other: no edge of a tile shows.
TEST(SlicePredictor, TilesAreBlended) {
  const io::Image image = waves(64, 96);
  const auto part = [&](int64_t first) {
    io::Image tile{64, 64, 1, {}, 0.0};
    for (int64_t y = 0; y < 64; ++y)
      tile.pixels.insert(tile.pixels.end(), image.pixels.begin() + y * 96 + first,
                         image.pixels.begin() + y * 96 + first + 64);
    return predictor("none").probabilities({tile}, kUnit)[0];  // (3, 64, 64)
  };
  const at::Tensor left = part(0), right = part(32),
                   p = predictor("none", {.overlap = 0.5}).probabilities({image}, kUnit)[0];
  // sigma = 64 / 8
  const auto weight = [](int64_t x) { return std::exp(-std::pow((static_cast<double>(x) - 31.5) / 8.0, 2) / 2); };
  EXPECT_LT(test::max_abs_difference(p.slice(2, 0, 32), left.slice(2, 0, 32)), 1e-5);
  EXPECT_LT(test::max_abs_difference(p.slice(2, 64), right.slice(2, 32)), 1e-5);
  for (int64_t x = 36; x < 60; ++x) {  // nearer to an edge the weights are held above 1e-4
    const at::Tensor expected =
        (left.select(2, x) * weight(x) + right.select(2, x - 32) * weight(x - 32)) / (weight(x) + weight(x - 32));
    EXPECT_LT(test::max_abs_difference(p.select(2, x).slice(1, 24, 40), expected.slice(1, 24, 40)), 2e-3) << x;
  }
  // the two see different surroundings
  EXPECT_GT(test::max_abs_difference(left.slice(2, 32), right.slice(2, 0, 32)), 0.02);
  EXPECT_LT(test::max_abs_difference(p.select(2, 32).slice(1, 24, 40), left.select(2, 32).slice(1, 24, 40)), 2e-3);
  EXPECT_LT(test::max_abs_difference(p.select(2, 63).slice(1, 24, 40), right.select(2, 31).slice(1, 24, 40)), 2e-3);
}

TEST(SlicePredictor, BatchesDecideNothing) {
  const io::Image image = waves(100, 150);
  const at::Tensor one = predictor("none", {.batch = 1}).probabilities({image}, kUnit),
                   all = predictor("none", {.batch = 64}).probabilities({image}, kUnit);
  EXPECT_LT(test::max_abs_difference(one, all), 1e-5);
}

TEST(SlicePredictor, MirroringMakesMirroredImagesEqual) {
  io::Image image = waves(64, 64), mirrored = image;
  for (int64_t y = 0; y < 64; ++y)
    std::reverse(mirrored.pixels.begin() + y * 64, mirrored.pixels.begin() + (y + 1) * 64);
  const at::Tensor p = predictor("stretch", {.mirror = true}).probabilities({image}, kUnit),
                   q = predictor("stretch", {.mirror = true}).probabilities({mirrored}, kUnit);
  EXPECT_LT(test::max_abs_difference(p, q.flip({3})), 1e-5);
  const at::Tensor alone = predictor("stretch").probabilities({image}, kUnit),
                   alone_mirrored = predictor("stretch").probabilities({mirrored}, kUnit);
  EXPECT_GT(test::max_abs_difference(alone, alone_mirrored.flip({3})), 1e-3);
}

TEST(SlicePredictor, SeveralModelsAreAveraged) {
  std::vector<LoadedModel> models;
  models.push_back(tiny_model("stretch", 1));
  models.push_back(tiny_model("stretch", 2));
  SlicePredictor both(std::move(models), {}, at::kCPU, train::Precision::fp32);
  const io::Image image = waves(64, 64);
  SlicePredictor second({tiny_model("stretch", 2)}, {}, at::kCPU, train::Precision::fp32);
  const at::Tensor mean =
      (predictor("stretch").probabilities({image}, kUnit) + second.probabilities({image}, kUnit)) / 2.0;
  EXPECT_LT(test::max_abs_difference(both.probabilities({image}, kUnit), mean), 1e-6);

  std::vector<LoadedModel> different;
  different.push_back(tiny_model("stretch"));
  different.push_back(tiny_model("stretch"));
  different.back().card.class_names = {"a", "c"};
  const Error error =
      test::error_of([&] { SlicePredictor(std::move(different), {}, at::kCPU, train::Precision::fp32); });
  EXPECT_EQ(error.code(), ExitCode::checkpoint);
}

}  // namespace
}  // namespace vmae::run
