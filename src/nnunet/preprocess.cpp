#include "vmae/nnunet/preprocess.h"

#include <algorithm>
#include <cmath>

#include "transposed.h"
#include "vmae/core/error.h"
#include "vmae/nnunet/resample.h"

namespace vmae::nnunet {
namespace {

constexpr double kSmallestStd = 1e-8;
constexpr float kMostColour = 255;

// A box of the voxels, with their axes exchanged first. box: after the exchange.
template <class T>
std::vector<T> part_of(const std::vector<T>& voxels, const std::array<int64_t, 3>& shape,
                       const std::array<int64_t, 3>& forward, const Box& box) {
  const std::array<int64_t, 3> strides = transposed(std::array<int64_t, 3>{shape[1] * shape[2], shape[2], 1}, forward);
  std::vector<T> part;
  part.reserve(
      static_cast<size_t>((box.end[0] - box.begin[0]) * (box.end[1] - box.begin[1]) * (box.end[2] - box.begin[2])));
  for (int64_t z = box.begin[0]; z < box.end[0]; ++z) {
    for (int64_t y = box.begin[1]; y < box.end[1]; ++y) {
      for (int64_t x = box.begin[2]; x < box.end[2]; ++x)
        part.push_back(voxels[static_cast<size_t>(z * strides[0] + y * strides[1] + x * strides[2])]);
    }
  }
  return part;
}

// Minus mean, divided by standard deviation, of the voxels of `mask` alone where there is one.
void normalize_zscore(std::vector<float>& values, const std::vector<uint8_t>& mask) {
  const auto counts = [&](size_t i) { return mask.empty() || mask[i] != 0; };
  double sum = 0, squares = 0, count = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!counts(i)) continue;
    sum += values[i];
    ++count;
  }
  if (count == 0) return;
  const double mean = sum / count;
  for (size_t i = 0; i < values.size(); ++i) {
    if (counts(i)) squares += (values[i] - mean) * (values[i] - mean);
  }
  const double std = std::max(std::sqrt(squares / count), kSmallestStd);
  for (size_t i = 0; i < values.size(); ++i) {
    if (counts(i)) values[i] = static_cast<float>((values[i] - mean) / std);
  }
}

void normalize_ct(std::vector<float>& values, const Intensities& foreground) {
  const auto low = static_cast<float>(foreground.percentile_00_5),
             high = static_cast<float>(foreground.percentile_99_5), mean = static_cast<float>(foreground.mean),
             std = static_cast<float>(std::max(foreground.std, kSmallestStd));
  for (float& value : values) value = (std::clamp(value, low, high) - mean) / std;
}

void rescale_to_01(std::vector<float>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  const float low = *least, range = std::max(*most - low, static_cast<float>(kSmallestStd));
  for (float& value : values) value = (value - low) / range;
}

void rgb_to_01(std::vector<float>& values, const std::string& name) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  if (*least < 0 || *most > kMostColour)
    throw Error(
        ExitCode::data,
        concat(name, ": holds values from ", *least, " to ", *most, ", but its plan takes it for colours of 8 bits"),
        "plan it with another name of the channel than rgb_to_0_1");
  for (float& value : values) value /= kMostColour;
}

void normalize(std::vector<float>& values, const std::vector<uint8_t>& mask, const std::string& name,
               const Plans& plans, size_t channel) {
  const std::string& scheme = plans.flat.normalization[channel];
  if (scheme == "ZScoreNormalization")
    normalize_zscore(values, plans.flat.use_mask[channel] ? mask : std::vector<uint8_t>{});
  if (scheme == "CTNormalization") normalize_ct(values, plans.channels[channel]);
  if (scheme == "RescaleTo01Normalization") rescale_to_01(values);
  if (scheme == "RGBTo01Normalization") rgb_to_01(values, name);
}

Box transposed_box(const Box& box, const std::array<int64_t, 3>& forward) {
  return {transposed(box.begin, forward), transposed(box.end, forward)};
}

}  // namespace

