#pragma once
// What the figures of a classification study show.
#include <vector>

#include "vmae/metrics/classification_study.h"
#include "vmae/metrics/decisions.h"

namespace vmae::metrics {

struct BandPoint {
  double x = 0, y = 0, low = 0, high = 0;
};

// One model, one class against the rest. Empty where a class is
// absent. Bands: pointwise bootstrap intervals at 101 places.
struct Curves {
  double prevalence = 0;
  std::vector<BandPoint> roc_band, precision_recall_band;
};
Curves curves_of(const ClassificationStudy& study, size_t model, size_t c, const StatisticsOptions& options);

// A bin that holds cases: mean probability, share of cases that are so, and its bootstrap interval.
struct CalibrationPoint {
  int64_t n = 0;
  double confidence = 0, share = 0, low = 0, high = 0;
};
std::vector<CalibrationPoint> calibration_of(const ClassificationStudy& study, const Decisions& decisions, size_t c,
                                             const StatisticsOptions& options);

}  // namespace vmae::metrics
