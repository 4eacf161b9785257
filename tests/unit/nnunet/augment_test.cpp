#include "vmae/nnunet/augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "support/errors.h"
#include "support/source_path.h"
#include "vmae/core/text.h"

namespace vmae::nnunet {
namespace {

using nlohmann::json;

const json& golden() {
  static const json content = [] {
    std::ifstream file(test::source_path("tests/golden/nnunet_augment.json"));
    return json::parse(file);
  }();
  return content;
}

template <class T>
std::optional<T> optional_of(const json& value) {
  return value.is_null() ? std::nullopt : std::optional<T>(value.get<T>());
}

template <class T>
void set_channels(const json& values, std::optional<T> ChannelDraws::*member, std::vector<ChannelDraws>& channels) {
  if (values.is_null()) return;
  for (size_t c = 0; c < channels.size(); ++c) channels[c].*member = optional_of<T>(values.at(c));
}

AugmentDraws draws_of_case(const json& values, size_t num_channels) {
  AugmentDraws draws;
  draws.rotation = optional_of<double>(values.at("rotation"));
  draws.scale = optional_of<double>(values.at("scale"));
  draws.noise = optional_of<double>(values.at("noise"));
  draws.noise_seed = values.at("noise_seed");
  draws.mirrored = values.at("mirrored");
  draws.channels.resize(num_channels);
  set_channels(values.at("blur"), &ChannelDraws::blur, draws.channels);
  set_channels(values.at("brightness"), &ChannelDraws::brightness, draws.channels);
  set_channels(values.at("contrast"), &ChannelDraws::contrast, draws.channels);
  set_channels(values.at("low_resolution"), &ChannelDraws::low_resolution, draws.channels);
  set_channels(values.at("inverted_gamma"), &ChannelDraws::inverted_gamma, draws.channels);
  set_channels(values.at("gamma"), &ChannelDraws::gamma, draws.channels);
  return draws;
}

struct Sample {
  int64_t num_channels = 0;
  std::vector<float> image;
  std::vector<int16_t> labels;
};

Sample sample_of(const json& row) {
  Sample sample;
  sample.num_channels = static_cast<int64_t>(row.at("values").size());
  for (const json& channel : row.at("values")) {
    for (const json& value : channel) sample.image.push_back(value.get<float>() / 256);
  }
  sample.labels = row.at("labels").get<std::vector<int16_t>>();
  return sample;
}

struct Augmented {
  std::vector<float> image;
  std::vector<uint8_t> labels;
};

Augmented augmented(const AugmentPlan& plan, const AugmentDraws& draws, const Sample& sample,
                    const std::vector<bool>& use_mask = {}) {
  const auto n = static_cast<size_t>(plan.patch[0] * plan.patch[1]);
  Augmented out{std::vector<float>(static_cast<size_t>(sample.num_channels) * n), std::vector<uint8_t>(n)};
  augment(plan, draws, sample.image.data(), sample.labels.data(), sample.num_channels, use_mask, out.image.data(),
          out.labels.data());
  return out;
}

// A patch of 8 x 10 in a ramp; all labels are 1.
struct Ramp {
  AugmentPlan plan = augment_plan({8, 10});
  Sample sample;
  AugmentDraws draws;
  explicit Ramp(int64_t num_channels = 1) {
    const auto pixels = static_cast<size_t>(plan.initial[0] * plan.initial[1]);
    sample.num_channels = num_channels;
    sample.image.resize(static_cast<size_t>(num_channels) * pixels);
    std::iota(sample.image.begin(), sample.image.end(), 0.0F);
    sample.labels.assign(pixels, 1);
    draws.channels.resize(static_cast<size_t>(num_channels));
  }
};

// tests/golden/make_nnunet_augment.py: what nnU-Net makes of patch sizes.
TEST(Augment, PlansWhatNnUnetPlans) {
  ASSERT_GE(golden().at("plans").size(), 20U);
  for (const json& row : golden().at("plans")) {
    SCOPED_TRACE(row.dump());
    const AugmentPlan plan = augment_plan(row.at(0));
    EXPECT_EQ(json(plan.patch), row.at(0));
    EXPECT_DOUBLE_EQ(plan.rotation, row.at(1));
    EXPECT_EQ(json(plan.initial), row.at(2));
    EXPECT_TRUE(plan.mirrors[0] && plan.mirrors[1]);
  }
}

// Each transform alone and all in order, at given parameters.
TEST(Augment, MakesNnUnetsPatches) {
  ASSERT_GE(golden().at("cases").size(), 31U);
  size_t labels = 0, differ = 0;
  for (const json& row : golden().at("cases")) {
    SCOPED_TRACE(row.at("draws").dump());
    const Sample sample = sample_of(golden().at("images").at(row.at("image").get<size_t>()));
    const AugmentDraws draws = draws_of_case(row.at("draws"), static_cast<size_t>(sample.num_channels));
    const Augmented made =
        augmented(augment_plan(row.at("patch")), draws, sample, row.at("use_mask").get<std::vector<bool>>());
    const auto expected = row.at("out").get<std::vector<float>>();
    ASSERT_EQ(expected.size(), (made.image.size() + 4) / 5);
    float most = 0;
    for (size_t i = 0; i < expected.size(); ++i) most = std::max(most, std::abs(made.image[5 * i] - expected[i]));
    EXPECT_LT(most, 1e-5);
    const auto expected_labels = row.at("out_labels").get<std::vector<uint8_t>>();
    ASSERT_EQ(expected_labels.size(), made.labels.size());
    labels += made.labels.size();
    for (size_t i = 0; i < made.labels.size(); ++i) differ += made.labels[i] == expected_labels[i] ? 0 : 1;
  }
  // where places lie at exact halves, as in one turned by a right angle, nnU-Net's single precision decides
  EXPECT_LT(static_cast<double>(differ), 0.0003 * static_cast<double>(labels)) << differ << " of " << labels;
}

// How often something is drawn, and its numbers.
struct Drawn {
  double share = 0;
  std::vector<double> numbers;
};

Drawn drawn_of(const std::function<std::optional<double>(const AugmentDraws&)>& number, int64_t num_channels = 1,
               const std::array<int64_t, 2>& patch = {32, 32}) {
  constexpr int kSamples = 40000;
  Drawn drawn;
  const AugmentPlan plan = augment_plan(patch);
  for (int i = 0; i < kSamples; ++i) {
    Random random(derive_seed(17, static_cast<uint64_t>(Stream::augment), i));
    if (const auto value = number(draw_augmentation(plan, num_channels, random))) drawn.numbers.push_back(*value);
  }
  drawn.share = static_cast<double>(drawn.numbers.size()) / kSamples;
  return drawn;
}

void expect_share(double share, double expected, size_t count) {
  EXPECT_NEAR(share, expected, 4.5 * std::sqrt(expected * (1 - expected) / static_cast<double>(count)));
}

// Kolmogorov and Smirnov's distance from a uniform distribution; 1.95: one time in a thousand.
void expect_uniform(std::vector<double> numbers, double low, double high) {
  ASSERT_FALSE(numbers.empty());
  std::sort(numbers.begin(), numbers.end());
  EXPECT_GE(numbers.front(), low);
  EXPECT_LE(numbers.back(), high);
  const auto n = static_cast<double>(numbers.size());
  double distance = 0;
  for (size_t i = 0; i < numbers.size(); ++i)
    distance = std::max(distance, std::abs((numbers[i] - low) / (high - low) - (static_cast<double>(i) + 0.5) / n));
  EXPECT_LT(distance * std::sqrt(n), 1.95);
}

// Half below 1, half above, each uniform.
void expect_about_one(const std::vector<double>& numbers, double low, double high) {
  std::vector<double> below, above;
  for (const double number : numbers) (number < 1 ? below : above).push_back(number);
  expect_share(static_cast<double>(below.size()) / static_cast<double>(numbers.size()), 0.5, numbers.size());
  expect_uniform(below, low, 1);
  expect_uniform(above, 1, high);
}

TEST(Augment, DrawsGeometryAndNoiseAsNnUnet) {
  const json &chances = golden().at("chances"), &ranges = golden().at("ranges");
  for (const std::array<int64_t, 2> patch : {std::array<int64_t, 2>{32, 32}, {32, 64}}) {
    const Drawn rotation = drawn_of([](const AugmentDraws& draws) { return draws.rotation; }, 1, patch);
    expect_share(rotation.share, chances.at("rotation"), 40000);
    expect_uniform(rotation.numbers, -augment_plan(patch).rotation, augment_plan(patch).rotation);
  }
  const Drawn scale = drawn_of([](const AugmentDraws& draws) { return draws.scale; });
  expect_share(scale.share, chances.at("scale"), 40000);
  expect_uniform(scale.numbers, ranges.at("scale")[0], ranges.at("scale")[1]);
  const Drawn noise = drawn_of([](const AugmentDraws& draws) { return draws.noise; });
  expect_share(noise.share, chances.at("noise"), 40000);
  expect_uniform(noise.numbers, ranges.at("noise")[0], ranges.at("noise")[1]);
  for (size_t axis = 0; axis < 2; ++axis) {
    const Drawn mirrored = drawn_of(
        [axis](const AugmentDraws& draws) { return draws.mirrored[axis] ? std::optional<double>(1) : std::nullopt; });
    expect_share(mirrored.share, 0.5, 40000);
  }
}

TEST(Augment, DrawsFactorsAsNnUnet) {
  const std::vector<std::pair<const char*, std::optional<double> ChannelDraws::*>> members{
      {"brightness", &ChannelDraws::brightness},
      {"contrast", &ChannelDraws::contrast},
      {"inverted_gamma", &ChannelDraws::inverted_gamma},
      {"gamma", &ChannelDraws::gamma}};
  for (const auto& [name, member] : members) {
    SCOPED_TRACE(name);
    const json& range = golden().at("ranges").at(name);
    const Drawn drawn = drawn_of([member = member](const AugmentDraws& draws) { return draws.channels[1].*member; }, 2);
    expect_share(drawn.share, golden().at("chances").at(name), 40000);
    expect_about_one(drawn.numbers, range[0], range[1]);
    // all channels or none, each with its own
    const Drawn ratio = drawn_of(
        [member = member](const AugmentDraws& draws) {
          EXPECT_EQ((draws.channels[0].*member).has_value(), (draws.channels[1].*member).has_value());
          return draws.channels[0].*member == draws.channels[1].*member ? std::nullopt : std::optional<double>(1);
        },
        2);
    EXPECT_DOUBLE_EQ(ratio.share, drawn.share);
  }
}

TEST(Augment, DrawsBlurAndResolutionPerChannel) {
  const json &chances = golden().at("chances"), &of_channel = golden().at("channel_chances"),
             &ranges = golden().at("ranges");
  const auto check = [&](const char* name, const auto& number) {
    SCOPED_TRACE(name);
    const double chance = chances.at(name), each = of_channel.at(name);
    const Drawn drawn = drawn_of([&](const AugmentDraws& draws) { return number(draws.channels[2]); }, 3);
    expect_share(drawn.share, chance * each, 40000);
    expect_uniform(drawn.numbers, ranges.at(name)[0], ranges.at(name)[1]);
    const Drawn all = drawn_of(
        [&](const AugmentDraws& draws) {
          return number(draws.channels[0]) && number(draws.channels[1]) ? number(draws.channels[2]) : std::nullopt;
        },
        3);
    expect_share(all.share, chance * each * each * each, 40000);
  };
  for (size_t axis = 0; axis < 2; ++axis) {
    check("blur", [axis](const ChannelDraws& channel) {
      return channel.blur ? std::optional<double>((*channel.blur)[axis]) : std::nullopt;
    });
  }
  check("low_resolution", [](const ChannelDraws& channel) { return channel.low_resolution; });
  drawn_of([](const AugmentDraws& draws) {
    const auto& blur = draws.channels[0].blur;
    EXPECT_TRUE(!blur || (*blur)[0] != (*blur)[1]);
    return blur ? std::optional<double>(1) : std::nullopt;
  });
}

TEST(Augment, NoiseIsNormalAndOfEachChannel) {
  Ramp ramp(2);
  ramp.plan = augment_plan({255, 201});
  const auto pixels = static_cast<size_t>(ramp.plan.initial[0] * ramp.plan.initial[1]);
  ramp.sample = {2, std::vector<float>(2 * pixels), std::vector<int16_t>(pixels)};
  ramp.draws.noise = 0.1;
  ramp.draws.noise_seed = 99;
  const std::vector<float> values = augmented(ramp.plan, ramp.draws, ramp.sample).image;
  std::vector<double> quantiles, moments(5);
  for (const float value : values) {
    const double z = value / 0.1;
    quantiles.push_back(std::erfc(-z / std::sqrt(2.0)) / 2);
    for (size_t k = 0; k < moments.size(); ++k) moments[k] += std::pow(z, k) / static_cast<double>(values.size());
  }
  expect_uniform(quantiles, 0, 1);
  EXPECT_NEAR(moments[1], 0, 0.015);
  EXPECT_NEAR(moments[2], 1, 0.02);
  EXPECT_NEAR(moments[4], 3, 0.15);
  const size_t n = values.size() / 2;
  for (const size_t apart : {size_t{1}, size_t{2}, size_t{201}, n}) {
    double product = 0;
    for (size_t i = 0; i < n; ++i) product += values[i] * values[i + apart] / 0.01;
    EXPECT_NEAR(product / static_cast<double>(n), 0, 0.02) << apart << " apart";
  }
  ramp.draws.noise_seed = 100;
  EXPECT_NE(augmented(ramp.plan, ramp.draws, ramp.sample).image, values);
}

TEST(Augment, ConstantImagesStayFinite) {
  Ramp ramp;
  std::fill(ramp.sample.image.begin(), ramp.sample.image.end(), 2.5F);
  ramp.draws.channels[0] = {std::array{0.8, 0.8}, std::nullopt, 1.2, 0.6, 1.4, 0.7};
  for (const float value : augmented(ramp.plan, ramp.draws, ramp.sample).image) ASSERT_NEAR(value, 2.5, 1e-5);
}

// The smallest feature maps are of 4 pixels; here kernels and neighbours are larger than the patch.
TEST(Augment, TinyPatchesStayFinite) {
  for (int64_t height = 2; height < 9; ++height) {
    for (int64_t width = 2; width < 9; ++width) {
      SCOPED_TRACE(concat(height, " x ", width));
      Ramp ramp;
      ramp.plan = augment_plan({height, width});
      ramp.sample.image.resize(static_cast<size_t>(ramp.plan.initial[0] * ramp.plan.initial[1]));
      ramp.sample.labels.assign(ramp.sample.image.size(), 3);
      ramp.draws.rotation = 0.7;
      ramp.draws.noise = 0.1;
      ramp.draws.channels[0] = {std::array{1.0, 0.5}, 0.9, 1.2, 0.5, 1.4, 0.7};
      ramp.draws.mirrored = {true, true};
      const Augmented made = augmented(ramp.plan, ramp.draws, ramp.sample);
      for (const float value : made.image) ASSERT_TRUE(std::isfinite(value));
      for (const uint8_t label : made.labels) ASSERT_TRUE(label == 0 || label == 3);
    }
  }
}

// A sample depends on its draws alone, whatever the thread made before.
TEST(Augment, RepeatsItself) {
  const Sample sample = sample_of(golden().at("images")[0]);
  const AugmentPlan plan = augment_plan({31, 23});
  std::vector<Augmented> first;
  for (int round = 0; round < 2; ++round) {
    for (uint64_t i = 0; i < 50; ++i) {
      Random random(i);
      const Augmented made = augmented(plan, draw_augmentation(plan, 1, random), sample);
      if (round == 0) {
        first.push_back(made);
        Ramp other;
        other.draws.rotation = 1;
        other.draws.channels[0].blur = {0.7, 0.7};
        augmented(other.plan, other.draws, other.sample);
      } else {
        ASSERT_EQ(made.image, first[i].image);
        ASSERT_EQ(made.labels, first[i].labels);
      }
    }
  }
}

TEST(Augment, CutsTheMiddleOutForValidation) {
  const Sample sample = sample_of(golden().at("images")[0]);
  const json* row = nullptr;  // the case in which nothing happens
  for (const json& candidate : golden().at("cases")) {
    const json& draws = candidate.at("draws");
    const auto changes = std::count_if(draws.begin(), draws.end(), [](const json& value) { return !value.is_null(); });
    if (candidate.at("image") == 0 && changes == 2 && draws.at("mirrored") == json{false, false}) row = &candidate;
  }
  ASSERT_NE(row, nullptr);
  std::vector<float> image(31 * 23);
  std::vector<uint8_t> labels(image.size());
  central_patch({36, 36}, {31, 23}, sample.image.data(), sample.labels.data(), 1, image.data(), labels.data());
  EXPECT_EQ(json(labels), row->at("out_labels"));
  const auto expected = row->at("out").get<std::vector<float>>();
  for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(image[5 * i], expected[i], 1e-5);
}

TEST(Augment, RefusesDrawsOfOtherChannels) {
  Ramp ramp(2);
  EXPECT_EQ(test::error_of([&] { augmented(ramp.plan, ramp.draws, ramp.sample, {true}); }).code(), ExitCode::internal);
  ramp.draws.channels.pop_back();
  EXPECT_EQ(test::error_of([&] { augmented(ramp.plan, ramp.draws, ramp.sample); }).code(), ExitCode::internal);
}

}  // namespace
}  // namespace vmae::nnunet
