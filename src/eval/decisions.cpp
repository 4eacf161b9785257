// Order of the values: per class accuracy (findings), sensitivity, specificity, F1, balanced accuracy (findings), Brier, ECE; then what holds for the whole.
#include "vmae/eval/decisions.h"

#include <algorithm>
#include <cmath>

namespace vmae::eval {

namespace {

const double nan = std::nan("");
double ratio(double part, double whole) { return whole > 0 ? part / whole : nan; }

double mean(std::span<const double> values) {
  double sum = 0, count = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    count += 1;
  }
  return ratio(sum, count);
}

}  // namespace

struct Decisions::Rates {
  double tp = 0, fp = 0, fn = 0, tn = 0;
  double sensitivity() const { return ratio(tp, tp + fn); }
  double specificity() const { return ratio(tn, tn + fp); }
  double f1() const { return ratio(2 * tp, 2 * tp + fp + fn); }
  double accuracy() const { return ratio(tp + tn, tp + fp + fn + tn); }
};

Decisions::Decisions(const ClassificationStudy& study, size_t model, std::vector<double> thresholds)
    : kind_(study.kind),
      num_classes_(study.classes.size()),
      num_cases_(study.cases.size()),
      has_probabilities_(are_probabilities(study, model)),
      study_(study) {
  const auto& scores = study.scores[model];
  decided_.assign(num_classes_, std::vector<uint8_t>(num_cases_, 0));
  const bool is_exclusive = kind_ == LabelKind::multi_class;
  const size_t num_errors = is_exclusive ? 1 : num_classes_;
  squared_error_.assign(num_errors, std::vector<double>(num_cases_, 0.0));
  confidence_.assign(num_errors, std::vector<float>(num_cases_, 0.0F));
  correct_.assign(num_errors, std::vector<uint8_t>(num_cases_, 0));
  for (size_t i = 0; i < num_cases_; ++i) {
    size_t top = 0;
    for (size_t c = 0; c < num_classes_; ++c) {
      if (scores[c][i] > scores[top][i]) top = c;
      const double error = scores[c][i] - study.labels[c][i];
      squared_error_[is_exclusive ? 0 : c][i] += error * error;
      if (is_exclusive) continue;
      decided_[c][i] = scores[c][i] >= thresholds[c] ? 1 : 0;
      confidence_[c][i] = static_cast<float>(scores[c][i]);
      correct_[c][i] = study.labels[c][i] == 1 ? 1 : 0;
    }
    if (!is_exclusive) continue;
    decided_[top][i] = 1;
    confidence_[0][i] = static_cast<float>(scores[top][i]);
    correct_[0][i] = study.labels[top][i] == 1 ? 1 : 0;
  }
  for (const std::string& name : study.classes) {
    if (kind_ == LabelKind::multi_label) names_.push_back({"accuracy", name});
    for (const char* metric : {"sensitivity", "specificity", "F1"}) names_.push_back({metric, name});
    if (kind_ == LabelKind::multi_label) {
      for (const char* metric : {"balanced_accuracy", "Brier", "ECE"}) names_.push_back({metric, name});
    }
  }
  if (kind_ == LabelKind::multi_label) {
    for (const char* metric : {"accuracy", "sensitivity", "specificity", "F1", "balanced_accuracy", "Brier", "ECE"}) names_.push_back({metric, "mean"});
  } else {
    if (is_exclusive) {
      for (const char* metric : {"sensitivity", "specificity", "F1"}) names_.push_back({metric, "macro"});
    }
    for (const char* metric : {"accuracy", "balanced_accuracy", "Brier", "ECE"}) names_.push_back({metric, "all"});
  }
}

Decisions::Rates Decisions::rates_of(size_t c, std::span<const uint32_t> weights) const {
  uint64_t counts[2][2] = {};  // [truth][decision]
  for (size_t i = 0; i < num_cases_; ++i) {
    if (study_.labels[c][i] >= 0) counts[study_.labels[c][i]][decided_[c][i]] += weights[i];
  }
  return {static_cast<double>(counts[1][1]), static_cast<double>(counts[0][1]), static_cast<double>(counts[1][0]), static_cast<double>(counts[0][0])};
}

std::vector<CalibrationBin> Decisions::calibration(size_t c, std::span<const uint32_t> weights) const {
  std::vector<CalibrationBin> bins(num_calibration_bins);
  if (!has_probabilities_) return bins;
  for (size_t i = 0; i < num_cases_; ++i) {
    if (weights[i] == 0 || study_.labels[c][i] < 0) continue;
    const auto bin = std::min<size_t>(num_calibration_bins - 1, static_cast<size_t>(std::max(0.0F, confidence_[c][i] * num_calibration_bins)));
    bins[bin].count += weights[i];
    bins[bin].confidence_sum += weights[i] * static_cast<double>(confidence_[c][i]);
    bins[bin].correct_sum += weights[i] * static_cast<double>(correct_[c][i]);
  }
  return bins;
}

double Decisions::ece(size_t c, std::span<const uint32_t> weights) const {
  double gap = 0, count = 0;
  for (const CalibrationBin& bin : calibration(c, weights)) {
    gap += std::abs(bin.confidence_sum - bin.correct_sum);
    count += bin.count;
  }
  return ratio(gap, count);
}

void Decisions::values(std::span<const uint32_t> weights, std::span<double> out) const {
  size_t at = 0;
  std::vector<Rates> rates;
  std::vector<std::vector<double>> columns(7);  // of findings, for their means
  const auto brier = [&](size_t c) {
    if (!has_probabilities_) return nan;
    double sum = 0, count = 0;
    for (size_t i = 0; i < num_cases_; ++i) {
      if (study_.labels[c][i] < 0) continue;
      sum += weights[i] * squared_error_[c][i];
      count += weights[i];
    }
    return ratio(sum, count);
  };
  for (size_t c = 0; c < num_classes_; ++c) {
    rates.push_back(rates_of(c, weights));
    const Rates& rate = rates.back();
    const double balanced = (rate.sensitivity() + rate.specificity()) / 2;
    if (kind_ == LabelKind::multi_label) {
      const double all[] = {rate.accuracy(), rate.sensitivity(), rate.specificity(), rate.f1(), balanced, brier(c), ece(c, weights)};
      for (size_t k = 0; k < columns.size(); ++k) {
        columns[k].push_back(all[k]);
        out[at++] = all[k];
      }
    } else {
      const double all[] = {rate.sensitivity(), rate.specificity(), rate.f1()};
      for (size_t k = 0; k < 3; ++k) {
        columns[k].push_back(all[k]);
        out[at++] = all[k];
      }
    }
  }
  if (kind_ == LabelKind::multi_label) {
    for (const auto& column : columns) out[at++] = mean(column);
    return;
  }
  if (kind_ == LabelKind::multi_class) {
    for (size_t k = 0; k < 3; ++k) out[at++] = mean(columns[k]);
    double hits = 0, count = 0;
    for (const Rates& rate : rates) {
      hits += rate.tp;
      count += rate.tp + rate.fn;
    }
    out[at++] = ratio(hits, count);
    out[at++] = mean(columns[0]);
  } else {
    out[at++] = rates[0].accuracy();
    out[at++] = (rates[0].sensitivity() + rates[0].specificity()) / 2;
  }
  out[at++] = brier(0);
  out[at++] = ece(0, weights);
}

}  // namespace vmae::eval
