// Tiles of an nnU-Net against nnU-Net's own predictor (tests/golden/make_nnunet_inference.py).
#include "../../../src/predict/nnunet_predictor.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/errors.h"
#include "support/golden.h"
#include "support/nnunet_nets.h"
#include "support/tensors.h"

namespace vmae::run {
namespace {

using nlohmann::json;

// Of an entry of `nets` in nnunet_net.json.
LoadedModel nnunet_model(const json& net, uint64_t seed, const std::vector<int64_t>& mirror_axes) {
  const nn::UnetOptions options = test::nnunet_options(net);
  LoadedModel model;
  model.name = "nnunet";
  model.segmenter = nn::make_segmenter(model.name, options);
  weights::require_complete(
      weights::load_into(*model.segmenter.module, test::drawn_weights(*model.segmenter.module, seed)), model.name);
  model.segmenter.module->eval();
  model.card.image.image_size = options.swin.image_size;
  model.card.image.in_channels = options.swin.in_channels;
  for (int64_t k = 1; k < options.num_classes; ++k) model.card.class_names.push_back(std::to_string(k));
  model.plans = std::make_shared<nnunet::Plans>();
  model.labels = nnunet::labels_of_classes(model.card.class_names, /*has_ignore=*/false);
  model.mirror_axes = mirror_axes;
  return model;
}

nnunet::PreprocessedCase drawn_case(const std::array<int64_t, 3>& shape, int64_t channels) {
  const at::Tensor image =
      (0.1 * test::golden_image(/*seed=*/5, {channels, shape[0], shape[1], shape[2]})).contiguous();
  nnunet::PreprocessedCase one;
  one.shape = shape;
  for (int64_t c = 0; c < channels; ++c) {
    const at::Tensor channel = image[c].contiguous();
    one.channels.emplace_back(channel.const_data_ptr<float>(), channel.const_data_ptr<float>() + channel.numel());
  }
  return one;
}

json net_called(const std::string& name) {
  const json golden = test::golden_json("nnunet_net");
  for (const json& net : golden.at("nets")) {
    if (net.at("name") == name) return net;
  }
  throw std::out_of_range(name);
}

at::Tensor logits_of_row(const json& row, int64_t batch, double overlap = 0.5) {
  const json net = net_called(row.at("net"));
  const bool mirrors = !row.at("mirror_axes").is_null();
  const auto axes = mirrors ? row.at("mirror_axes").get<std::vector<int64_t>>() : std::vector<int64_t>{0, 1};
  std::vector<LoadedModel> models;
  for (uint64_t fold = 0; fold < row.at("folds").get<uint64_t>(); ++fold)
    models.push_back(nnunet_model(net, 11 + fold, axes));
  NnUnetPredictor predictor(std::move(models), {.mirror = mirrors, .batch = batch, .overlap = overlap}, at::kCPU,
                            train::Precision::fp32);
  return predictor.logits(drawn_case(row.at("size"), net.at("channels").get<int64_t>()));
}

TEST(NnUnetPredictor, GivesNnUnetsLogitsWhateverTheBatch) {
  const json golden = test::golden_json("nnunet_inference");
  const auto io = test::golden("nnunet_inference");
  ASSERT_EQ(golden.at("tiles").size(), io.tensors.size());
  for (const json& row : golden.at("tiles")) {
    const at::Tensor* expected = io.find(row.at("name").get<std::string>());
    ASSERT_NE(expected, nullptr);
    for (const int64_t batch : {1, 7, 100}) {
      SCOPED_TRACE(concat(row.dump(), " batch ", batch));
      const at::Tensor logits = logits_of_row(row, batch);
      ASSERT_EQ(logits.sizes().slice(1), at::IntArrayRef(row.at("size").get<std::vector<int64_t>>()));
      EXPECT_LT(test::relative_difference(test::sampled(logits).view_as(*expected), *expected), 2e-5);
    }
  }
}

TEST(NnUnetPredictor, WeighsTilesAsNnUnet) {
  const json golden = test::golden_json("nnunet_inference").at("gaussian");
  ASSERT_GE(golden.size(), 5U);
  for (const auto& [size, values] : golden.items()) {
    const auto by = size.find('x');
    const at::Tensor weight = nnunet_tile_weight(std::stoll(size.substr(0, by)), std::stoll(size.substr(by + 1)));
    const at::Tensor sampled = weight.flatten().slice(0, 0, std::nullopt, weight.numel() < 4096 ? 11 : 1111);
    EXPECT_EQ(weight.max().item<float>(), 10.0F) << size;
    EXPECT_GT(weight.min().item<float>(), 0.0F) << size;
    const at::Tensor expected = at::tensor(values.get<std::vector<float>>());
    EXPECT_LT(((sampled - expected) / expected).abs().max().item<double>(), 1e-6) << size;
  }
}

TEST(NnUnetPredictor, TilesBeginWherePythonRoundsTo) {
  using Starts = std::vector<int64_t>;
  EXPECT_EQ(nnunet_tile_starts(64, 64, 0.5), Starts({0}));
  EXPECT_EQ(nnunet_tile_starts(110, 64, 0.5), Starts({0, 23, 46}));
  EXPECT_EQ(nnunet_tile_starts(69, 64, 0.5), Starts({0, 5}));
  EXPECT_EQ(nnunet_tile_starts(43, 28, 0.5), Starts({0, 8, 15}));  // 7.5 to even
  EXPECT_EQ(nnunet_tile_starts(33, 28, 0.9), Starts({0, 2, 5}));   // 2.5 to even
}

TEST(NnUnetPredictor, OverlapDecidesHowManyTilesThereAre) {
  const json golden = test::golden_json("nnunet_inference");
  const json& row = golden.at("tiles").at(0);
  const at::Tensor wide = logits_of_row(row, 16), narrow = logits_of_row(row, 16, 0.1);
  EXPECT_GT(test::relative_difference(narrow, wide), 1e-3);
  EXPECT_EQ(narrow.sizes(), wide.sizes());
}

TEST(NnUnetPredictor, RefusesFoldsOfOtherPlans) {
  std::vector<LoadedModel> models;
  for (int fold = 0; fold < 2; ++fold) models.push_back(nnunet_model(net_called("three_stages"), 11, {0, 1}));
  auto other = std::make_shared<nnunet::Plans>();
  other->flat.spacing = {0.5, 0.5};
  models[1].plans = other;
  const Error error =
      test::error_of([&] { NnUnetPredictor(std::move(models), NnUnetTiles{}, at::kCPU, train::Precision::fp32); });
  EXPECT_EQ(error.code(), ExitCode::checkpoint);
  EXPECT_TRUE(test::contains(error.what(), "their plan differs")) << error.what();
}

}  // namespace
}  // namespace vmae::run
