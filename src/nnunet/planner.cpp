#include "vmae/nnunet/planner.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "transposed.h"
#include "vmae/core/error.h"
#include "vmae/nnunet/numpy.h"

namespace vmae::nnunet {
namespace {

constexpr double kAnisotropy = 3;         // a coarse axis: spacing over so many times the others', size under as many
constexpr double kCoarsePercentile = 10;  // of its spacings
constexpr double kLargestArea = 2048.0 * 2048.0;
constexpr int64_t kSmallestEdge = 4;  // of a feature map
constexpr int64_t kBaseFeatures = 32, kMostFeatures = 512, kConvsPerStage = 2;
constexpr double kReferenceSize = 85e6;  // feature maps that fit kReferenceMemory_gb at kReferenceBatch
constexpr double kReferenceMemory_gb = 8, kReferenceBatch = 12;
constexpr int64_t kSmallestBatch = 2;
constexpr double kMostOfDataset = 0.05;   // of its pixels, in one batch
constexpr double kMostVoxels = 1 << 24;   // along an axis
constexpr double kMaskBelow = 3.0 / 4.0;  // median size after the crop

template <class T>
std::vector<double> column(const std::vector<std::array<T, 3>>& rows, size_t axis) {
  std::vector<double> values;
  for (const auto& row : rows) values.push_back(static_cast<double>(row[axis]));
  return values;
}

std::array<double, 3> target_spacing(const Fingerprint& fingerprint) {
  std::array<double, 3> target{}, size{};
  for (size_t axis = 0; axis < 3; ++axis) {
    target[axis] = percentile(column(fingerprint.spacings, axis), 50);
    size[axis] = percentile(column(fingerprint.shapes_after_crop, axis), 50);
  }
  const auto worst = static_cast<size_t>(std::max_element(target.begin(), target.end()) - target.begin());
  const size_t a = worst == 0 ? 1 : 0, b = worst == 2 ? 1 : 2;
  const double coarsest_other = std::max(target[a], target[b]);
  const bool is_coarse = target[worst] > kAnisotropy * coarsest_other;
  const bool has_few = size[worst] * kAnisotropy < std::min(size[a], size[b]);
  if (is_coarse && has_few) {
    target[worst] = percentile(column(fingerprint.spacings, worst), kCoarsePercentile);
    if (target[worst] < coarsest_other) target[worst] = coarsest_other + 1e-5;
  }
  return target;
}

// The coarsest axis comes first, so that the other two are the slice's.
std::array<int64_t, 3> transposition(const std::array<double, 3>& spacing) {
  const auto coarsest = std::max_element(spacing.begin(), spacing.end()) - spacing.begin();
  std::array<int64_t, 3> forward{coarsest, 0, 0};
  size_t next = 1;
  for (int64_t axis = 0; axis < 3; ++axis) {
    if (axis != coarsest) forward[next++] = axis;
  }
  return forward;
}

std::array<int64_t, 3> inverse(const std::array<int64_t, 3>& order) {
  std::array<int64_t, 3> backward{};
  for (size_t i = 0; i < 3; ++i) backward[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  return backward;
}

// Of all cases at the target spacing.
std::array<double, 3> median_resampled_shape(const Fingerprint& fingerprint, const std::array<double, 3>& target) {
  std::array<double, 3> shape{};
  for (size_t axis = 0; axis < 3; ++axis) {
    std::vector<double> sizes;
    for (size_t i = 0; i < fingerprint.spacings.size(); ++i) {
      const auto size = static_cast<double>(fingerprint.shapes_after_crop[i][axis]);
      sizes.push_back(static_cast<double>(round_half_even(fingerprint.spacings[i][axis] / target[axis] * size)));
    }
    shape[axis] = median(sizes);
  }
  return shape;
}

struct Topology {
  std::array<int64_t, 2> patch_size{}, divisible_by{1, 1};
  NetworkPlan network;
};

using Axes = std::array<bool, 2>;

// Which axes are halved next: those long enough whose spacing is within a factor 2 of the smallest of these; an axis
// alone needs three times the smallest edge. None: the network ends here.
Axes axes_to_pool(const std::array<double, 2>& spacing, const std::array<double, 2>& size) {
  Axes is_long{}, pooled{};
  double smallest = HUGE_VAL;
  for (size_t axis = 0; axis < 2; ++axis) {
    is_long[axis] = size[axis] >= 2 * kSmallestEdge;
    if (is_long[axis]) smallest = std::min(smallest, spacing[axis]);
  }
  for (size_t axis = 0; axis < 2; ++axis) pooled[axis] = is_long[axis] && spacing[axis] / smallest < 2;
  if (pooled[0] != pooled[1] && size[pooled[0] ? 0 : 1] < 3 * kSmallestEdge) return {};
  return pooled;
}

// size: at least that of the patch, which becomes a multiple of what it is halved by; may lie between two voxels.
Topology topology_of(const std::array<double, 2>& spacing, const std::array<double, 2>& size) {
  Topology topology;
  NetworkPlan& network = topology.network;
  std::array<double, 2> now_spacing = spacing, now_size = size;
  std::array<int64_t, 2> kernel{1, 1};
  network.strides.push_back({1, 1});
  for (Axes pooled = axes_to_pool(now_spacing, now_size); pooled[0] || pooled[1];
       pooled = axes_to_pool(now_spacing, now_size)) {
    const double finest = std::min(now_spacing[0], now_spacing[1]);
    std::array<int64_t, 2> stride{1, 1};
    for (size_t axis = 0; axis < 2; ++axis) {
      if (now_spacing[axis] / finest < 2) kernel[axis] = 3;
      if (!pooled[axis]) continue;
      stride[axis] = 2;
      topology.divisible_by[axis] *= 2;
    }
    for (size_t axis = 0; axis < 2; ++axis) {
      if (!pooled[axis]) continue;
      now_spacing[axis] *= 2;
      now_size[axis] = std::ceil(now_size[axis] / 2);
    }
    network.strides.push_back(stride);
    network.kernels.push_back(kernel);
  }
  network.kernels.push_back({3, 3});
  const size_t stages = network.strides.size();
  for (size_t stage = 0; stage < stages; ++stage)
    network.features.push_back(std::min(kMostFeatures, kBaseFeatures << std::min<size_t>(stage, 30)));
  network.convs_encoder.assign(stages, kConvsPerStage);
  network.convs_decoder.assign(stages - 1, kConvsPerStage);
  for (size_t axis = 0; axis < 2; ++axis) {
    const auto multiple = static_cast<double>(topology.divisible_by[axis]);
    topology.patch_size[axis] = static_cast<int64_t>(std::ceil(size[axis] / multiple)) * topology.divisible_by[axis];
  }
  return topology;
}

std::array<double, 2> as_sizes(const std::array<int64_t, 2>& size) {
  return {static_cast<double>(size[0]), static_cast<double>(size[1])};
}

// The largest patch of the pixels' aspect, no larger than most images.
std::array<double, 2> first_patch(const std::array<double, 2>& spacing, const std::array<double, 2>& median_size) {
  const std::array<double, 2> per_mm{1 / spacing[0], 1 / spacing[1]};
  const double scale = std::pow(kLargestArea / (per_mm[0] * per_mm[1]), 0.5);
  std::array<double, 2> patch{};
  for (size_t axis = 0; axis < 2; ++axis)
    patch[axis] = std::min(static_cast<double>(round_half_even(per_mm[axis] * scale)), median_size[axis]);
  return patch;
}

// A patch that is smaller by one step along the axis that is longest against the median size. The step is what the
// patch must be divisible by once it is shorter.
Topology smaller(const Topology& topology, const std::array<double, 2>& spacing,
                 const std::array<double, 2>& median_size) {
  const std::array<double, 2> size = as_sizes(topology.patch_size);
  const size_t axis = size[1] / median_size[1] >= size[0] / median_size[0] ? 1 : 0;
  std::array<double, 2> shorter = size, next = size;
  shorter[axis] -= static_cast<double>(topology.divisible_by[axis]);
  next[axis] -= static_cast<double>(topology_of(spacing, shorter).divisible_by[axis]);
  return topology_of(spacing, next);
}

const std::map<std::string, std::string>& schemes_by_name() {
  static const std::map<std::string, std::string> schemes{{"ct", "CTNormalization"},
                                                          {"nonorm", "NoNormalization"},
                                                          {"zscore", "ZScoreNormalization"},
                                                          {"rescale_to_0_1", "RescaleTo01Normalization"},
                                                          {"rgb_to_0_1", "RGBTo01Normalization"}};
  return schemes;
}

void plan_normalization(const DatasetFacts& dataset, const Fingerprint& fingerprint, Configuration& configuration) {
  for (const std::string& name : dataset.channel_names) {
    const std::string scheme = normalization_of(name);
    configuration.normalization.push_back(scheme);
    configuration.use_mask.push_back(scheme == "ZScoreNormalization" &&
                                     fingerprint.median_relative_size_after_cropping < kMaskBelow);
  }
}

// Patch and network that fit the memory, and how many of them make a batch.
void plan_patch(int64_t num_labels, double num_voxels, const PlannerOptions& options, Configuration& configuration) {
  const std::array<double, 2>&spacing = configuration.spacing, &median_size = configuration.median_size;
  const double reference = kReferenceSize * (options.gpu_memory_gb / kReferenceMemory_gb);
  Topology topology = topology_of(spacing, first_patch(spacing, median_size));
  const auto estimate = [&] {
    return static_cast<double>(feature_map_size(topology.network, topology.patch_size, num_labels));
  };
  while (estimate() / kReferenceBatch * kSmallestBatch > reference) topology = smaller(topology, spacing, median_size);
  if (topology.network.strides.size() < 2) {
    throw Error(ExitCode::data,
                concat("nnU-Net would plan a network of one stage for slices of ", number_text(median_size[0]), " x ",
                       number_text(median_size[1]), " pixels of ", number_text(spacing[0]), " x ",
                       number_text(spacing[1]), ", and such a network gives no output"),
                "it halves an axis of at least 8 pixels whose spacing is within a factor 2 of the other's, and of one "
                "axis alone 12: see whether the spacing in the files is right, or resample them");
  }
  const auto [height, width] = as_sizes(topology.patch_size);
  const int64_t by_memory = round_half_even(reference / estimate() * kReferenceBatch);
  const int64_t by_dataset = round_half_even(num_voxels * kMostOfDataset / (height * width));
  configuration.batch_size = std::max(std::min(by_memory, by_dataset), kSmallestBatch);
  configuration.patch_size = topology.patch_size;
  configuration.network = std::move(topology.network);
}

}  // namespace

std::string normalization_of(const std::string& channel_name) {
  const auto found = schemes_by_name().find(to_lower(channel_name));
  return found == schemes_by_name().end() ? "ZScoreNormalization" : found->second;
}

bool names_a_normalization(const std::string& channel_name) {
  return schemes_by_name().contains(to_lower(channel_name));
}

std::string channel_name_for(const std::string& normalization, const std::string& name) {
  if (normalization_of(name) == normalization) return name;
  for (const auto& [known, scheme] : schemes_by_name()) {
    if (scheme == normalization) return known;
  }
  return name;
}

int64_t feature_map_size(const NetworkPlan& network, const std::array<int64_t, 2>& patch_size, int64_t num_labels) {
  std::array<int64_t, 2> size = patch_size;
  int64_t total = num_labels * size[0] * size[1];
  for (size_t stage = 0; stage < network.strides.size(); ++stage) {
    for (size_t axis = 0; axis < 2; ++axis) size[axis] /= network.strides[stage][axis];
    const int64_t map = network.features[stage] * size[0] * size[1];
    total += network.convs_encoder[stage] * map;
    if (stage < network.convs_decoder.size())  // stages of the decoder, with what comes up from below
      total += (network.convs_decoder[stage] + 1) * map;
  }
  return total;
}

Plans plan(const DatasetFacts& dataset, const Fingerprint& fingerprint, const PlannerOptions& options) {
  if (dataset.channel_names.size() != fingerprint.channels.size())
    throw Error(ExitCode::data, concat("the dataset names ", dataset.channel_names.size(),
                                       " channels, but its images have ", fingerprint.channels.size()));
  Plans plans;
  plans.dataset_name = dataset.name;
  plans.plans_name = options.plans_name;
  plans.reader_writer = dataset.reader_writer;
  plans.channels = fingerprint.channels;
  const std::array<double, 3> target = target_spacing(fingerprint);
  plans.transpose_forward = transposition(target);
  plans.transpose_backward = inverse(plans.transpose_forward);
  std::array<double, 3> median_spacing{}, median_shape{};
  for (size_t axis = 0; axis < 3; ++axis) {
    median_spacing[axis] = median(column(fingerprint.spacings, axis));
    median_shape[axis] = median(column(fingerprint.shapes_after_crop, axis));
  }
  plans.median_spacing = transposed(median_spacing, plans.transpose_forward);
  median_shape = transposed(median_shape, plans.transpose_forward);
  for (size_t axis = 0; axis < 3; ++axis) plans.median_shape[axis] = round_half_even(median_shape[axis]);

  const std::array<double, 3> spacing = transposed(target, plans.transpose_forward);
  const std::array<double, 3> shape = transposed(median_resampled_shape(fingerprint, target), plans.transpose_forward);
  if (*std::max_element(shape.begin(), shape.end()) > kMostVoxels)
    throw Error(ExitCode::data,
                concat("at the planned spacing of ", spacing[0], " x ", spacing[1], " x ", spacing[2],
                       " mm the median case would have ", shape[0], " x ", shape[1], " x ", shape[2], " voxels"),
                "see whether the spacings in the files are right");
  plans.flat.data_identifier = options.plans_name + "_2d";
  plans.flat.spacing = {spacing[1], spacing[2]};
  plans.flat.median_size = {shape[1], shape[2]};
  const double num_voxels = shape[0] * shape[1] * shape[2] * static_cast<double>(dataset.num_training);
  plan_patch(dataset.num_labels, num_voxels, options, plans.flat);
  plan_normalization(dataset, fingerprint, plans.flat);
  return plans;
}

}  // namespace vmae::nnunet
