#pragma once
// What `vmae eval` leaves: tables, figures, summary.json, report.html.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "../input.h"
#include "vmae/metrics/curves.h"
#include "vmae/report/page.h"
#include "vmae/sources/patients.h"

namespace vmae::run {

// All that was found out, ready to be written.
struct Evaluation {
  const EvalArguments& arguments;
  const std::vector<EvalModel>& models;
  std::vector<metrics::Estimate> estimates;
  std::vector<metrics::Comparison> comparisons;
  const SegmentationInput* segmentation = nullptr;  // one of the two
  const metrics::ClassificationStudy* classification = nullptr;
  std::vector<std::vector<double>> thresholds{};  // [model][class], of classification
  // [model][finding, or 0], of classification
  std::vector<std::vector<std::vector<metrics::CalibrationPoint>>> calibration{};
  std::map<std::string, TruthCase> images{};  // by case, of classification
  std::vector<std::string> left_out{};
  std::vector<std::string> remarks{};  // what a reader must know of how it was measured
  io::PatientCount patients{};         // of the cases that are measured
  int64_t ignore_label = -1;
  double read_and_score_s = 0, statistics_s = 0;

  // "mm", "ml"; of pictures "pixel", and no volumes.
  std::string unit_of(const metrics::SegmentationMetric& metric) const {
    return metric.unit == "mm" && !segmentation->study.has_millimetres ? "pixel" : metric.unit;
  }
  size_t num_cases() const {
    return segmentation != nullptr ? segmentation->study.cases.size() : classification->cases.size();
  }
  bool has_patients() const { return patients.number().has_value(); }
  size_t num_patients() const;  // what is resampled: patients, and cases of which it is not known whose they are
  // A row over all classes: "mean", "macro" or "all", or that of the only class.
  bool is_main(const std::string& class_name) const;
  // class_name empty: the main row; null: none
  const metrics::Estimate* find(size_t model, const std::string& metric, const std::string& class_name) const;
};

// Whether a p-value is computed from so few cases, or patients, that it says little.
inline bool is_few(const metrics::Test& test) { return test.n < metrics::kFewCases; }

// A line that says the most important: "Dice 0.503 (0.458-0.546) pretrained,
// 0.285 (0.240-0.330) scratch; difference 0.217 (...), p < 0.001; 52 cases".
std::string headline(const Evaluation& evaluation);

report::Table result_table(const Evaluation& evaluation);      // the main metrics over all classes, a row per model
report::Table class_table(const Evaluation& evaluation);       // a row per class and model
report::Table comparison_table(const Evaluation& evaluation);  // a row per comparison over all classes
report::Table class_comparison_table(const Evaluation& evaluation);
std::vector<report::Figure> figures_of(const Evaluation& evaluation);
// where several fractions of the labels are compared
std::optional<report::Figure> efficiency_figure(const Evaluation& evaluation);

// Best, median and worst case of all models by mean Dice, and
// the one where they differ most: image, truth, predictions.
report::Section case_section(const Evaluation& evaluation);

// Images of the cases of a classification: --images, else the truth's, else those of a run's data. Throws Error(data)
// where --images has none.
std::map<std::string, TruthCase> images_of_cases(const EvalArguments& arguments, const std::vector<EvalModel>& models,
                                                 const std::optional<Truth>& truth,
                                                 const std::vector<std::string>& cases);
// Of those that have an image: of each class one that is right and one that is wrong with the most confidence.
report::Section example_section(const Evaluation& evaluation);

std::string summary_json(const Evaluation& evaluation);
std::string cases_csv(const Evaluation& evaluation);
report::Page report_page(const Evaluation& evaluation, const std::vector<report::Figure>& figures);

// What the runs' data cards say, for the report: a section for each, or one for all models whose cards say the same.
std::vector<report::Section> data_sections(const std::vector<EvalModel>& models);

}  // namespace vmae::run
