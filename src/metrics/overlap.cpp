#include "vmae/metrics/overlap.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "distance_transform.h"
#include "vmae/core/error.h"

namespace vmae::metrics {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// What one pass over the voxels gathers.
struct Census {
  std::array<int64_t, 256> predicted{}, truth{}, both{};
  std::array<Box, 256> predicted_box, truth_box;
};

// End of the run of equal pairs that begins at x. Most of a volume is background in both: eight voxels at once.
int64_t end_of_run(const uint8_t* p, const uint8_t* t, int64_t x, int64_t width) {
  const uint8_t p_value = p[x], t_value = t[x];
  constexpr uint64_t kEach = 0x0101010101010101U;
  while (x + 8 <= width) {
    uint64_t p_eight, t_eight;
    std::memcpy(&p_eight, p + x, 8);
    std::memcpy(&t_eight, t + x, 8);
    if (p_eight != kEach * p_value || t_eight != kEach * t_value) break;
    x += 8;
  }
  while (x < width && p[x] == p_value && t[x] == t_value) ++x;
  return x;
}

Census take_census(std::span<const uint8_t> prediction, std::span<const uint8_t> truth, const Grid& grid) {
  Census census;
  for (int64_t z = 0, row = 0; z < grid.size[2]; ++z) {
    for (int64_t y = 0; y < grid.size[1]; ++y, ++row) {
      const uint8_t* const p = prediction.data() + row * grid.size[0];
      const uint8_t* const t = truth.data() + row * grid.size[0];
      for (int64_t x = 0, end = 0; x < grid.size[0]; x = end) {
        end = end_of_run(p, t, x, grid.size[0]);
        census.predicted[p[x]] += end - x;
        census.truth[t[x]] += end - x;
        if (p[x] == t[x]) census.both[p[x]] += end - x;
        if (p[x] != 0) census.predicted_box[p[x]].add_run(x, end, y, z);
        if (t[x] != 0) census.truth_box[t[x]].add_run(x, end, y, z);
      }
    }
  }
  return census;
}

double ratio_or_nan(int64_t part, int64_t whole) {
  return whole == 0 ? kNaN : static_cast<double>(part) / static_cast<double>(whole);
}

void set_distances(ClassScores& scores, double value) {
  scores.hd95_mm = scores.hd95_max_directed_mm = scores.asd_mm = value;
}

// Corner to corner; an axis of length 1 does not count.
double diagonal_mm(const Grid& grid) {
  double sum = 0;
  for (size_t i = 0; i < 3; ++i) {
    const double mm = static_cast<double>(grid.size[i]) * grid.spacing_mm[i];
    if (grid.size[i] > 1) sum += mm * mm;
  }
  return std::sqrt(sum);
}

void score_absent(ClassScores& scores, EmptyRule rule) {
  double value = rule == EmptyRule::one ? 1 : 0;
  if (rule == EmptyRule::leave_out) value = kNaN;
  scores.dice = scores.iou = scores.sensitivity = scores.precision = scores.surface_dice = value;
  set_distances(scores, rule == EmptyRule::one ? 0 : kNaN);
}

}  // namespace

std::vector<ClassScores> score_segmentation(std::span<const uint8_t> prediction, std::span<const uint8_t> truth,
                                            const Grid& grid, int64_t num_classes, const SegmentationOptions& options) {
  const auto num_voxels = static_cast<size_t>(grid.num_voxels());
  if (prediction.size() != num_voxels || truth.size() != num_voxels)
    throw Error(ExitCode::internal, "score_segmentation: the label maps are not of the grid's size");
  if (num_classes > 255) throw Error(ExitCode::internal, concat("score_segmentation: ", num_classes, " classes"));
  const Census census = take_census(prediction, truth, grid);
  for (auto label = static_cast<size_t>(num_classes) + 1; label < 256; ++label) {
    if (census.predicted[label] + census.truth[label] > 0)
      throw Error(ExitCode::internal, concat("score_segmentation: label ", label, " of ", num_classes, " classes"));
  }
  const double voxel_ml = grid.spacing_mm[0] * grid.spacing_mm[1] * grid.spacing_mm[2] / 1000;
  std::vector<ClassScores> all;
  for (size_t label = 1; label <= static_cast<size_t>(num_classes); ++label) {
    const int64_t predicted = census.predicted[label], real = census.truth[label], both = census.both[label];
    ClassScores scores{.true_positives = both, .false_positives = predicted - both, .false_negatives = real - both};
    scores.dice = ratio_or_nan(2 * both, predicted + real);
    scores.iou = ratio_or_nan(both, predicted + real - both);
    scores.sensitivity = ratio_or_nan(both, real);
    scores.precision = ratio_or_nan(both, predicted);
    scores.truth_ml = static_cast<double>(real) * voxel_ml;
    scores.difference_ml = static_cast<double>(predicted - real) * voxel_ml;
    if (predicted == 0 && real == 0) {
      score_absent(scores, options.empty);
    } else if (predicted == 0 || real == 0) {
      set_distances(scores, options.is_missing_diagonal ? diagonal_mm(grid) : kNaN);
    } else if (options.has_distances) {
      const SurfaceDistances distances = surface_distances_in(
          prediction, census.predicted_box[label], truth, census.truth_box[label], static_cast<uint8_t>(label), grid);
      scores.hd95_mm = hd95_pooled(distances);
      scores.hd95_max_directed_mm = hd95_max_directed(distances);
      scores.asd_mm = average_surface_distance(distances);
      scores.surface_dice = surface_dice(distances, options.tolerance_mm);
    }
    if (!options.has_distances) {
      set_distances(scores, kNaN);
      scores.surface_dice = kNaN;
    }
    all.push_back(scores);
  }
  return all;
}

ClassScores score_union(std::span<const uint8_t> prediction, std::span<const uint8_t> truth, const Grid& grid,
                        std::span<const uint8_t> labels, const SegmentationOptions& options) {
  std::array<uint8_t, 256> is_in{};
  for (const uint8_t label : labels) is_in[label] = 1;
  const auto within = [&](std::span<const uint8_t> map) {
    std::vector<uint8_t> binary(map.size());
    std::transform(map.begin(), map.end(), binary.begin(), [&](uint8_t label) { return is_in[label]; });
    return binary;
  };
  return score_segmentation(within(prediction), within(truth), grid, 1, options)[0];
}

const std::vector<SegmentationMetric>& segmentation_metrics() {
  static const std::vector<SegmentationMetric> metrics{
      {"Dice", "Dice", "", &ClassScores::dice, true},
      {"IoU", "IoU", "", &ClassScores::iou, true},
      {"sensitivity", "Sensitivity", "", &ClassScores::sensitivity, true},
      {"precision", "Precision", "", &ClassScores::precision, true},
      {"HD95", "HD95", "mm", &ClassScores::hd95_mm, false},
      {"HD95_max_directed", "HD95, larger direction", "mm", &ClassScores::hd95_max_directed_mm, false},
      {"ASD", "ASD", "mm", &ClassScores::asd_mm, false},
      {"surface_Dice", "Surface Dice", "", &ClassScores::surface_dice, true},
      {"volume_difference", "Volume difference", "ml", &ClassScores::difference_ml, true}};
  return metrics;
}

}  // namespace vmae::metrics
