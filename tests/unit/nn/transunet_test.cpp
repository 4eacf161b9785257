// TransUNet against a second implementation (tests/golden/transunet_oracle.py), and what its numbers do not cover.
#include "vmae/nn/transunet.h"

#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <cmath>

#include "support/errors.h"
#include "support/golden.h"
#include "support/tensors.h"
#include "vmae/data/draws.h"
#include "vmae/nn/dropout.h"
#include "vmae/weights/weights.h"

namespace vmae {
namespace {

nn::UnetOptions small_transunet(const std::vector<int64_t>& size, int64_t channels) {
  nn::UnetOptions options;
  options.swin.image_size = size;
  options.swin.in_channels = channels;
  options.num_classes = 3;
  options.transunet = {.vit_width = 24,
                       .vit_layers = 2,
                       .vit_heads = 3,
                       .vit_mlp = 40,
                       .stem_units = {1, 2, 1},
                       .stem_width = 32,
                       .decoder_channels = {16, 12, 8, 8, 4}};
  return options;
}

struct TransUnetCase {
  std::string name;
  std::vector<int64_t> size;
  int64_t channels, samples;
  at::Tensor image() const { return test::golden_image(/*seed=*/5, {samples, channels, size[0], size[1]}); }
  nn::TransUnet model() const {
    nn::TransUnet net(small_transunet(size, channels));
    weights::require_complete(weights::load_into(*net, test::drawn_weights(*net, /*seed=*/11)), name);
    return net;
  }
};
const std::vector<TransUnetCase> kTransUnetCases{{"colour", {64, 96}, 3, 2}, {"grey", {48, 32}, 1, 3}};

TEST(TransUnet, EqualsASecondImplementation) {
  const auto io = test::golden("transunet_tiny_io");
  for (const TransUnetCase& one : kTransUnetCases) {
    for (const std::string mode : {"eval", "train"}) {
      SCOPED_TRACE(one.name + " " + mode);
      nn::TransUnet net = one.model();
      net->train(mode == "train");
      const at::Tensor logits = net->forward(one.image());
      const std::string prefix = one.name + "." + mode + ".";
      EXPECT_LT(test::max_abs_difference(test::sampled(logits), *io.find(prefix + "logits")), 1e-5);
      logits.square().mean().backward();
      std::map<std::string, at::Tensor> state;
      for (const auto& [key, tensor] : weights::state_dict(*net)) state[key] = tensor;
      const auto parameters = net->named_parameters();
      int64_t compared = 0;
      for (const auto& [name, expected] : io.tensors) {
        if (!name.starts_with(prefix) || name.ends_with("logits")) continue;
        const std::string key = name.substr(prefix.size());
        const bool is_gradient = key.starts_with("grad.");
        const at::Tensor actual = is_gradient ? test::sampled(parameters[key.substr(5)].grad()) : state.at(key);
        EXPECT_LT(test::relative_difference(actual, expected), is_gradient ? test::kGradientTolerance : 1e-5) << key;
        ++compared;
      }
      EXPECT_EQ(compared, mode == "train" ? 9 + 18 : 9);
    }
  }
}

TEST(TransUnet, ParametersOfTheWholeNetwork) {
  nn::UnetOptions options{.num_classes = 9};
  options.swin.image_size = {224, 224};
  const nn::TransUnet net(options);
  int64_t count = 0;
  for (const auto& parameter : net->parameters()) count += parameter.numel();
  EXPECT_EQ(count, 105'277'081);
  EXPECT_EQ(net->num_draws(), 25);
}

TEST(TransUnet, SizesThatItRefuses) {
  for (const std::vector<int64_t>& size : {std::vector<int64_t>{64, 40}, {16, 64}, {64}})
    EXPECT_EQ(test::error_of([&] { nn::TransUnet net(small_transunet(size, 1)); }).code(), ExitCode::usage) << size;
  nn::TransUnet net(small_transunet({64, 32}, 1));
  EXPECT_EQ(test::error_of([&] { net->forward(at::zeros({1, 1, 32, 64})); }).code(), ExitCode::data);
  nn::UnetOptions options = small_transunet({64, 64}, 1);
  options.transunet.vit_heads = 5;
  EXPECT_EQ(test::error_of([&] { nn::TransUnet wrong(options); }).code(), ExitCode::usage);
}

// What a sample gets is its own: neither the batch nor its place in it matters.
TEST(TransUnet, DropoutBelongsToTheSample) {
  nn::TransUnet net = kTransUnetCases[1].model();
  net->eval();  // batch norm frozen
  const at::Tensor image = kTransUnetCases[1].image(),
                   draws = data::uniform_draws({7, 8, 9}, Stream::drop_path, net->num_draws());
  const at::Tensor together = net->forward(image, draws), last = net->forward(image.slice(0, 2), draws.slice(0, 2));
  EXPECT_LT(test::max_abs_difference(together.slice(0, 2), last), 1e-5);
  EXPECT_GT(test::max_abs_difference(together, net->forward(image)), 1e-4);
  EXPECT_TRUE(test::same_bits(together, net->forward(image, draws)));
}

TEST(TransUnet, UpsamplesAsTorch) {
  const at::Tensor x = at::randn({2, 3, 7, 1});
  for (at::Tensor one : {x, at::randn({1, 2, 14, 9})}) {
    const at::Tensor expected =
        at::upsample_bilinear2d(one, {2 * one.size(2), 2 * one.size(3)}, /*align_corners=*/true);
    EXPECT_LT(test::max_abs_difference(nn::upsample_twice(one), expected), 1e-6);
    one.requires_grad_();
    const at::Tensor found = nn::upsample_by_products(one), above = at::randn_like(found);
    EXPECT_LT(test::max_abs_difference(found, expected), 1e-6);
    const auto gradient = [&](const at::Tensor& of) { return torch::autograd::grad({of}, {one}, {above})[0]; };
    EXPECT_LT(test::max_abs_difference(gradient(found), gradient(nn::upsample_twice(one))), 1e-5);
  }
}

// docs/deviations.md
TEST(TransUnet, EqualValuesInAWindowShareTheGradientOfSlicesAlone) {
  const at::Tensor x = at::ones({1, 1, 3, 3}).requires_grad_();
  const at::Tensor of_first = torch::autograd::grad({nn::max_pool3x3(x).sum()}, {x})[0];
  EXPECT_EQ(of_first.flatten()[0].item<double>(), 1.0);
  EXPECT_EQ(of_first.sum().item<double>(), 1.0);
  const at::Tensor shares = torch::autograd::grad({nn::max_pool3x3_by_slices(x).sum()}, {x})[0];
  EXPECT_NEAR(shares.sum().item<double>(), 1.0, 1e-6);
  EXPECT_GT(shares.min().item<double>(), 0.0);
}

// No two values are equal: then the gradients of both ways are too.
TEST(TransUnet, PoolsAsTorch) {
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{2, 3, 8, 8}, {1, 2, 9, 3}, {1, 1, 12, 15}}) {
    at::Tensor x = at::randperm(c10::multiply_integers(shape)).to(at::kFloat).view(shape).requires_grad_();
    const at::Tensor expected = at::max_pool2d(x, 3, 2), above = at::randn_like(expected);
    const at::Tensor of_expected = torch::autograd::grad({expected}, {x}, {above})[0];
    for (const auto way : {nn::max_pool3x3, nn::max_pool3x3_by_slices}) {
      const at::Tensor found = way(x);
      EXPECT_TRUE(at::equal(found, expected)) << x.sizes();
      EXPECT_LT(test::max_abs_difference(torch::autograd::grad({found}, {x}, {above})[0], of_expected), 1e-6);
    }
  }
}

