#pragma once
// What a segmentation is worth, per class: one case, or one slice of it.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vmae/metrics/surface.h"

namespace vmae::metrics {

// A class that is in neither mask (in "both empty" cases every overlap metric is
// 0/0): left out as NaN and counted, or 1 (distances 0), or 0 (distances NaN).
enum class EmptyRule : uint8_t { leave_out, one, zero };

struct SegmentationOptions {
  EmptyRule empty = EmptyRule::leave_out;
  double tolerance_mm = 1.0;  // of the surface Dice
  bool has_distances = true;  // false: HD95, ASD and surface Dice are not computed (NaN)
  // class in one mask only: distances NaN (left out and counted), or the grid's diagonal in mm
  bool is_missing_diagonal = false;
};

// One class. Both there: the usual. One of the two empty: Dice, IoU and surface Dice 0; sensitivity NaN
// without truth, precision NaN without prediction (else 0); distances by the option. Both empty: by EmptyRule.
struct ClassScores {
  int64_t true_positives = 0, false_positives = 0, false_negatives = 0;  // voxels
  double dice = 0, iou = 0, sensitivity = 0, precision = 0;
  double hd95_mm = 0, hd95_max_directed_mm = 0, asd_mm = 0, surface_dice = 0;
  double truth_ml = 0, difference_ml = 0;  // the latter: prediction - truth; NaN nowhere
};

// prediction, truth: on `grid`. Scores of classes 1 to num_classes (at most 255). The diagonal is
// that of the grid's corners; an axis of length 1 does not count. One thread; memory as in surface.h.
// Throws Error(internal) for a label above num_classes or a map that is not of the grid's size.
std::vector<ClassScores> score_segmentation(std::span<const uint8_t> prediction, std::span<const uint8_t> truth,
                                            const Grid& grid, int64_t num_classes, const SegmentationOptions& options);

// The same of a union of labels (nnU-Net's regions): a voxel is of it that has any of them.
ClassScores score_union(std::span<const uint8_t> prediction, std::span<const uint8_t> truth, const Grid& grid,
                        std::span<const uint8_t> labels, const SegmentationOptions& options);

// The metrics of ClassScores (not truth_ml, which no prediction changes), in the order of
// tables; each with its name as it stands in files ("Dice", "HD95"), and as a reader sees it.
struct SegmentationMetric {
  std::string name, title, unit;  // unit: "", "mm", "ml"
  double ClassScores::*value;
  bool higher_is_better;  // meaningless for difference_ml
};
const std::vector<SegmentationMetric>& segmentation_metrics();

}  // namespace vmae::metrics
