// Parity with the paper's public Python implementation, from the numbers in tests/golden
// (its README says how they were made and how near an independent implementation must come).
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "support/golden.h"
#include "support/source_path.h"
#include "support/tensors.h"
#include "vmae/nn/mae.h"
#include "vmae/train/device.h"
#include "vmae/train/optim.h"
#include "vmae/weights/weights.h"

namespace vmae {
namespace {

constexpr double kTrainingTolerance = 1e-4;

using test::golden;

at::Tensor golden_image() { return test::golden_image(/*seed=*/2, {2, 3, 224, 224}); }

nn::MaeOptions tiny_options(bool norm_pix_loss = false) {
  nn::MaeOptions options;
  options.swin.embed_dim = 24;
  options.norm_pix_loss = norm_pix_loss;
  return options;
}

nn::Mae tiny_mae(const std::string& weights_name, bool norm_pix_loss = false) {
  train::configure_compute(at::kCPU, /*threads=*/2);  // as in a run: the faster matrix products must still be real fp32
  nn::Mae model(tiny_options(norm_pix_loss));
  weights::require_complete(weights::load_into(*model, test::golden_weights(weights_name)), weights_name);
  model->eval();
  return model;
}

// Compares the gradient of every parameter that the golden file has one for.
int64_t expect_gradients(const nn::Mae& model, const weights::TensorFile& expected) {
  int64_t compared = 0;
  const auto parameters = model->named_parameters();
  for (const auto& [name, tensor] : expected.tensors) {
    if (!name.starts_with("grad.")) continue;
    EXPECT_LT(test::relative_difference(test::sampled(parameters[name.substr(5)].grad()), tensor),
              test::kGradientTolerance)
        << name;
    ++compared;
  }
  return compared;
}

TEST(Golden, ForwardMaskLossAndGradients) {
  nn::Mae model = tiny_mae("mae_tiny");
  const auto io = golden("mae_tiny_io");
  const nn::MaeOutput output = model->forward(golden_image(), *io.find("noise"));
  EXPECT_TRUE(at::equal(output.hidden.to(at::kByte), io.find("mask")->to(at::kByte)));
  EXPECT_LT(test::max_abs_difference(test::sampled(output.prediction), *io.find("pred")), test::kForwardTolerance);
  EXPECT_NEAR(output.loss.item<double>(), io.find("loss")->item<double>(), test::kForwardTolerance);
  output.loss.backward();
  EXPECT_EQ(expect_gradients(model, io), 9);
}

TEST(Golden, NormalisedPixels) {
  nn::Mae model = tiny_mae("mae_tiny_second", /*norm_pix_loss=*/true);
  const auto io = golden("mae_tiny_io"), expected = golden("mae_tiny_norm_pix_io");
  const nn::MaeOutput output = model->forward(golden_image(), *io.find("noise"));
  EXPECT_NEAR(output.loss.item<double>(), expected.find("loss")->item<double>(), test::kForwardTolerance);
  output.loss.backward();
  EXPECT_EQ(expect_gradients(model, expected), 3);
}

TEST(Golden, TenAdamWSteps) {
  nn::Mae model = tiny_mae("mae_tiny_second");
  const auto expected = golden("mae_tiny_train10");
  train::OptimOptions options;
  const auto made = train::make_optimizer(*model, options);
  train::Optimizer& optimizer = *made;
  for (int64_t step = 0; step < 10; ++step) {
    const at::Tensor loss = model->forward(golden_image(), (*expected.find("noise"))[step]).loss;
    EXPECT_NEAR(loss.item<double>(), (*expected.find("loss"))[step].item<double>(), kTrainingTolerance)
        << "step " << step;
    loss.backward();
    optimizer.step(/*lr=*/1e-3);
    optimizer.clear_gradients();
  }
  const auto parameters = model->named_parameters();
  for (const char* name : {"layers.3.blocks.1.mlp.fc2.bias", "patch_embed.proj.weight"}) {
    EXPECT_LT(test::max_abs_difference(parameters[name], *expected.find(std::string("after.") + name)), 1e-4) << name;
  }
}

TEST(Golden, StoredPositions) {
  const auto weights = test::golden_weights("mae_tiny");
  EXPECT_LT(
      test::max_abs_difference(test::sampled(*weights.find("pos_embed")), *golden("mae_tiny_io").find("pos_embed")),
      1e-6);
  nn::Mae model(tiny_options());
  for (const auto& buffer : model->named_buffers())
    EXPECT_TRUE(at::equal(buffer.value(), *weights.find(buffer.key()))) << buffer.key();
}

TEST(Golden, StateDictKeysInPythonsOrder) {
  std::ifstream file(test::source_path("tests/golden/mae_keys.json"));
  const auto expected = nlohmann::json::parse(file).get<std::vector<std::string>>();
  std::vector<std::string> keys;
  for (const auto& [key, tensor] : weights::state_dict(*nn::Mae(tiny_options()))) keys.push_back(key);
  EXPECT_EQ(keys, expected);
}

TEST(Golden, InitialWeightsHaveTheReferencesSpread) {
  std::ifstream file(test::source_path("tests/golden/mae_init_std_absmax.json"));
  const auto expected = nlohmann::json::parse(file);
  torch::manual_seed(1);
  int64_t compared = 0;
  for (const auto& [key, tensor] : weights::state_dict(*nn::Mae(tiny_options()))) {
    if (!expected.contains(key)) continue;
    const double std = expected[key][0], largest = expected[key][1], n = static_cast<double>(tensor.numel());
    // four standard errors of a standard deviation
    const double tolerance = std == 0.0 ? 1e-7 : std * (4.0 / std::sqrt(2.0 * n) + 0.01);
    EXPECT_NEAR(tensor.to(at::kDouble).std().item<double>(), std, tolerance) << key;
    if (std == 0.0) {
      EXPECT_NEAR(tensor.abs().max().item<double>(), largest, 1e-7) << key;
    }
    ++compared;
  }
  EXPECT_GT(compared, 190);
}

TEST(Golden, ParameterCountsAtFullSize) {
  nn::Mae model{nn::MaeOptions{}};
  int64_t all = 0, trainable = 0, encoder = 0;
  for (const auto& item : model->named_parameters()) {
    all += item.value().numel();
    if (item.value().requires_grad()) trainable += item.value().numel();
    if (item.key().starts_with("patch_embed.") || item.key().starts_with("layers.")) encoder += item.value().numel();
  }
  EXPECT_EQ(trainable, 26'635'860);
  EXPECT_EQ(all, 26'936'916);
  EXPECT_EQ(weights::state_dict(*model).size(), 224U);
  EXPECT_EQ(encoder, 20'411'850 + 0) << "encoder (2,2,2,2)";
}

}  // namespace
}  // namespace vmae
