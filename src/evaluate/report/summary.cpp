// summary.json and cases.csv. docs/eval.md has their entries; `schema` changes with them.
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "output.h"
#include "vmae/core/json_text.h"
#include "vmae/core/text.h"
#include "vmae/core/version.h"

namespace vmae::run {

namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json to_json(const std::vector<stats::Interval>& intervals) {
  Json json = Json::array();
  for (const stats::Interval& interval : intervals) {
    Json one{{"method", interval.method}, {"low", number(interval.low)}, {"high", number(interval.high)}};
    if (interval.num_resamples > 0) one["resamples"] = interval.num_resamples;
    if (!interval.remark.empty()) one["remark"] = interval.remark;
    json.push_back(std::move(one));
  }
  return json;
}

Json to_json(const metrics::Estimate& estimate, const Evaluation& evaluation) {
  Json json{{"metric", estimate.metric},
            {"class", estimate.class_name},
            {"value", number(estimate.value)},
            {"n", estimate.n},
            {"left_out", estimate.num_left_out}};
  if (estimate.num_positive >= 0) json["positive"] = estimate.num_positive;
  if (evaluation.segmentation != nullptr) {
    for (const metrics::SegmentationMetric& metric : metrics::segmentation_metrics()) {
      if (metric.name == estimate.metric && !metric.unit.empty()) json["unit"] = evaluation.unit_of(metric);
    }
  }
  json["intervals"] = to_json(estimate.intervals);
  for (const auto& [name, value] : estimate.more) json[name] = number(value);
  if (!estimate.remark.empty()) json["remark"] = estimate.remark;
  return json;
}

Json to_json(const metrics::Comparison& comparison, const Evaluation& evaluation) {
  Json json{{"a", evaluation.models[comparison.a].name},
            {"b", evaluation.models[comparison.b].name},
            {"metric", comparison.metric},
            {"class", comparison.class_name},
            {"difference", number(comparison.difference)},
            {"n", comparison.n},
            {"intervals", to_json(comparison.intervals)},
            {"tests", Json::array()}};
  for (const metrics::Test& test : comparison.tests) {
    Json one{{"method", test.method}, {"n", test.n}, {"p", number(test.p)}, {"p_holm", number(test.p_holm)}};
    if (is_few(test)) one["few_cases"] = true;
    if (std::isfinite(test.statistic)) one["statistic"] = test.statistic;
    if (!test.remark.empty()) one["remark"] = test.remark;
    json["tests"].push_back(std::move(one));
  }
  return json;
}

const char* name_of(metrics::EmptyRule rule) {
  if (rule == metrics::EmptyRule::leave_out) return "leave-out";
  return rule == metrics::EmptyRule::one ? "one" : "zero";
}

Json options_of(const Evaluation& evaluation) {
  const EvalArguments& arguments = evaluation.arguments;
  const metrics::StatisticsOptions& statistics = arguments.statistics;
  Json json{{"resamples", statistics.resamples},
            {"seed", statistics.seed},
            {"level", statistics.level},
            {"interval", statistics.interval}};
  if (evaluation.segmentation != nullptr) {
    json["unit"] = arguments.per_slice ? "slice" : "case";
    json["empty"] = name_of(arguments.segmentation.empty);
    json["missing_distance"] = arguments.segmentation.is_missing_diagonal ? "diagonal" : "leave-out";
    json["surface_tolerance_mm"] = arguments.segmentation.tolerance_mm;
    json["ignore_label"] = evaluation.ignore_label;
  } else {
    if (evaluation.classification->kind != metrics::LabelKind::multi_class)
      json["threshold"] = arguments.threshold.is_youden ? Json("youden") : Json(arguments.threshold.value);
  }
  return json;
}

const char* name_of(metrics::LabelKind kind) {
  if (kind == metrics::LabelKind::binary) return "binary";
  return kind == metrics::LabelKind::multi_class ? "multi-class" : "multi-label";
}

// What the figures of confusion and calibration show.
void add_tables(const Evaluation& evaluation, size_t m, Json& json) {
  const metrics::ClassificationStudy& study = *evaluation.classification;
  if (study.kind != metrics::LabelKind::multi_label) {
    std::vector<std::string> classes = study.classes;
    if (study.kind == metrics::LabelKind::binary) classes.insert(classes.begin(), study.negative_class);
    json["confusion"] = {{"classes", classes}, {"counts", metrics::confusion(study, m, evaluation.thresholds[m])}};
  }
  json["calibration"] = Json::array();
  for (size_t c = 0; c < evaluation.calibration[m].size(); ++c) {
    Json bins = Json::array();
    for (const metrics::CalibrationPoint& point : evaluation.calibration[m][c])
      bins.push_back({{"n", point.n},
                      {"confidence", number(point.confidence)},
                      {"share", number(point.share)},
                      {"low", number(point.low)},
                      {"high", number(point.high)}});
    json["calibration"].push_back({{"class", study.kind == metrics::LabelKind::multi_class ? "all" : study.classes[c]},
                                   {"bins", std::move(bins)}});
  }
}

// Patients by number: their names are not ours to print.
std::vector<size_t> patient_numbers(const std::vector<std::string>& patients) {
  std::map<std::string, size_t> numbers;
  std::vector<size_t> of_case;
  for (const std::string& patient : patients)
    of_case.push_back(numbers.emplace(patient, numbers.size() + 1).first->second);
  return of_case;
}

std::string text(double value) { return std::isfinite(value) ? number_text(value) : ""; }

}  // namespace

