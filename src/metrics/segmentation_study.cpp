#include "vmae/metrics/segmentation_study.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "vmae/core/text.h"
#include "vmae/stats/paired_tests.h"
#include "vmae/stats/quantile.h"

namespace vmae::metrics {

namespace {

// A column of the study: one number per case, NaN where there is none.
using Column = std::vector<double>;

Column column_of(const SegmentationStudy& study, size_t model, const SegmentationMetric& metric, size_t c) {
  Column column;
  for (const auto& scores : study.scores[model]) column.push_back(value_of(scores, metric, c));
  return column;
}

std::string class_name(const SegmentationStudy& study, size_t c) {
  return c < study.classes.size() ? study.classes[c] : "mean";
}

// With one class the mean over classes is that class: it is not said twice.
std::vector<size_t> rows_of(const SegmentationStudy& study) {
  std::vector<size_t> rows;
  for (size_t c = 0; c < study.classes.size(); ++c) rows.push_back(c);
  if (rows.size() > 1) rows.push_back(rows.size());
  return rows;
}

stats::Bootstrap resample_means(const SegmentationStudy& study, const std::vector<Column>& columns,
                                const StatisticsOptions& options) {
  const auto statistics = [&](std::span<const uint32_t> weights, std::span<double> out) {
    for (size_t k = 0; k < columns.size(); ++k) {
      double sum = 0, count = 0;
      for (size_t i = 0; i < weights.size(); ++i) {
        if (weights[i] == 0 || std::isnan(columns[k][i])) continue;
        sum += weights[i] * columns[k][i];
        count += weights[i];
      }
      out[k] = count > 0 ? sum / count : std::nan("");
    }
  };
  return stats::bootstrap(stats::units_of(study.cases.size(), study.patients, {}), columns.size(), statistics,
                          {.resamples = options.resamples, .seed = options.seed, .threads = options.threads});
}

void describe_spread(Column values, Estimate& estimate) {
  std::erase_if(values, [](double value) { return std::isnan(value); });
  estimate.n = static_cast<int64_t>(values.size());
  if (values.empty()) {
    estimate.remark = "no case has a value";
    return;
  }
  std::sort(values.begin(), values.end());
  double squares = 0;
  for (const double value : values) squares += (value - estimate.value) * (value - estimate.value);
  const double sd = values.size() > 1 ? std::sqrt(squares / static_cast<double>(values.size() - 1)) : std::nan("");
  estimate.more = {{"sd", sd},
                   {"minimum", values.front()},
                   {"first_quartile", stats::quantile(values, 0.25)},
                   {"median", stats::quantile(values, 0.5)},
                   {"third_quartile", stats::quantile(values, 0.75)},
                   {"maximum", values.back()}};
}

// A mean over the classes that have a value flatters a model whose classes are missing: it says so.
void remark_on_missing(const SegmentationStudy& study, Estimate& estimate) {
  size_t missing = 0;
  for (const SegmentationMetric& metric : segmentation_metrics()) {
    if (metric.name != estimate.metric) continue;
    for (const auto& scores : study.scores[estimate.model])
      missing += static_cast<size_t>(std::count_if(
          scores.begin(), scores.end(), [&](const ClassScores& one) { return std::isnan(one.*metric.value); }));
  }
  const size_t all = study.cases.size() * study.classes.size();
  if (missing > 0 && missing < all)
    estimate.remark =
        concat(missing, " of ", all, " values of single classes are missing and left out of the means of their cases");
}

// Of one case the values of two models for class c; the mean over
// classes is of those that both have, so that the same is compared.
std::pair<double, double> values_of_both(const std::vector<ClassScores>& a, const std::vector<ClassScores>& b,
                                         const SegmentationMetric& metric, size_t c) {
  if (c < a.size()) return {a[c].*metric.value, b[c].*metric.value};
  double sum_a = 0, sum_b = 0, count = 0;
  for (size_t k = 0; k < a.size(); ++k) {
    const double value_a = a[k].*metric.value, value_b = b[k].*metric.value;
    if (std::isnan(value_a) || std::isnan(value_b)) continue;
    sum_a += value_a;
    sum_b += value_b;
    count += 1;
  }
  return count > 0 ? std::pair{sum_a / count, sum_b / count} : std::pair{std::nan(""), std::nan("")};
}

// The values of both models where both have one; of each patient the mean.
std::pair<std::vector<double>, std::vector<double>> paired_values(const SegmentationStudy& study, const Column& a,
                                                                  const Column& b) {
  struct Sum {
    double a = 0, b = 0, count = 0;
  };
  std::map<std::string, Sum> of_patient;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) || std::isnan(b[i])) continue;
    Sum& sum = of_patient[study.patients.empty() ? study.cases[i] : study.patients[i]];
    sum.a += a[i];
    sum.b += b[i];
    sum.count += 1;
  }
  std::pair<std::vector<double>, std::vector<double>> values;
  for (const auto& [patient, sum] : of_patient) {
    values.first.push_back(sum.a / sum.count);
    values.second.push_back(sum.b / sum.count);
  }
  return values;
}

}  // namespace

