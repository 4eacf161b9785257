#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vmae/metrics/classification_study.h"

namespace vmae::metrics {

constexpr int64_t kNumCalibrationBins = 10;  // of equal width: [0, 0.1), ..., [0.9, 1]

// Cases whose probability (multi-class: the largest) lies in a bin.
struct CalibrationBin {
  // weighted; correct: of the class in question (multi-class: of the top class)
  double count = 0, confidence_sum = 0, correct_sum = 0;
};

// What a model decides, and how sure it is; made once, then measured for any weights of the cases, by any thread.
class Decisions {
 public:
  Decisions(const ClassificationStudy& study, size_t model, std::vector<double> thresholds);

  struct Name {
    std::string metric, class_name;
  };
  const std::vector<Name>& names() const { return names_; }
  void values(std::span<const uint32_t> weights, std::span<double> out) const;                 // one per name
  std::vector<CalibrationBin> calibration(size_t c, std::span<const uint32_t> weights) const;  // multi-class: c is 0

 private:
  // Cases of one bin, truth and decision (multi-class: classes; else 0 or 1): up to `end` in the column.
  struct Cell {
    size_t end, bin, truth, decision;
  };
  // The cases of a class (multi-class: of all) whose label is known, cell by cell.
  struct Column {
    std::vector<Cell> cells;
    std::vector<uint32_t> cases;
    std::vector<float> confidence;
    std::vector<double> squared_error;
  };
  struct Rates;
  struct Measured;
  Measured measure(const Column& column, std::span<const uint32_t> weights) const;

  LabelKind kind_;
  size_t num_classes_;
  bool has_probabilities_;
  std::vector<Column> columns_;
  std::vector<Name> names_;
};

}  // namespace vmae::metrics
