#pragma once
// From scores of cases to numbers with intervals and tests.
#include <string>
#include <vector>

#include "vmae/metrics/overlap.h"
#include "vmae/metrics/result.h"

namespace vmae::metrics {

struct SegmentationStudy {
  std::vector<std::string> models, classes;
  std::vector<std::string> cases;                             // or slices of cases
  std::vector<std::string> patients;                          // one per case, or empty: not known, each case by itself
  std::vector<std::vector<std::vector<ClassScores>>> scores;  // [model][case][class]
  // false: pictures; distances are in pixels, and there are no volumes
  bool has_millimetres = true;
};

// A metric of one case: of class c, or (c == number of classes)
// the mean over the classes that have a value; NaN if none has.
double value_of(const std::vector<ClassScores>& scores, const SegmentationMetric& metric, size_t c);

// Per model, metric and class, and "mean" over classes: the mean over cases that have a
// value; n, standard deviation and quartiles; bootstrap intervals over cases or patients.
std::vector<Estimate> estimate(const SegmentationStudy& study, const StatisticsOptions& options);

// Dice, HD95 and surface Dice, per class and mean: difference of means over the cases
// where both models have a value (the mean over classes is of those that both have in a
// case), with interval and bootstrap p; paired t-test and Wilcoxon signed-rank test, on
// the means of patients where a patient has several cases. p-values are corrected by Holm.
std::vector<Comparison> compare(const SegmentationStudy& study, const StatisticsOptions& options);

}  // namespace vmae::metrics
