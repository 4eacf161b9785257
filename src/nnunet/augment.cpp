#include "vmae/nnunet/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "augment_spatial.h"
#include "augment_values.h"
#include "vmae/core/error.h"

namespace vmae::nnunet {
namespace {

constexpr double kFreeRotation = std::numbers::pi, kElongatedRotation = std::numbers::pi / 12;
constexpr double kElongated = 1.5;       // a patch whose longer side is more than so many times the other
constexpr double kSmallestScale = 0.85;  // that the initial patch is made for

constexpr double kRotationChance = 0.2, kScaleChance = 0.2, kNoiseChance = 0.1, kBlurChance = 0.2,
                 kBrightnessChance = 0.15, kContrastChance = 0.15, kLowResolutionChance = 0.25,
                 kInvertedGammaChance = 0.1, kGammaChance = 0.3, kMirrorChance = 0.5;
constexpr double kChannelChance = 0.5;  // of each channel of what is blurred or loses resolution

struct DrawRange {
  double low, high;
};
constexpr DrawRange kScale{0.7, 1.4}, kNoise{0, 0.1}, kBlur{0.5, 1}, kFactor{0.75, 1.25}, kResolution{0.5, 1},
    kExponent{0.7, 1.5};

double drawn(const DrawRange& range, Random& random) { return random.uniform(range.low, range.high); }

// Half of the numbers below 1, half above.
double drawn_about_one(const DrawRange& range, Random& random) {
  return random.chance(0.5) ? random.uniform(range.low, 1) : random.uniform(1, range.high);
}

// Of the order in which they are applied, all channels at once.
void draw_values(AugmentDraws& draws, Random& random) {
  const auto each = [&](double chance, double channel_chance, const auto& draw) {
    if (!random.chance(chance)) return;
    for (ChannelDraws& channel : draws.channels) {
      if (channel_chance == 1 || random.chance(channel_chance)) draw(channel);
    }
  };
  each(kBlurChance, kChannelChance, [&](ChannelDraws& channel) {
    const double first = drawn(kBlur, random);
    channel.blur = {first, drawn(kBlur, random)};
  });
  each(kBrightnessChance, 1, [&](ChannelDraws& channel) { channel.brightness = drawn_about_one(kFactor, random); });
  each(kContrastChance, 1, [&](ChannelDraws& channel) { channel.contrast = drawn_about_one(kFactor, random); });
  each(kLowResolutionChance, kChannelChance,
       [&](ChannelDraws& channel) { channel.low_resolution = drawn(kResolution, random); });
  each(kInvertedGammaChance, 1,
       [&](ChannelDraws& channel) { channel.inverted_gamma = drawn_about_one(kExponent, random); });
  each(kGammaChance, 1, [&](ChannelDraws& channel) { channel.gamma = drawn_about_one(kExponent, random); });
}

struct Buffers {
  SpatialBuffers spatial;
  ValueBuffers values;
  std::vector<int16_t> labels;
};

void change_values(const ChannelDraws& draws, const std::array<int64_t, 2>& size, ValueBuffers& buffers, float* plane) {
  const int64_t n = size[0] * size[1];
  if (draws.blur) blur(plane, size, *draws.blur, buffers);
  if (draws.brightness) multiply(plane, n, *draws.brightness);
  if (draws.contrast) change_contrast(plane, n, *draws.contrast);
  if (draws.low_resolution) lower_resolution(plane, size, *draws.low_resolution, buffers);
  if (draws.inverted_gamma) change_gamma(plane, n, *draws.inverted_gamma, true);
  if (draws.gamma) change_gamma(plane, n, *draws.gamma, false);
}

void reverse(const float* from, int64_t n, float* __restrict to) {
  for (int64_t i = 0; i < n; ++i) to[i] = from[n - 1 - i];
}

void mirror(float* plane, const std::array<int64_t, 2>& size, const std::array<bool, 2>& mirrored,
            std::vector<float>& row) {
  const auto [height, width] = size;
  if (mirrored[0]) {
    for (int64_t r = 0; r < height / 2; ++r)
      std::swap_ranges(plane + r * width, plane + (r + 1) * width, plane + (height - 1 - r) * width);
  }
  if (!mirrored[1]) return;
  for (int64_t r = 0; r < height; ++r) {
    row.assign(plane + r * width, plane + (r + 1) * width);
    reverse(row.data(), width, plane + r * width);
  }
}

uint8_t without_outside(int16_t label) { return static_cast<uint8_t>(label == kOutside ? 0 : label); }

void copy_labels(const int16_t* from, int64_t n, bool reversed, uint8_t* __restrict to) {
  if (reversed) {
    for (int64_t i = 0; i < n; ++i) to[i] = without_outside(from[n - 1 - i]);
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = without_outside(from[i]);
  }
}

void mask(const int16_t* labels, int64_t n, float* plane) {
  for (int64_t i = 0; i < n; ++i) plane[i] = labels[i] == kOutside ? 0 : plane[i];
}

}  // namespace

std::array<int64_t, 2> initial_patch_size(const std::array<int64_t, 2>& patch, double rotation) {
  const double turned = std::min(rotation, std::numbers::pi / 2), c = std::cos(turned), s = std::sin(turned);
  const auto height = static_cast<double>(patch[0]), width = static_cast<double>(patch[1]);
  const auto needed = [](double size, double turned_size) {
    return static_cast<int64_t>(std::max(size, std::abs(turned_size)) / kSmallestScale);
  };
  return {needed(height, height * c + width * s), needed(width, width * c - height * s)};
}

AugmentPlan augment_plan(const std::array<int64_t, 2>& patch) {
  AugmentPlan plan{patch};
  const auto [shorter, longer] = std::minmax(patch[0], patch[1]);
  plan.rotation =
      static_cast<double>(longer) / static_cast<double>(shorter) > kElongated ? kElongatedRotation : kFreeRotation;
  plan.initial = initial_patch_size(patch, plan.rotation);
  return plan;
}

AugmentDraws draw_augmentation(const AugmentPlan& plan, int64_t num_channels, Random& random) {
  AugmentDraws draws;
  draws.channels.resize(static_cast<size_t>(num_channels));
  if (random.chance(kRotationChance)) draws.rotation = random.uniform(-plan.rotation, plan.rotation);
  if (random.chance(kScaleChance)) draws.scale = drawn(kScale, random);
  if (random.chance(kNoiseChance)) {
    draws.noise = drawn(kNoise, random);
    draws.noise_seed = random.bits();
  }
  draw_values(draws, random);
  for (size_t axis = 0; axis < 2; ++axis) draws.mirrored[axis] = plan.mirrors[axis] && random.chance(kMirrorChance);
  return draws;
}

void augment(const AugmentPlan& plan, const AugmentDraws& draws, const float* image, const int16_t* labels,
             int64_t num_channels, const std::vector<bool>& use_mask, float* image_out, uint8_t* labels_out) {
  const auto channels = static_cast<size_t>(num_channels);
  if (draws.channels.size() != channels || (!use_mask.empty() && use_mask.size() != channels))
    throw Error(ExitCode::internal, concat("draws for ", draws.channels.size(), " channels and masks for ",
                                           use_mask.size(), ", but the image has ", channels));
  thread_local Buffers buffers;
  const int64_t n = plan.patch[0] * plan.patch[1], initial = plan.initial[0] * plan.initial[1];
  buffers.labels.resize(static_cast<size_t>(n));
  int16_t* patch_labels = buffers.labels.data();
  if (draws.rotation || draws.scale) {
    turn_and_scale(plan, draws.rotation.value_or(0), draws.scale.value_or(1), image, labels, num_channels,
                   buffers.spatial, image_out, patch_labels);
  } else {
    for (int64_t c = 0; c < num_channels; ++c)
      cut_out(image + c * initial, plan.initial, plan.patch, image_out + c * n);
    cut_out(labels, plan.initial, plan.patch, patch_labels);
  }
  if (draws.noise) add_noise(image_out, num_channels * n, *draws.noise, draws.noise_seed);
  for (size_t c = 0; c < channels; ++c) {
    float* plane = image_out + static_cast<int64_t>(c) * n;
    change_values(draws.channels[c], plan.patch, buffers.values, plane);
    if (!use_mask.empty() && use_mask[c]) mask(patch_labels, n, plane);  // as well before as after the mirror
    mirror(plane, plan.patch, draws.mirrored, buffers.values.row);
  }
  const auto [height, width] = plan.patch;
  for (int64_t r = 0; r < height; ++r)
    copy_labels(patch_labels + (draws.mirrored[0] ? height - 1 - r : r) * width, width, draws.mirrored[1],
                labels_out + r * width);
}

void central_patch(const std::array<int64_t, 2>& size, const std::array<int64_t, 2>& patch, const float* image,
                   const int16_t* labels, int64_t num_channels, float* image_out, uint8_t* labels_out) {
  const int64_t pixels = size[0] * size[1], n = patch[0] * patch[1];
  for (int64_t c = 0; c < num_channels; ++c) cut_out(image + c * pixels, size, patch, image_out + c * n);
  const auto [row, column] = central_corner(size, patch);
  for (int64_t r = 0; r < patch[0]; ++r)
    copy_labels(labels + (row + r) * size[1] + column, patch[1], false, labels_out + r * patch[1]);
}

}  // namespace vmae::nnunet
