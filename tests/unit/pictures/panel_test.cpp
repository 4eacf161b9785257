// Which channels of an image a panel shows, and where.
#include "vmae/pictures/panel.h"

#include <gtest/gtest.h>

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

namespace vmae::run {
namespace {

constexpr int64_t kSide = 160, kGap = 6, kCaption = 24;  // a picture of 160 pixels is not enlarged

// (1, n, 160, 160), each channel of its own value: 0.2, 0.4, ...
at::Tensor image_of(int64_t channels) {
  at::Tensor image = at::zeros({1, channels, kSide, kSide});
  for (int64_t c = 0; c < channels; ++c) image.select(1, c).fill_(0.2 * static_cast<double>(c + 1));
  return image;
}

// In the middle of a column of pictures, in the first row.
float middle(const io::Image& panel, int64_t column, int64_t c = 0, int64_t row = 0) {
  const int64_t y = kCaption + row * (kSide + kGap) + kSide / 2, x = kGap + column * (kSide + kGap) + kSide / 2;
  return panel.pixels[static_cast<size_t>((y * panel.width + x) * panel.channels + c)];
}

std::vector<double> all(int64_t n, double value) { return std::vector<double>(static_cast<size_t>(n), value); }

io::Image segmentation(int64_t channels) {
  const at::Tensor mask = at::zeros({1, kSide, kSide}, at::kByte);
  return segmentation_panel(image_of(channels), mask, mask, {"organ"}, all(channels, 0), all(channels, 1));
}

TEST(Panel, ChannelsStandBesideEachOther) {
  for (const int64_t channels : {1, 2, 4, 5}) {
    const io::Image panel = segmentation(channels);
    const int64_t shown = std::min<int64_t>(channels, 4);
    EXPECT_EQ(panel.width, kGap + (shown + 2) * (kSide + kGap) + 2 * kGap) << channels;
    for (int64_t c = 0; c < shown; ++c)
      EXPECT_NEAR(middle(panel, c), 51.0 * static_cast<double>(c + 1), 0.01) << channels;
    EXPECT_NEAR(middle(panel, shown), 51.0, 0.01);  // the mask lies over the first
  }
}

TEST(Panel, ThreeChannelsAreColours) {
  const io::Image panel = segmentation(3);
  EXPECT_EQ(panel.width, kGap + 3 * (kSide + kGap) + 2 * kGap);
  for (int64_t c = 0; c < 3; ++c) EXPECT_NEAR(middle(panel, 0, c), 51.0 * static_cast<double>(c + 1), 0.01);
}

TEST(Panel, ReconstructionsOfChannelsStandBelowEachOther) {
  nn::MaeOutput output;
  constexpr int64_t kPatches = (kSide / nn::kPatchSize) * (kSide / nn::kPatchSize);
  for (const int64_t channels : {1, 2, 3}) {
    output.hidden = at::zeros({1, kPatches}, at::kBool);
    output.prediction = at::zeros({1, kPatches, nn::kPatchSize * nn::kPatchSize * channels});
    const io::Image panel = reconstruction_panel(image_of(channels), output, {}, all(channels, 0), all(channels, 1));
    EXPECT_EQ(panel.channels, channels == 3 ? 3 : 1);
    EXPECT_NEAR(middle(panel, 0), 51.0, 0.01) << channels;
    if (channels != 2) continue;
    const int64_t second = kGap + 3 * (kSide + kGap) + 2 * kGap + kSide / 2;  // two rows stand side by side
    EXPECT_NEAR(panel.pixels[static_cast<size_t>((kCaption + kSide / 2) * panel.width + second)], 102.0, 0.01);
  }
}

TEST(Panel, ImagesOfAClassifierShowTheirChannels) {
  const io::Image panel = image_panel(at::cat({image_of(2), image_of(2)}), all(2, 0), all(2, 1));
  EXPECT_EQ(panel.width % 2, 0);
  const auto at_share = [&](double share) {
    return panel.pixels[static_cast<size_t>(panel.height / 3 * panel.width + share * static_cast<double>(panel.width))];
  };
  EXPECT_NEAR(at_share(0.1), 51.0, 0.01);
  EXPECT_NEAR(at_share(0.4), 102.0, 0.01);
  EXPECT_NEAR(at_share(0.6), 51.0, 0.01);
}

}  // namespace
}  // namespace vmae::run
