#include "vmae/nn/mae.h"

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "support/errors.h"
#include "support/tensors.h"
#include "vmae/core/error.h"

namespace vmae::nn {
namespace {

MaeOptions small(std::vector<int64_t> size, int64_t channels) {
  MaeOptions options;
  options.swin.image_size = std::move(size);
  options.swin.in_channels = channels;
  options.swin.embed_dim = 12;
  options.swin.num_heads = {1, 2, 2, 4};
  return options;
}

TEST(HiddenTokens, KeepsTheUnitsWithTheSmallestNoise) {
  // 2 x 4 units, two of eight stay
  const at::Tensor noise = at::tensor({0.9F, 0.1F, 0.5F, 0.3F, 0.7F, 0.2F, 0.8F, 0.6F}).view({1, 8});
  const at::Tensor hidden = hidden_tokens(noise, 8, 16, 0.75);
  EXPECT_EQ(hidden.sum().item<int64_t>(), 6 * 16);
  EXPECT_FALSE(hidden[0][0][4].item<bool>());  // unit 1
  EXPECT_FALSE(hidden[0][7][7].item<bool>());  // unit 5
  EXPECT_TRUE(hidden[0][0][3].item<bool>());
  EXPECT_TRUE(hidden[0][3][12].item<bool>());
}

TEST(HiddenTokens, FullSizeKeeps784Of3136) {
  EXPECT_EQ(hidden_tokens(at::rand({2, 196}), 56, 56, 0.75).sum().item<int64_t>(), 2 * 2352);
}

TEST(HiddenTokens, EqualsALoopOverSamples) {
  torch::manual_seed(3);
  const at::Tensor noise = at::rand({5, 6});
  const at::Tensor hidden = hidden_tokens(noise, 8, 12, 0.6);
  for (int64_t b = 0; b < 5; ++b) {
    std::vector<std::pair<float, int64_t>> order;
    for (int64_t u = 0; u < 6; ++u) order.emplace_back(noise[b][u].item<float>(), u);
    std::sort(order.begin(), order.end());
    for (int64_t place = 0; place < 6; ++place) {
      const int64_t unit = order[static_cast<size_t>(place)].second;
      EXPECT_EQ(hidden[b][unit / 3 * 4][unit % 3 * 4].item<bool>(), place >= 2);
    }
  }
}

TEST(Patchify, ChannelIsFastestAndUnpatchifyInverts) {
  const at::Tensor image = at::arange(2 * 3 * 8 * 12, at::kFloat).view({2, 3, 8, 12});
  const at::Tensor patches = patchify(image);
  ASSERT_EQ(patches.sizes(), (std::vector<int64_t>{2, 6, 48}));
  EXPECT_EQ(patches[1][4][0].item<float>(), image[1][0][4][4].item<float>());   // second row of patches, second column
  EXPECT_EQ(patches[1][4][1].item<float>(), image[1][1][4][4].item<float>());   // next number: next channel
  EXPECT_EQ(patches[1][4][3].item<float>(), image[1][0][4][5].item<float>());   // then the next column
  EXPECT_EQ(patches[1][4][12].item<float>(), image[1][0][5][4].item<float>());  // then the next row
  EXPECT_TRUE(at::equal(unpatchify(patches, 8, 12), image));
}

TEST(Mae, AnyMultipleOf32AndAnyChannels) {
  for (const auto& [size, channels] :
       std::vector<std::pair<std::vector<int64_t>, int64_t>>{{{96, 160}, 2}, {{32, 32}, 1}, {{224, 64}, 4}}) {
    Mae model(small(size, channels));
    const at::Tensor image = at::randn({2, channels, size[0], size[1]});
    const MaeOutput output =
        model->forward(image, at::rand({2, model->num_units()}), at::rand({2, 2 * model->num_blocks()}));
    EXPECT_EQ(output.prediction.sizes(), (std::vector<int64_t>{2, size[0] / 4 * size[1] / 4, 16 * channels}));
    output.loss.backward();
    for (const auto& item : model->named_parameters()) {
      if (!item.value().requires_grad()) continue;
      EXPECT_TRUE(item.value().grad().defined() && item.value().grad().isfinite().all().item<bool>()) << item.key();
    }
  }
}

TEST(Mae, RefusesOtherSizesNamingTheNearestValidOnes) {
  const Error error = test::error_of([] { Mae model(small({100, 96}, 1)); });
  EXPECT_EQ(error.code(), ExitCode::usage);
  EXPECT_TRUE(test::contains(error.what(), "100 is not a multiple of 32")) << error.what();
  EXPECT_TRUE(test::contains(error.hint(), "96 and 128")) << error.hint();
}

TEST(Mae, ShiftOfSmallGridsIsAnotherFunctionOfTheSameWeights) {
  MaeOptions options = small({224, 224}, 1);
  torch::manual_seed(0);
  Mae shifted(options);
  options.swin.shift_small_grids = false;
  Mae unshifted(options);
  const at::NoGradGuard no_grad;
  const auto from = shifted->named_parameters();
  for (auto& item : unshifted->named_parameters()) item.value().copy_(from[item.key()]);
  const at::Tensor image = at::randn({1, 1, 224, 224}), noise = at::rand({1, 196});
  EXPECT_GT(
      test::max_abs_difference(shifted->forward(image, noise).prediction, unshifted->forward(image, noise).prediction),
      1e-4);
}

TEST(Mae, DropPathKeepsTheMeanAndDropsWholeSamples) {
  MaeOptions options = small({32, 32}, 1);
  options.swin.drop_path_rate = 0.5;
  Mae model(options);
  const at::NoGradGuard no_grad;
  const at::Tensor image = at::randn({2, 1, 32, 32}), noise = at::rand({2, model->num_units()});
  const at::Tensor keep = at::ones({2, 2 * model->num_blocks()}) * 0.999;
  at::Tensor mixed = keep.clone();
  mixed[1].zero_();  // drops every branch of sample 1 whose rate is above 0
  const at::Tensor a = model->forward(image, noise, keep).prediction,
                   b = model->forward(image, noise, mixed).prediction;
  EXPECT_TRUE(at::equal(a[0], b[0]));
  EXPECT_FALSE(at::equal(a[1], b[1]));
}

}  // namespace
}  // namespace vmae::nn
