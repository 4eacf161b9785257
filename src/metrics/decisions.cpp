// Order of the values: per class accuracy (findings), sensitivity, specificity, F1, balanced accuracy
// (findings), Brier, ECE; then what holds for the whole. Every metric is a function of three sums
// over each cell: of weights, confidences and squared errors. One pass over the cases finds them.
#include "vmae/metrics/decisions.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

namespace vmae::metrics {

namespace {

double ratio(double part, double whole) { return whole > 0 ? part / whole : std::nan(""); }

// out: a row of metrics for each class, and behind them the mean of each over the classes that have a value.
void put_means(std::span<double> out, size_t kNumMetrics, size_t num_classes) {
  for (size_t k = 0; k < kNumMetrics; ++k) {
    double sum = 0, count = 0;
    for (size_t c = 0; c < num_classes; ++c) {
      const double value = out[c * kNumMetrics + k];
      if (std::isnan(value)) continue;
      sum += value;
      count += 1;
    }
    out[num_classes * kNumMetrics + k] = ratio(sum, count);
  }
}

}  // namespace

struct Decisions::Rates {
  double tp = 0, fp = 0, fn = 0, tn = 0;
  double sensitivity() const { return ratio(tp, tp + fn); }
  double specificity() const { return ratio(tn, tn + fp); }
  double balanced_accuracy() const { return (sensitivity() + specificity()) / 2; }
  double f1() const { return ratio(2 * tp, 2 * tp + fp + fn); }
  double accuracy() const { return ratio(tp + tn, tp + fp + fn + tn); }
};

struct Decisions::Measured {
  std::vector<Rates> rates;  // of each class (multi-class), or one
  std::vector<CalibrationBin> bins = std::vector<CalibrationBin>(kNumCalibrationBins);
  double squared_error = 0, count = 0;

