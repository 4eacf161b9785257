#include "vmae/nnunet/fingerprint.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "vmae/core/error.h"
#include "vmae/nnunet/numpy.h"

namespace vmae::nnunet {
namespace {

constexpr uint32_t kSeed = 1234;

// Calls f(index of the voxel) for all voxels of a box, in their order.
template <class F>
void for_each_voxel(const std::array<int64_t, 3>& shape, const Box& box, const F& f) {
  for (int64_t z = box.begin[0]; z < box.end[0]; ++z) {
    for (int64_t y = box.begin[1]; y < box.end[1]; ++y) {
      const int64_t row = (z * shape[1] + y) * shape[2];
      for (int64_t x = box.begin[2]; x < box.end[2]; ++x) f(static_cast<size_t>(row + x));
    }
  }
}

void require_same_channels(const std::vector<CaseFacts>& cases) {
  const size_t num_channels = cases.front().samples.size();
  for (size_t i = 0; i < cases.size(); ++i) {
    if (cases[i].samples.size() != num_channels)
      throw Error(ExitCode::data,
                  concat("case 1 has ", num_channels, " channels, but case ", i + 1, " has ", cases[i].samples.size(),
                         " (cases with a mask, in the order of their names)"),
                  "all images of a dataset need the same channels: all in colour, or all grey");
  }
}

double num_voxels(const std::array<int64_t, 3>& shape) { return static_cast<double>(shape[0] * shape[1] * shape[2]); }

// Of percentiles that ascend: what lies before `first` is not above what lies behind, and `first` moves on.
template <class T>
double next_percentile(std::vector<float>& pool, size_t& first, double percent) {
  const double place = static_cast<double>(pool.size() - 1) * (percent / 100);
  const auto at = [&](size_t k) { return pool.begin() + static_cast<std::ptrdiff_t>(k); };
  const auto below = static_cast<size_t>(std::floor(place));
  std::nth_element(at(first), at(below), pool.end());
  first = below;
  const float value = pool[below];
  const float above = below + 1 < pool.size() ? *std::min_element(at(below + 1), pool.end()) : value;
  return interpolate<T>(value, above, place - static_cast<double>(below));
}

// T: float, or double where NumPy's pool is of doubles. Reorders the pool.
template <class T>
Intensities intensities_of(std::vector<float>& pool) {
  Intensities result;
  const size_t n = pool.size();
  const auto count = static_cast<double>(n);
  const T sum = pairwise_sum<T>([&](size_t i) { return static_cast<T>(pool[i]); }, 0, n);
  const T mean = static_cast<T>(static_cast<double>(sum) / count);
  const auto square_at = [&](size_t i) {
    const T difference = static_cast<T>(pool[i]) - mean;
    return difference * difference;
  };
  const T squares = pairwise_sum<T>(square_at, 0, n);
  result.mean = static_cast<double>(mean);
  result.std = static_cast<double>(std::sqrt(static_cast<T>(static_cast<double>(squares) / count)));
  const auto [least, most] = std::minmax_element(pool.begin(), pool.end());
  result.min = *least;
  result.max = *most;
  size_t first = 0;
  result.percentile_00_5 = next_percentile<T>(pool, first, 0.5);
  result.median = next_percentile<T>(pool, first, 50);
  result.percentile_99_5 = next_percentile<T>(pool, first, 99.5);
  return result;
}

}  // namespace

void require_finite(const CaseVoxels& voxels) {
  const auto is_finite = [](const std::vector<float>& channel) {
    return std::all_of(channel.begin(), channel.end(), [](float value) { return std::isfinite(value); });
  };
  if (std::all_of(voxels.channels.begin(), voxels.channels.end(), is_finite)) return;
  throw Error(ExitCode::data, voxels.name + ": holds NaN or infinite values",
              "replace them by a number that means background");
}

Box nonzero_box(const CaseVoxels& voxels) {
  const std::array<int64_t, 3>& shape = voxels.shape;
  Box box{shape, {}};
  int64_t voxel = 0;
  for (int64_t z = 0; z < shape[0]; ++z) {
    for (int64_t y = 0; y < shape[1]; ++y) {
      for (int64_t x = 0; x < shape[2]; ++x, ++voxel) {
        const auto is_set = [&](const std::vector<float>& channel) { return channel[static_cast<size_t>(voxel)] != 0; };
        if (std::none_of(voxels.channels.begin(), voxels.channels.end(), is_set)) continue;
        const std::array<int64_t, 3> place{z, y, x};
        for (size_t axis = 0; axis < 3; ++axis) {
          box.begin[axis] = std::min(box.begin[axis], place[axis]);
          box.end[axis] = std::max(box.end[axis], place[axis] + 1);
        }
      }
    }
  }
  return box.end[0] == 0 ? Box{{}, shape} : box;
}

// nnU-Net also fills holes of the mask of non-zero voxels, which changes neither the box nor what is foreground.
CaseFacts facts_of(const CaseVoxels& voxels, int64_t num_samples) {
  require_finite(voxels);
  const Box box = nonzero_box(voxels);
  CaseFacts facts;
  facts.spacing = voxels.spacing;
  for (size_t axis = 0; axis < 3; ++axis) facts.shape_after_crop[axis] = box.end[axis] - box.begin[axis];
  facts.relative_size_after_cropping = num_voxels(facts.shape_after_crop) / num_voxels(voxels.shape);
  for_each_voxel(voxels.shape, box, [&](size_t voxel) { facts.num_foreground += voxels.labels[voxel] > 0 ? 1 : 0; });
  facts.samples.resize(voxels.channels.size());
  if (facts.num_foreground == 0) return facts;
  RandomState random(kSeed);
  std::vector<float> values;
  values.reserve(static_cast<size_t>(facts.num_foreground));
  for (size_t channel = 0; channel < voxels.channels.size(); ++channel) {
    values.clear();
    for_each_voxel(voxels.shape, box, [&](size_t voxel) {
      if (voxels.labels[voxel] > 0) values.push_back(voxels.channels[channel][voxel]);
    });
    std::vector<float>& samples = facts.samples[channel];
    samples.reserve(static_cast<size_t>(num_samples));
    random.draw_indices(values.size(), static_cast<size_t>(num_samples),
                        [&](uint32_t index) { samples.push_back(values[index]); });
  }
  return facts;
}

Fingerprint fingerprint_of(std::vector<CaseFacts> cases) {
  require_same_channels(cases);
  Fingerprint fingerprint;
  std::vector<double> relative_sizes;
  bool have_all_foreground = true;
  for (const CaseFacts& one : cases) {
    fingerprint.spacings.push_back(one.spacing);
    fingerprint.shapes_after_crop.push_back(one.shape_after_crop);
    relative_sizes.push_back(one.relative_size_after_cropping);
    have_all_foreground &= one.num_foreground > 0;
  }
  fingerprint.median_relative_size_after_cropping = median(relative_sizes);
  const size_t num_channels = cases.front().samples.size();
  for (size_t channel = 0; channel < num_channels; ++channel) {
    std::vector<float> pool;
    size_t size = 0;
    for (const CaseFacts& one : cases) size += one.samples[channel].size();
    pool.reserve(size);
    for (CaseFacts& one : cases) {
      const std::vector<float> samples = std::exchange(one.samples[channel], {});
      pool.insert(pool.end(), samples.begin(), samples.end());
    }
    if (pool.empty())
      throw Error(ExitCode::data, "no mask holds any foreground: there is nothing to plan for",
                  "give the masks of the training cases");
    // in NumPy the empty list of a case without foreground turns all into doubles
    fingerprint.channels.push_back(have_all_foreground ? intensities_of<float>(pool) : intensities_of<double>(pool));
  }
  return fingerprint;
}

}  // namespace vmae::nnunet