std::string summary_json(const Evaluation& evaluation) {
  const bool is_segmentation = evaluation.segmentation != nullptr;
  Json json{{"schema", 1},
            {"vmae_version", version()},
            {"git_revision", git_revision()},
            {"task", is_segmentation ? "segmentation" : "classification"},
            {"headline", headline(evaluation)}};
  if (!is_segmentation) json["kind"] = name_of(evaluation.classification->kind);
  json["classes"] = is_segmentation ? evaluation.segmentation->study.classes : evaluation.classification->classes;
  json["cases"] = evaluation.num_cases();
  json["patients"] = evaluation.has_patients() ? Json(*evaluation.patients.number()) : Json(nullptr);
  json["left_out"] = evaluation.left_out;
  json["remarks"] = evaluation.remarks;
  json["options"] = options_of(evaluation);
  json["timing"] = {{"read_and_score_s", evaluation.read_and_score_s}, {"statistics_s", evaluation.statistics_s}};
  json["models"] = Json::array();
  for (size_t m = 0; m < evaluation.models.size(); ++m) {
    const EvalModel& model = evaluation.models[m];
    Json one{{"name", model.name}, {"predictions", model.predictions.string()}};
    if (model.label_fraction >= 0) one["label_fraction"] = model.label_fraction;
    if (!model.run.empty()) one["trained_from"] = model.trained_from;
    if (!is_segmentation && !evaluation.thresholds[m].empty()) one["thresholds"] = evaluation.thresholds[m];
    if (!is_segmentation) add_tables(evaluation, m, one);
    one["estimates"] = Json::array();
    for (const metrics::Estimate& estimate : evaluation.estimates) {
      if (estimate.model == m) one["estimates"].push_back(to_json(estimate, evaluation));
    }
    json["models"].push_back(std::move(one));
  }
  json["comparisons"] = Json::array();
  for (const metrics::Comparison& comparison : evaluation.comparisons)
    json["comparisons"].push_back(to_json(comparison, evaluation));
  return json_text(json, 1) + "\n";
}

std::string cases_csv(const Evaluation& evaluation) {
  std::string csv;
  if (evaluation.segmentation != nullptr) {
    const metrics::SegmentationStudy& study = evaluation.segmentation->study;
    const std::vector<size_t> patients = patient_numbers(study.patients);
    std::vector<std::string> head{"case", "patient", "model", "class"};
    for (const auto& metric : metrics::segmentation_metrics()) head.push_back(metric.name);
    head.insert(head.end(), {"truth_ml", "true_positives", "false_positives", "false_negatives"});
    csv = report::csv_line(head);
    for (size_t i = 0; i < study.cases.size(); ++i) {
      for (size_t m = 0; m < study.models.size(); ++m) {
        for (size_t c = 0; c < study.classes.size(); ++c) {
          const metrics::ClassScores& scores = study.scores[m][i][c];
          std::vector<std::string> row{study.cases[i], evaluation.has_patients() ? std::to_string(patients[i]) : "",
                                       study.models[m], study.classes[c]};
          for (const auto& metric : metrics::segmentation_metrics()) row.push_back(text(scores.*metric.value));
          for (const std::string& value :
               {text(scores.truth_ml), std::to_string(scores.true_positives), std::to_string(scores.false_positives),
                std::to_string(scores.false_negatives)})
            row.push_back(value);
          csv += report::csv_line(row);
        }
      }
    }
    return csv;
  }
  const metrics::ClassificationStudy& study = *evaluation.classification;
  const std::vector<size_t> patients = patient_numbers(study.patients);
  std::vector<std::string> head{"case", "patient"};
  for (const std::string& name : study.classes) head.push_back("label " + name);
  for (const std::string& model : study.models) {
    for (const std::string& name : study.classes) head.push_back(concat(model, " ", name));
  }
  csv = report::csv_line(head);
  for (size_t i = 0; i < study.cases.size(); ++i) {
    std::vector<std::string> row{study.cases[i], patients.empty() ? "" : std::to_string(patients[i])};
    for (const auto& labels : study.labels) row.push_back(labels[i] < 0 ? "" : std::to_string(labels[i]));
    for (const auto& of_model : study.scores) {
      for (const auto& of_class : of_model) row.push_back(text(of_class[i]));
    }
    csv += report::csv_line(row);
  }
  return csv;
}

}  // namespace vmae::run