double value_of(const std::vector<ClassScores>& scores, const SegmentationMetric& metric, size_t c) {
  if (c < scores.size()) return scores[c].*metric.value;
  double sum = 0, count = 0;
  for (const ClassScores& one : scores) {
    if (std::isnan(one.*metric.value)) continue;
    sum += one.*metric.value;
    count += 1;
  }
  return count > 0 ? sum / count : std::nan("");
}

std::vector<Estimate> estimate(const SegmentationStudy& study, const StatisticsOptions& options) {
  std::vector<Estimate> estimates;
  std::vector<Column> columns;
  for (size_t model = 0; model < study.models.size(); ++model) {
    for (const SegmentationMetric& metric : segmentation_metrics()) {
      for (const size_t c : rows_of(study)) {
        estimates.push_back({.model = model, .metric = metric.name, .class_name = class_name(study, c)});
        columns.push_back(column_of(study, model, metric, c));
      }
    }
  }
  const stats::Bootstrap bootstrap = resample_means(study, columns, options);
  for (size_t k = 0; k < columns.size(); ++k) {
    estimates[k].value = bootstrap.estimate[k];
    describe_spread(columns[k], estimates[k]);
    estimates[k].num_left_out = static_cast<int64_t>(study.cases.size()) - estimates[k].n;
    estimates[k].intervals = intervals_of(bootstrap, k, options);
    if (estimates[k].class_name == "mean") remark_on_missing(study, estimates[k]);
    remark_on_bias(estimates[k]);
  }
  return estimates;
}

std::vector<Comparison> compare(const SegmentationStudy& study, const StatisticsOptions& options) {
  std::vector<Comparison> comparisons;
  std::vector<Column> differences;
  for (const auto& [a, b] : options.pairs) {
    for (const SegmentationMetric& metric : segmentation_metrics()) {
      if (metric.name != "Dice" && metric.name != "HD95" && metric.name != "surface_Dice") continue;
      for (const size_t c : rows_of(study)) {
        Column of_a, of_b;
        for (size_t i = 0; i < study.cases.size(); ++i) {
          const auto [value_a, value_b] = values_of_both(study.scores[a][i], study.scores[b][i], metric, c);
          of_a.push_back(value_a);
          of_b.push_back(value_b);
        }
        Comparison comparison{.a = a, .b = b, .metric = metric.name, .class_name = class_name(study, c)};
        Column difference(of_a.size());
        for (size_t i = 0; i < difference.size(); ++i) difference[i] = of_a[i] - of_b[i];
        comparison.n =
            std::count_if(difference.begin(), difference.end(), [](double value) { return !std::isnan(value); });
        const auto [values_a, values_b] = paired_values(study, of_a, of_b);
        for (const stats::TestResult& test :
             {stats::paired_t_test(values_a, values_b), stats::wilcoxon_signed_rank(values_a, values_b)})
          comparison.tests.push_back({test.method, test.n, test.statistic, test.p, std::nan(""), test.remark});
        comparisons.push_back(std::move(comparison));
        differences.push_back(std::move(difference));
      }
    }
  }
  if (differences.empty()) return comparisons;
  const stats::Bootstrap bootstrap = resample_means(study, differences, options);
  for (size_t k = 0; k < comparisons.size(); ++k) {
    comparisons[k].difference = bootstrap.estimate[k];
    comparisons[k].intervals = intervals_of(bootstrap, k, options);
    comparisons[k].tests.push_back({"paired bootstrap", comparisons[k].tests.front().n, std::nan(""),
                                    stats::bootstrap_p(bootstrap, k), std::nan(""), ""});
  }
  correct_for_number(comparisons);
  return comparisons;
}

}  // namespace vmae::metrics