std::vector<uint8_t> nonzero_mask(const CaseVoxels& voxels) {
  const auto [depth, height, width] = voxels.shape;
  constexpr uint8_t kSet = 1, kOutside = 2;
  std::vector<uint8_t> mask(static_cast<size_t>(depth * height * width));
  for (const std::vector<float>& channel : voxels.channels) {
    for (size_t i = 0; i < mask.size(); ++i) mask[i] = channel[i] != 0 ? kSet : mask[i];
  }
  std::vector<std::array<int64_t, 3>> front;
  const auto visit = [&](int64_t z, int64_t y, int64_t x) {
    if (z < 0 || y < 0 || x < 0 || z >= depth || y >= height || x >= width) return;
    uint8_t& voxel = mask[static_cast<size_t>((z * height + y) * width + x)];
    if (voxel != 0) return;
    voxel = kOutside;
    front.push_back({z, y, x});
  };
  const auto is_at_edge = [](int64_t i, int64_t size) { return i == 0 || i == size - 1; };
  for (int64_t z = 0; z < depth; ++z) {
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x) {
        if (is_at_edge(z, depth) || is_at_edge(y, height) || is_at_edge(x, width)) visit(z, y, x);
      }
    }
  }
  while (!front.empty()) {
    const auto [z, y, x] = front.back();
    front.pop_back();
    for (const int64_t step : {-1, 1}) {
      visit(z + step, y, x);
      visit(z, y + step, x);
      visit(z, y, x + step);
    }
  }
  for (uint8_t& voxel : mask) voxel = voxel == kOutside ? 0 : 1;
  return mask;
}

PreprocessedCase preprocess(const CaseVoxels& voxels, const Plans& plans) {
  if (voxels.channels.size() != plans.flat.normalization.size())
    throw Error(ExitCode::data, concat(voxels.name, ": has ", voxels.channels.size(), " channels, but its plan has ",
                                       plans.flat.normalization.size()));
  require_finite(voxels);
  const std::array<int64_t, 3>& forward = plans.transpose_forward;
  PreprocessedCase result;
  result.shape_before_crop = transposed(voxels.shape, forward);
  result.spacing = transposed(voxels.spacing, forward);
  result.box = transposed_box(nonzero_box(voxels), forward);
  for (size_t axis = 0; axis < 3; ++axis) result.shape_after_crop[axis] = result.box.end[axis] - result.box.begin[axis];

  const std::vector<uint8_t> mask = part_of(nonzero_mask(voxels), voxels.shape, forward, result.box);
  std::vector<int16_t> labels(mask.size());
  if (!voxels.labels.empty()) {
    const std::vector<uint8_t> part = part_of(voxels.labels, voxels.shape, forward, result.box);
    labels.assign(part.begin(), part.end());
  }
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] == 0 && mask[i] == 0) labels[i] = -1;
  }

  const std::array<double, 3> target{result.spacing[0], plans.flat.spacing[0], plans.flat.spacing[1]};
  result.shape = resampled_shape(result.shape_after_crop, result.spacing, target);
  if (std::find(result.shape.begin(), result.shape.end(), 0) != result.shape.end())
    throw Error(ExitCode::data, voxels.name + ": has an axis that the plan's spacing leaves less than half a voxel of",
                "see whether its spacing is right");
  std::vector<uint8_t> is_inside(labels.size());  // nnU-Net: where the label is not -1
  for (size_t i = 0; i < labels.size(); ++i) is_inside[i] = labels[i] >= 0 ? 1 : 0;
  const int axis = separate_axis(plans.flat.data, result.spacing, target);
  for (size_t channel = 0; channel < voxels.channels.size(); ++channel) {
    std::vector<float> values = part_of(voxels.channels[channel], voxels.shape, forward, result.box);
    normalize(values, is_inside, voxels.name, plans, channel);
    result.channels.push_back(resample_image(values, result.shape_after_crop, result.shape, plans.flat.data, axis));
  }
  result.labels = resample_labels(labels, result.shape_after_crop, result.shape, plans.flat.seg,
                                  separate_axis(plans.flat.seg, result.spacing, target));
  return result;
}

}  // namespace vmae::nnunet