TEST(Dropout, KeepsTheShareThatItShould) {
  const at::Tensor draws = data::uniform_draws({1, 2, 3, 4}, Stream::drop_path, 1).select(1, 0);
  constexpr int64_t count = 200'000;
  for (const double rate : {0.1, 0.5}) {
    const at::Tensor kept = nn::dropout_mask(draws, count, rate).to(at::kDouble);
    const double deviation = std::sqrt(rate * (1 - rate) / count);
    for (int64_t i = 0; i < 4; ++i) EXPECT_NEAR(kept[i].mean().item<double>(), 1 - rate, 5 * deviation) << rate;
    const at::Tensor y = nn::dropout(at::ones({4, count}), draws, rate);
    EXPECT_NEAR(y.max().item<double>(), 1 / (1 - rate), 1e-6);
    EXPECT_EQ(y.count_nonzero().item<int64_t>(), static_cast<int64_t>(kept.sum().item<double>()));
  }
}

// As the header says it, value by value.
TEST(Dropout, IsTheHashOfDrawAndPlace) {
  const auto mixed = [](uint64_t value) {
    for (const uint64_t factor : {0x7feb352d, 0x45d9f3b, 0x2c1b3c6d}) {
      value ^= value >> 16;
      value = value * factor % 0x100000000;
    }
    return value ^ (value >> 15);
  };
  const std::vector<double> draws{0.0, 0x1.0p-24, 0.37, 1 - 0x1.0p-24};
  constexpr int64_t count = 70'000;  // more than one thread takes
  for (const double rate : {0.0, 0.1, 0.75}) {
    const at::Tensor mask = nn::dropout_mask(at::tensor(draws, at::kFloat), count, rate);
    const auto kept = mask.accessor<bool, 2>();
    for (int64_t sample = 0; sample < std::ssize(draws); ++sample) {
      const auto draw = static_cast<uint64_t>(static_cast<float>(draws[static_cast<size_t>(sample)]) * 0x1.0p24F);
      const uint64_t key = mixed((draw + 0x9e3779b9) % 0x100000000);
      for (int64_t i = 0; i < count; ++i) {
        const uint64_t hash = mixed((mixed(static_cast<uint64_t>(i)) + key) % 0x100000000);
        ASSERT_EQ(kept[sample][i], static_cast<double>(hash) >= rate * 0x1.0p32) << sample << " " << i;
      }
    }
  }
}

// Neighbours, samples, draws that differ in their last bit, and distances of powers of two don't know of each other.
TEST(Dropout, IsIndependent) {
  constexpr int64_t count = 1 << 18;
  constexpr double rate = 0.1;
  const at::Tensor draws = at::tensor({0.0, 0x1.0p-24, 0x1.0p-23, 0.5, 0.75}, at::kFloat);
  const at::Tensor centred = nn::dropout_mask(draws, count, rate).to(at::kDouble) - (1 - rate);
  const auto correlation = [&](const at::Tensor& a, const at::Tensor& b) {
    return (a * b).mean().item<double>() / (rate * (1 - rate));
  };
  const double limit = 5 / std::sqrt(static_cast<double>(count));
  for (int64_t i = 0; i < draws.size(0); ++i) {
    for (int64_t j = 0; j < i; ++j) EXPECT_LT(std::abs(correlation(centred[i], centred[j])), limit) << i << " " << j;
    for (int64_t lag = 1; lag < count / 2; lag *= 2)
      EXPECT_LT(std::abs(correlation(centred[i].slice(0, lag), centred[i].slice(0, 0, count - lag))), 1.5 * limit)
          << i << " " << lag;
  }
}

}  // namespace
}  // namespace vmae