  double brier() const { return ratio(squared_error, count); }
  double ece() const {
    double gap = 0;
    for (const CalibrationBin& bin : bins) gap += std::abs(bin.confidence_sum - bin.correct_sum);
    return ratio(gap, count);
  }
};

Decisions::Decisions(const ClassificationStudy& study, size_t model, std::vector<double> thresholds)
    : kind_(study.kind), num_classes_(study.classes.size()), has_probabilities_(are_probabilities(study, model)) {
  const auto& scores = study.scores[model];
  const size_t num_cases = study.cases.size();
  const bool is_exclusive = kind_ == LabelKind::multi_class;
  for (size_t first = 0; first < (is_exclusive ? 1 : num_classes_); ++first) {
    std::map<std::tuple<size_t, size_t, size_t>, std::vector<uint32_t>> cells;  // of bin, truth, decision
    std::vector<float> confidence(num_cases);
    std::vector<double> squared_error(num_cases);
    for (size_t i = 0; i < num_cases; ++i) {
      size_t truth = 0, decision = first;
      for (size_t c = first; c < (is_exclusive ? num_classes_ : first + 1); ++c) {
        if (study.labels[c][i] == 1) truth = is_exclusive ? c : 1;
        if (scores[c][i] > scores[decision][i]) decision = c;
        const double error = scores[c][i] - study.labels[c][i];
        squared_error[i] += error * error;
      }
      if (study.labels[first][i] < 0) continue;
      confidence[i] = static_cast<float>(scores[decision][i]);
      if (!is_exclusive) decision = scores[first][i] >= thresholds[first] ? 1 : 0;
      const float place = has_probabilities_ ? confidence[i] * kNumCalibrationBins : 0.0F;
      cells[{std::min<size_t>(kNumCalibrationBins - 1, static_cast<size_t>(place)), truth, decision}].push_back(
          static_cast<uint32_t>(i));
    }
    Column column;
    for (const auto& [key, cases] : cells) {
      column.cases.insert(column.cases.end(), cases.begin(), cases.end());
      column.cells.push_back({column.cases.size(), std::get<0>(key), std::get<1>(key), std::get<2>(key)});
    }
    for (const uint32_t i : column.cases) {
      column.confidence.push_back(confidence[i]);
      column.squared_error.push_back(squared_error[i]);
    }
    columns_.push_back(std::move(column));
  }
  for (const std::string& name : study.classes) {
    if (kind_ == LabelKind::multi_label) names_.push_back({"accuracy", name});
    for (const char* metric : {"sensitivity", "specificity", "F1"}) names_.push_back({metric, name});
    if (kind_ == LabelKind::multi_label) {
      for (const char* metric : {"balanced_accuracy", "Brier", "ECE"}) names_.push_back({metric, name});
    }
  }
  if (kind_ == LabelKind::multi_label) {
    for (const char* metric : {"accuracy", "sensitivity", "specificity", "F1", "balanced_accuracy", "Brier", "ECE"})
      names_.push_back({metric, "mean"});
  } else {
    if (is_exclusive) {
      for (const char* metric : {"sensitivity", "specificity", "F1"}) names_.push_back({metric, "macro"});
    }
    for (const char* metric : {"accuracy", "balanced_accuracy", "Brier", "ECE"}) names_.push_back({metric, "all"});
  }
}

Decisions::Measured Decisions::measure(const Column& column, std::span<const uint32_t> weights) const {
  const bool is_exclusive = kind_ == LabelKind::multi_class;
  Measured measured;
  measured.rates.resize(is_exclusive ? num_classes_ : 1);
  size_t k = 0;
  for (const Cell& cell : column.cells) {
    uint64_t whole = 0;
    double confidence = 0, squared_error = 0;
    for (; k < cell.end; ++k) {
      const uint32_t weight = weights[column.cases[k]];
      whole += weight;
      confidence += weight * static_cast<double>(column.confidence[k]);
      squared_error += weight * column.squared_error[k];
    }
    const auto count = static_cast<double>(whole);
    const bool is_right = cell.truth == cell.decision;
    if (is_exclusive) {
      if (is_right)
        measured.rates[cell.truth].tp += count;
      else {
        measured.rates[cell.truth].fn += count;
        measured.rates[cell.decision].fp += count;
      }
    } else {
      Rates& rates = measured.rates[0];
      if (cell.truth == 1) {
        (is_right ? rates.tp : rates.fn) += count;
      } else {
        (is_right ? rates.tn : rates.fp) += count;
      }
    }
    measured.count += count;
    measured.squared_error += squared_error;
    CalibrationBin& bin = measured.bins[cell.bin];
    bin.count += count;
    bin.confidence_sum += confidence;
    const bool is_correct = is_exclusive ? is_right : cell.truth == 1;
    bin.correct_sum += is_correct ? count : 0;
  }
  if (is_exclusive) {
    for (Rates& rates : measured.rates) rates.tn = measured.count - rates.tp - rates.fn - rates.fp;
  }
  return measured;
}

std::vector<CalibrationBin> Decisions::calibration(size_t c, std::span<const uint32_t> weights) const {
  return has_probabilities_ ? measure(columns_[c], weights).bins : std::vector<CalibrationBin>(kNumCalibrationBins);
}

void Decisions::values(std::span<const uint32_t> weights, std::span<double> out) const {
  size_t at = 0;
  const auto put = [&](std::initializer_list<double> values) {
    for (const double value : values) out[at++] = value;
  };
  if (kind_ == LabelKind::multi_label) {
    constexpr size_t kNumMetrics = 7;
    for (const Column& column : columns_) {
      const Measured measured = measure(column, weights);
      const Rates& rates = measured.rates[0];
      put({rates.accuracy(), rates.sensitivity(), rates.specificity(), rates.f1(), rates.balanced_accuracy(),
           has_probabilities_ ? measured.brier() : std::nan(""), has_probabilities_ ? measured.ece() : std::nan("")});
    }
    put_means(out, kNumMetrics, num_classes_);
    return;
  }
  const Measured measured = measure(columns_[0], weights);
  for (const Rates& rates : measured.rates) put({rates.sensitivity(), rates.specificity(), rates.f1()});
  if (kind_ == LabelKind::multi_class) {
    put_means(out, 3, num_classes_);
    at += 3;
    double hits = 0;
    for (const Rates& rates : measured.rates) hits += rates.tp;
    put({ratio(hits, measured.count), out[3 * num_classes_]});
  } else {
    put({measured.rates[0].accuracy(), measured.rates[0].balanced_accuracy()});
  }
  put({has_probabilities_ ? measured.brier() : std::nan(""), has_probabilities_ ? measured.ece() : std::nan("")});
}

}  // namespace vmae::metrics
