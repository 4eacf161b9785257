#pragma once
// From scores and labels to numbers with intervals and tests.
#include <cstdint>
#include <string>
#include <vector>

#include "vmae/metrics/result.h"

namespace vmae::metrics {

enum class LabelKind : uint8_t {
  binary,       // two classes, one score: that of the second class
  multi_class,  // one of several classes
  multi_label,  // findings, each there or not by itself
};

struct ClassificationStudy {
  LabelKind kind = LabelKind::binary;
  std::vector<std::string> models, cases;
  std::vector<std::string> patients;  // one per case, or empty
  // binary: the positive class alone; else all classes or findings
  std::vector<std::string> classes;
  std::string negative_class{};                          // binary
  std::vector<std::vector<std::vector<double>>> scores;  // [model][class][case], finite
  // [class][case]: 1, 0, or -1 where not known (multi_label only)
  std::vector<std::vector<int8_t>> labels;
};

struct ThresholdOptions {
  double value = 0.5;
  // the threshold with the largest sensitivity + specificity - 1, found on these very cases (optimistic), one per class
  bool is_youden = false;
};

// What a decision costs: how a model's scores become yes or no. Multi-class: the class with the largest score.
// [model][class]; empty for multi-class
std::vector<std::vector<double>> thresholds_of(const ClassificationStudy& study, const ThresholdOptions& options);
// Whether a model's scores can be probabilities: all in [0, 1], of multi-class
// with sum 1 (within 1e-3). Else Brier score and ECE are not defined.
bool are_probabilities(const ClassificationStudy& study, size_t model);

// Metrics: AUROC (binary: with DeLong's interval first; per class one against the rest; "macro", "micro";
// per finding and "mean"), AUPRC (average precision) likewise, sensitivity, specificity, F1 (per class and
// macro), accuracy, balanced accuracy, Brier score, ECE (10 bins of equal width; multi-class: of the top
// class). Bootstrap over cases or patients; for AUROC and AUPRC stratified by class (not for findings).
struct ClassificationResult {
  std::vector<Estimate> estimates;
  // options.pairs: AUROC (DeLong's test where binary and cases are independent; paired bootstrap), AUPRC, accuracy
  std::vector<Comparison> comparisons;
};
ClassificationResult evaluate(const ClassificationStudy& study, const ThresholdOptions& threshold,
                              const StatisticsOptions& options);

// [truth][prediction]; binary: negative class first. Not for findings.
std::vector<std::vector<int64_t>> confusion(const ClassificationStudy& study, size_t model,
                                            const std::vector<double>& thresholds);

}  // namespace vmae::metrics
