// nnU-Net's network against dynamic-network-architectures (tests/golden/make_nnunet_net.py), and what it refuses.
#include "vmae/nn/nnunet.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/errors.h"
#include "support/golden.h"
#include "support/nnunet_nets.h"
#include "support/tensors.h"
#include "vmae/weights/weights.h"

namespace vmae {
namespace {

using nlohmann::json;

struct NnUnetCase {
  explicit NnUnetCase(const json& entry)
      : name(entry.at("name").get<std::string>()), options(test::nnunet_options(entry)), net(options) {
    weights::require_complete(weights::load_into(*net, test::drawn_weights(*net, /*seed=*/11)), name);
    const std::vector<int64_t>& size = options.swin.image_size;
    image = 0.1 * test::golden_image(/*seed=*/5, {2, options.swin.in_channels, size[0], size[1]});
  }
  std::string name;
  nn::UnetOptions options;
  nn::NnUnet net;
  at::Tensor image;
};

std::vector<NnUnetCase> nnunet_cases() {
  std::vector<NnUnetCase> cases;
  const json golden = test::golden_json("nnunet_net");
  for (const json& entry : golden.at("nets")) cases.emplace_back(entry);
  return cases;
}

TEST(NnUnet, AllLevelsAndGradientsEqualTheAuthorsNetwork) {
  const auto io = test::golden("nnunet_net_io");
  size_t compared = 0;
  for (NnUnetCase& one : nnunet_cases()) {
    SCOPED_TRACE(one.name);
    const std::vector<at::Tensor> levels = one.net->levels(one.image);
    ASSERT_EQ(levels.size(), one.options.nnunet.features_per_stage.size() - 1);
    at::Tensor loss = at::zeros({});
    for (size_t i = 0; i < levels.size(); ++i) {
      const at::Tensor* expected = io.find(concat(one.name, ".level.", i));
      ASSERT_NE(expected, nullptr);
      EXPECT_LT(test::relative_difference(test::sampled(levels[i]), *expected), 1e-5) << i;
      loss = loss + levels[i].square().mean();
      ++compared;
    }
    loss.backward();
    for (const auto& parameter : one.net->named_parameters()) {
      const at::Tensor* expected = io.find(one.name + ".grad." + parameter.key());
      if (expected == nullptr) continue;
      EXPECT_LT(test::relative_difference(test::sampled(parameter.value().grad()), *expected), test::kGradientTolerance)
          << parameter.key();
      ++compared;
    }
  }
  EXPECT_EQ(compared, io.tensors.size());
}

TEST(NnUnet, ForwardIsTheHighestResolutionWhateverTheMode) {
  for (NnUnetCase& one : nnunet_cases()) {
    const at::Tensor first = one.net->levels(one.image).front();
    EXPECT_TRUE(test::same_bits(one.net->forward(one.image), first)) << one.name;
    one.net->eval();
    EXPECT_TRUE(test::same_bits(one.net->forward(one.image), first)) << one.name;
    EXPECT_EQ(first.sizes().slice(2), at::IntArrayRef(one.options.swin.image_size));
  }
}

// Of the plans of nnunet_planner.json.
TEST(NnUnet, ParametersOfWholeNetworks) {
  const json rows = test::golden_json("nnunet_planner");
  const json golden = test::golden_json("nnunet_net");
  for (const json& entry : golden.at("parameters")) {
    const json& row = rows.at(entry.at("row").get<size_t>());
    const auto features = row.at("features").get<std::vector<int64_t>>();
    nn::UnetOptions options{.num_classes = row.at("labels").get<int64_t>()};
    options.swin.image_size = row.at("patch_size").get<std::vector<int64_t>>();
    options.swin.in_channels = static_cast<int64_t>(row.at("channels").size());
    options.nnunet = {.features_per_stage = features,
                      .kernel_sizes = test::joined_pairs(row.at("kernels")),
                      .strides = test::joined_pairs(row.at("strides")),
                      .n_conv_per_stage = std::vector<int64_t>(features.size(), 2),
                      .n_conv_per_stage_decoder = std::vector<int64_t>(features.size() - 1, 2)};
    const nn::NnUnet net(options);
    int64_t count = 0;
    for (const auto& parameter : net->parameters()) count += parameter.numel();
    EXPECT_EQ(count, entry.at("parameters").get<int64_t>()) << row.at("shapes");
  }
}

TEST(NnUnet, DefaultIsThePlanOf320Pixels) {
  nn::UnetOptions options;
  options.swin.in_channels = 1;
  int64_t count = 0;
  for (const auto& parameter : nn::NnUnet(options)->parameters()) count += parameter.numel();
  EXPECT_EQ(count, 33'471'820);
}

// Kaiming's normal numbers for a slope of 0.01, of as many inputs as a filter has; biases 0, norms 1 and 0.
TEST(NnUnet, BeginsAsTheAuthorsDo) {
  torch::manual_seed(3);
  nn::UnetOptions options;
  options.swin.image_size = {16, 16};
  options.nnunet = {.features_per_stage = {48, 64},
                    .kernel_sizes = {3, 1, 3, 3},
                    .strides = {1, 1, 2, 1},
                    .n_conv_per_stage = {2, 2},
                    .n_conv_per_stage_decoder = {2}};
  for (const auto& parameter : nn::NnUnet(options)->named_parameters()) {
    const at::Tensor& value = parameter.value();
    if (value.dim() == 1) {
      EXPECT_TRUE((value == (parameter.key().ends_with("norm.weight") ? 1 : 0)).all().item<bool>()) << parameter.key();
      continue;
    }
    const auto fan_in = static_cast<double>(value.size(1) * value.size(2) * value.size(3));
    const double expected = std::sqrt(2 / (1 + 0.01 * 0.01) / fan_in), count = static_cast<double>(value.numel());
    EXPECT_NEAR(value.std().item<double>() / expected, 1, 5 / std::sqrt(2 * count)) << parameter.key();
  }
}

TEST(NnUnet, RefusesWhatDoesNotFit) {
  nn::UnetOptions good;
  good.swin = {.image_size = {16, 24}, .in_channels = 1};
  good.nnunet = {.features_per_stage = {2, 3, 4},
                 .kernel_sizes = {3, 3, 3, 3, 3, 3},
                 .strides = {1, 1, 2, 2, 2, 2},
                 .n_conv_per_stage = {1, 1, 1},
                 .n_conv_per_stage_decoder = {1, 1}};
  nn::NnUnet net(good);
  EXPECT_EQ(test::error_of([&] { net->forward(at::zeros({1, 1, 24, 16})); }).code(), ExitCode::data);
  EXPECT_EQ(test::error_of([&] { net->levels(at::zeros({1, 2, 16, 24})); }).code(), ExitCode::data);
  const auto refused = [&](const std::string& text, const auto& change) {
    nn::UnetOptions options = good;
    change(options);
    const Error error = test::error_of([&] { nn::NnUnet wrong(options); });
    EXPECT_EQ(error.code(), ExitCode::usage) << text;
    EXPECT_TRUE(test::contains(error.what(), text));
    EXPECT_NE(error.hint(), "");
  };
  refused("18 is not a multiple of 4", [](auto& options) { options.swin.image_size = {18, 24}; });
  refused("image_size has 1 values", [](auto& options) { options.swin.image_size = {16}; });
  refused("one pixel", [](auto& options) { options.swin.image_size = {4, 4}; });
  refused("by more than 2", [](auto& options) { options.swin.image_size = {16, 2}; });
  refused("kernel_sizes has 4 values", [](auto& options) { options.nnunet.kernel_sizes = {3, 3, 3, 3}; });
  refused("4 is even", [](auto& options) { options.nnunet.kernel_sizes[3] = 4; });
  refused("strides has 5 values", [](auto& options) { options.nnunet.strides.pop_back(); });
  refused("strides begin with 1, 2", [](auto& options) { options.nnunet.strides[1] = 2; });
  refused("n_conv_per_stage has 2 values", [](auto& options) { options.nnunet.n_conv_per_stage.pop_back(); });
  refused("n_conv_per_stage_decoder has 3 values",
          [](auto& options) { options.nnunet.n_conv_per_stage_decoder.push_back(1); });
  refused("features_per_stage has 1 values", [](auto& options) { options.nnunet.features_per_stage = {4}; });
}

}  // namespace
}  // namespace vmae
