#pragma once
// How nnU-Net changes a training sample of its configuration 2d (nnU-Net 2.8.1, batchgeneratorsv2 0.3.6): drawn first,
// then applied, in this order: turned and scaled, noise, blur, brightness, contrast, low resolution, gamma of the
// inverted image, gamma, mirrored, masked. Axes: rows, columns.
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "vmae/core/random.h"

namespace vmae::nnunet {

// What the size of the patch decides.
struct AugmentPlan {
  std::array<int64_t, 2> patch{}, initial{};  // pixels: what the network gets, and what is cut out of the case for it
  double rotation = 0;                        // radians, at most, to both sides
  std::array<bool, 2> mirrors{true, true};    // axes that are mirrored half of the time; and in prediction
};
AugmentPlan augment_plan(const std::array<int64_t, 2>& patch);

// Of the rectangle around the patch turned by `rotation`, at most a right angle, with room for objects that shrink:
// nnU-Net's get_patch_size. Corners of patches may still reach out of it.
std::array<int64_t, 2> initial_patch_size(const std::array<int64_t, 2>& patch, double rotation);

// What happens to one channel; nothing by default.
struct ChannelDraws {
  std::optional<std::array<double, 2>> blur;    // standard deviations along the axes, pixels
  std::optional<double> brightness;             // factor
  std::optional<double> contrast;               // factor of the distance to the mean
  std::optional<double> low_resolution;         // size in between, of 1
  std::optional<double> inverted_gamma, gamma;  // exponents
};

// All that the augmentation of one sample depends on.
struct AugmentDraws {
  std::optional<double> rotation, scale;  // radians; above 1: smaller objects. Without both, the central patch as it is
  std::optional<double> noise;            // standard deviation, of all channels
  uint64_t noise_seed = 0;
  std::vector<ChannelDraws> channels;
  std::array<bool, 2> mirrored{};
};
AugmentDraws draw_augmentation(const AugmentPlan& plan, int64_t num_channels, Random& random);

// image: a plane of plan.initial pixels per channel. labels: likewise, -1 where nothing is, 0 to 255.
// image_out, labels_out: of plan.patch pixels, with 0 in place of -1. use_mask: channels that become 0 wherever the
// label is -1 (of the plan; empty: none). Buffers are the thread's and stay. Throws Error(internal) where the numbers
// of channels differ.
void augment(const AugmentPlan& plan, const AugmentDraws& draws, const float* image, const int16_t* labels,
             int64_t num_channels, const std::vector<bool>& use_mask, float* image_out, uint8_t* labels_out);

// For validation: the central patch of an image of `size`, nothing changed but -1, which becomes 0.
void central_patch(const std::array<int64_t, 2>& size, const std::array<int64_t, 2>& patch, const float* image,
                   const int16_t* labels, int64_t num_channels, float* image_out, uint8_t* labels_out);

}  // namespace vmae::nnunet
