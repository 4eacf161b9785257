// The Swin-UNet and the classifier against the paper's public Python
// implementation (tests/golden), and what its numbers do not cover.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "support/golden.h"
#include "support/source_path.h"
#include "support/tensors.h"
#include "vmae/core/text.h"
#include "vmae/nn/classifier.h"
#include "vmae/nn/conv_unet.h"
#include "vmae/nn/mae.h"
#include "vmae/nn/unet.h"
#include "vmae/train/device.h"
#include "vmae/weights/weights.h"

namespace vmae {
namespace {

using test::golden;

nlohmann::json golden_keys(const std::string& name) {
  std::ifstream file(test::source_path("tests/golden/" + name + ".json"));
  return nlohmann::json::parse(file);
}

std::vector<std::string> keys_of(const torch::nn::Module& module) {
  std::vector<std::string> keys;
  for (const auto& [key, tensor] : weights::state_dict(module)) keys.push_back(key);
  return keys;
}

int64_t parameters_of(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const auto& parameter : module.parameters()) count += parameter.numel();
  return count;
}

int64_t expect_gradients(const torch::nn::Module& module, const weights::TensorFile& expected,
                         const std::string& suffix) {
  int64_t compared = 0;
  const auto parameters = module.named_parameters();
  for (const auto& [name, tensor] : expected.tensors) {
    if (!name.starts_with("grad.") || !name.ends_with(suffix)) continue;
    const std::string key = name.substr(5, name.size() - 5 - suffix.size());
    EXPECT_LT(test::relative_difference(test::sampled(parameters[key].grad()), tensor), test::kGradientTolerance)
        << key;
    ++compared;
  }
  return compared;
}

nn::UnetOptions tiny_unet(int64_t side) {
  nn::UnetOptions options;
  options.swin.embed_dim = 24;
  options.swin.image_size = {side, side};
  options.num_classes = 3;
  return options;
}

TEST(Downstream, UnetForwardAndGradients) {
  train::configure_compute(at::kCPU, /*threads=*/2);
  const auto io = golden("unet_tiny_io");
  for (const int64_t side : {224, 320}) {  // 320: grids of 80, 40, 20, 10 tokens, padded to 84, 42, 21, 14
    nn::SwinUnet model(tiny_unet(side));
    weights::require_complete(weights::load_into(*model, test::golden_weights("unet_tiny")), "unet_tiny");
    model->eval();
    const std::string suffix = concat("_", side);
    const at::Tensor logits = model->forward(test::golden_image(/*seed=*/5, {1, 3, side, side}));
    EXPECT_LT(test::max_abs_difference(test::sampled(logits), *io.find("logits" + suffix)), test::kForwardTolerance)
        << side;
    logits.square().mean().backward();
    EXPECT_EQ(expect_gradients(*model, io, suffix), 5) << side;
  }
}

TEST(Downstream, ClassifierForwardAndGradients) {
  nn::ClassifierOptions options;
  options.swin.embed_dim = 24;
  options.num_classes = 5;
  nn::SwinClassifier model(options);
  weights::require_complete(weights::load_into(*model, test::golden_weights("classifier_tiny")), "classifier_tiny");
  model->eval();
  const auto io = golden("classifier_tiny_io");
  const at::Tensor logits = model->forward(test::golden_image(/*seed=*/7, {2, 3, 224, 224}));
  EXPECT_LT(test::max_abs_difference(test::sampled(logits), *io.find("logits_224")), test::kForwardTolerance);
  logits.square().mean().backward();
  EXPECT_EQ(expect_gradients(*model, io, "_224"), 3);
}

TEST(Downstream, KeysAreTheReferencesInItsOrder) {
  EXPECT_EQ(nlohmann::json(keys_of(*nn::SwinUnet(tiny_unet(224)))), golden_keys("unet_keys"));
  nn::ClassifierOptions classifier;
  classifier.swin.embed_dim = 24;
  EXPECT_EQ(nlohmann::json(keys_of(*nn::SwinClassifier(classifier))), golden_keys("classifier_keys"));
}

// Numbers of method.md, at full size.
TEST(Downstream, ParameterCounts) {
  nn::UnetOptions deep{.num_classes = 14}, flat{.num_classes = 9};
  flat.swin.depths = {2, 2, 2, 2};
  EXPECT_EQ(parameters_of(*nn::SwinUnet(deep)), 41'379'780);
  EXPECT_EQ(parameters_of(*nn::SwinUnet(flat)), 27'167'364);
  EXPECT_EQ(parameters_of(*nn::SwinClassifier(nn::ClassifierOptions{.num_classes = 2})), 27'520'892);
  EXPECT_EQ(parameters_of(*nn::SwinClassifier(nn::ClassifierOptions{.num_classes = 1000})), 28'288'354);
}

// nnU-Net's plan for 64 x 64 and two labels has 7,766,344 parameters,
// of which 968 - 66 are heads of deep supervision that this one has not.
TEST(Downstream, PlainUnetIsAsLargeAsNnunets) {
  nn::UnetOptions options;
  options.swin.in_channels = 1;
  EXPECT_EQ(parameters_of(*nn::ConvUnet(options)), 7'766'344 - (2 * (64 + 128 + 256) + 3 * 2));
}

TEST(Downstream, PlainUnetAndConvStemOfAnySize) {
  for (const std::vector<int64_t>& size : {std::vector<int64_t>{33, 50}, {64, 48}, {61, 97}}) {
    nn::UnetOptions options = tiny_unet(64);
    options.swin.image_size = size;
    options.features = {4, 8, 16};
    options.swin.conv_stem = true;
    const at::Tensor image = at::randn({2, 3, size[0], size[1]});
    EXPECT_EQ(nn::ConvUnet(options)->forward(image).sizes(), at::IntArrayRef({2, 3, size[0], size[1]}));
    EXPECT_EQ(nn::SwinUnet(options)->forward(image).sizes(), at::IntArrayRef({2, 3, size[0], size[1]}));
  }
}

// What a pretrained network is given for fine-tuning changes nothing
// at first: the tokens in, and those that leave the decoder.
TEST(Downstream, StemAndIdentityJoinsBeginAsThePretrainedNetwork) {
  nn::UnetOptions options = tiny_unet(224);
  options.swin.depths = {2, 2, 2, 2};
  options.swin.conv_stem = true;
  options.identity_joins = true;
  nn::Mae pretrained(nn::MaeOptions{.swin = options.swin});
  pretrained->eval();
  weights::TensorFile file = test::golden_weights("mae_tiny");
  weights::require_complete(weights::load_into(*pretrained, file), "mae_tiny");
  const at::Tensor image = test::golden_image(/*seed=*/2, {2, 3, 224, 224});
  const at::NoGradGuard no_grad;
  const at::Tensor tokens = pretrained->embed(image), decoded = pretrained->decode(pretrained->encode(tokens, {}), {});
  for (const bool identity : {true, false}) {
    options.identity_joins = identity;
    nn::SwinUnet unet(options);
    unet->eval();
    weights::load_into(*unet, file);
    std::vector<at::Tensor> stage_inputs;
    EXPECT_LT(test::max_abs_difference(unet->embed(image), tokens), 1e-6);
    const at::Tensor latent = unet->encode(unet->embed(image), {}, &stage_inputs);
    const double difference = test::max_abs_difference(unet->decode(latent, {}, stage_inputs), decoded);
    EXPECT_EQ(difference < 1e-4, identity) << difference;
  }
}

TEST(Downstream, TheStemIsSeenByTheHead) {
  torch::manual_seed(1);
  nn::UnetOptions options = tiny_unet(64);
  options.swin.conv_stem = true;
  nn::SwinUnet unet(options);
  nn::SwinClassifier classifier(nn::ClassifierOptions{.swin = options.swin, .num_classes = 2});
  const at::Tensor image = at::randn({2, 3, 64, 64});
  (unet->forward(image).square().mean() + classifier->forward(image).square().mean()).backward();
  for (const auto& module : {std::static_pointer_cast<torch::nn::Module>(unet.ptr()),
                             std::static_pointer_cast<torch::nn::Module>(classifier.ptr())}) {
    const at::Tensor gradient = module->named_parameters()["conv_stem.proj.weight"].grad();
    EXPECT_GT(gradient.abs().max().item<double>(), 0);  // so it leaves its 0 with the first step
  }
}

TEST(Downstream, AnyImageSize) {
  for (const std::vector<int64_t>& size : {std::vector<int64_t>{33, 250}, {97, 61}, {224, 160}}) {
    nn::UnetOptions options = tiny_unet(224);
    options.swin.image_size = size;
    nn::SwinUnet unet(options);
    unet->eval();
    const at::Tensor image = at::randn({2, 3, size[0], size[1]});
    const at::Tensor logits = unet->forward(image);
    EXPECT_EQ(logits.sizes(), at::IntArrayRef({2, 3, size[0], size[1]}));
    EXPECT_TRUE(logits.isfinite().all().item<bool>());
    nn::SwinClassifier classifier(nn::ClassifierOptions{.swin = options.swin, .num_classes = 4});
    EXPECT_EQ(classifier->forward(image).sizes(), at::IntArrayRef({2, 4}));
  }
}

TEST(Downstream, DropPathChangesTrainingOnly) {
  nn::UnetOptions options = tiny_unet(64);
  options.swin.drop_path_rate = 0.5;
  nn::SwinUnet unet(options);
  const at::Tensor image = at::randn({2, 3, 64, 64});
  const at::Tensor kept = unet->forward(image, at::ones({2, unet->num_draws()}));
  const at::Tensor dropped = unet->forward(image, at::zeros({2, unet->num_draws()}));
  EXPECT_GT(test::max_abs_difference(kept, dropped), 1e-3);
  EXPECT_EQ(unet->num_draws(), 2 * (12 + 10));
}

}  // namespace
}  // namespace vmae
