#include "vmae/metrics/classification_study.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "vmae/core/text.h"
#include "vmae/metrics/decisions.h"
#include "vmae/stats/delong.h"
#include "vmae/stats/ranking.h"

namespace vmae::metrics {

namespace {

using stats::Ranking;

const double nan = std::nan("");

// The rankings of a model: one per class, and of exclusive classes all scores together ("micro").
struct Rankings {
  std::vector<Ranking> of_class;
  std::vector<Ranking> micro;  // none, or one

  Rankings(const ClassificationStudy& study, size_t model) {
    for (size_t c = 0; c < study.classes.size(); ++c) of_class.emplace_back(study.scores[model][c], study.labels[c]);
    if (study.kind != LabelKind::multi_class) return;
    std::vector<double> scores;
    std::vector<int8_t> labels;
    std::vector<uint32_t> cases;
    for (size_t c = 0; c < study.classes.size(); ++c) {
      scores.insert(scores.end(), study.scores[model][c].begin(), study.scores[model][c].end());
      labels.insert(labels.end(), study.labels[c].begin(), study.labels[c].end());
      for (uint32_t i = 0; i < study.cases.size(); ++i) cases.push_back(i);
    }
    micro.emplace_back(scores, labels, cases);
  }

  // AUROC and AUPRC of every class, then macro and micro, or the mean over findings.
  static std::vector<Decisions::Name> names(const ClassificationStudy& study) {
    std::vector<std::string> rows = study.classes;
    if (study.kind == LabelKind::multi_class) rows.insert(rows.end(), {"macro", "micro"});
    if (study.kind == LabelKind::multi_label) rows.emplace_back("mean");
    std::vector<Decisions::Name> names;
    for (const std::string& row : rows) {
      names.push_back({"AUROC", row});
      names.push_back({"AUPRC", row});
    }
    return names;
  }

  void values(std::span<const uint32_t> weights, std::span<double> out) const {
    size_t at = 0;
    double auroc_sum = 0, auprc_sum = 0, auroc_count = 0, auprc_count = 0;
    for (const Ranking& ranking : of_class) {
      const Ranking::Values values = ranking.values(weights);
      if (!std::isnan(values.auroc)) {
        auroc_sum += values.auroc;
        auroc_count += 1;
      }
      if (!std::isnan(values.average_precision)) {
        auprc_sum += values.average_precision;
        auprc_count += 1;
      }
      out[at++] = values.auroc;
      out[at++] = values.average_precision;
    }
    if (at == out.size()) return;  // binary
    out[at++] = auroc_count > 0 ? auroc_sum / auroc_count : nan;
    out[at++] = auprc_count > 0 ? auprc_sum / auprc_count : nan;
    if (micro.empty()) return;
    const Ranking::Values values = micro[0].values(weights);
    out[at++] = values.auroc;
    out[at++] = values.average_precision;
  }
};

// A set of metrics of every model, resampled together, with the differences of pairs behind them.
struct Metrics {
  std::vector<Decisions::Name> names;
  std::function<void(size_t model, std::span<const uint32_t> weights, std::span<double> out)> values;
};

struct Resampled {
  stats::Bootstrap bootstrap;
  size_t num_names;
  size_t of_model(size_t model, size_t name) const { return model * num_names + name; }
  size_t of_pair(size_t num_models, size_t pair, size_t name) const { return (num_models + pair) * num_names + name; }
};

Resampled resample(const ClassificationStudy& study, const Metrics& metrics, std::span<const uint32_t> strata,
                   const StatisticsOptions& options) {
  const size_t num_models = study.models.size(), num_names = metrics.names.size();
  const auto statistics = [&](std::span<const uint32_t> weights, std::span<double> out) {
    for (size_t model = 0; model < num_models; ++model)
      metrics.values(model, weights, out.subspan(model * num_names, num_names));
    for (size_t pair = 0; pair < options.pairs.size(); ++pair) {
      const auto [a, b] = options.pairs[pair];
      for (size_t k = 0; k < num_names; ++k)
        out[(num_models + pair) * num_names + k] = out[a * num_names + k] - out[b * num_names + k];
    }
  };
  return {stats::bootstrap(stats::units_of(study.cases.size(), study.patients, strata),
                           (num_models + options.pairs.size()) * num_names, statistics,
                           {.resamples = options.resamples, .seed = options.seed, .threads = options.threads}),
          num_names};
}

// Labels and scores of a class where the label is known.
struct Known {
  std::vector<uint8_t> labels;
  std::vector<std::vector<double>> scores;  // of each model asked for
};

Known known_of(const ClassificationStudy& study, size_t c, std::initializer_list<size_t> models) {
  Known known;
  known.scores.resize(models.size());
  for (size_t i = 0; i < study.cases.size(); ++i) {
    if (study.labels[c][i] < 0) continue;
    known.labels.push_back(static_cast<uint8_t>(study.labels[c][i]));
    size_t k = 0;
    for (const size_t model : models) known.scores[k++].push_back(study.scores[model][c][i]);
  }
  return known;
}

bool is_clustered(const ClassificationStudy& study) {
  return stats::units_of(study.cases.size(), study.patients, {}).is_clustered();
}

// The class that a row is about, or the number of classes for a row over all.
size_t class_of(const ClassificationStudy& study, size_t name) { return std::min(name, study.classes.size()); }

void describe_counts(const ClassificationStudy& study, size_t c, Estimate& estimate) {
  estimate.n = static_cast<int64_t>(study.cases.size());
  if (c == study.classes.size()) return;
  const auto& labels = study.labels[c];
  estimate.num_left_out = std::count(labels.begin(), labels.end(), int8_t{-1});
  estimate.n -= estimate.num_left_out;
  estimate.num_positive = std::count(labels.begin(), labels.end(), int8_t{1});
}

void estimate_rankings(const ClassificationStudy& study, const Resampled& resampled,
                       const std::vector<Decisions::Name>& names, const StatisticsOptions& options,
                       std::vector<Estimate>& estimates) {
  for (size_t model = 0; model < study.models.size(); ++model) {
    for (size_t k = 0; k < names.size(); ++k) {
      const size_t statistic = resampled.of_model(model, k), c = class_of(study, k / 2);
      Estimate estimate{.model = model,
                        .metric = names[k].metric,
                        .class_name = names[k].class_name,
                        .value = resampled.bootstrap.estimate[statistic]};
      describe_counts(study, c, estimate);
      estimate.intervals = intervals_of(resampled.bootstrap, statistic, options);
      if (c < study.classes.size() && names[k].metric == "AUROC") {
        const Known known = known_of(study, c, {model});
        const stats::Auroc auroc = stats::delong(known.scores[0], known.labels);
        estimate.remark = auroc.remark;
        stats::Interval interval = stats::delong_interval(auroc, options.level);
        if (is_clustered(study)) {
          interval.remark = "treats all cases as independent, but patients have several";
          estimate.intervals.push_back(interval);
        } else {
          estimate.intervals.insert(estimate.intervals.begin(), interval);
        }
      } else if (std::isnan(estimate.value)) {
        estimate.remark = "not defined: no positive or no negative cases";
      } else if (c == study.classes.size() && names[k].class_name != "micro") {
        size_t defined = 0;
        for (size_t i = 0; i < study.classes.size(); ++i)
          defined += std::isnan(resampled.bootstrap.estimate[resampled.of_model(model, 2 * i + k % 2)]) ? 0 : 1;
        if (defined < study.classes.size())
          estimate.remark = concat("the mean of ", defined, " of ", study.classes.size(),
                                   " classes: the others have no positive or no negative cases");
      }
      remark_on_bias(estimate);
      estimates.push_back(std::move(estimate));
    }
  }
}

void compare_rankings(const ClassificationStudy& study, const Resampled& resampled,
                      const std::vector<Decisions::Name>& names, const StatisticsOptions& options,
                      std::vector<Comparison>& comparisons) {
  for (size_t pair = 0; pair < options.pairs.size(); ++pair) {
    const auto [a, b] = options.pairs[pair];
    for (size_t k = 0; k < names.size(); ++k) {
      const size_t statistic = resampled.of_pair(study.models.size(), pair, k), c = class_of(study, k / 2);
      Comparison comparison{.a = a,
                            .b = b,
                            .metric = names[k].metric,
                            .class_name = names[k].class_name,
                            .difference = resampled.bootstrap.estimate[statistic]};
      Estimate counts;
      describe_counts(study, c, counts);
      comparison.n = counts.n;
      comparison.intervals = intervals_of(resampled.bootstrap, statistic, options);
      if (c < study.classes.size() && names[k].metric == "AUROC" && !is_clustered(study)) {
        const Known known = known_of(study, c, {a, b});
        const stats::AurocComparison test =
            stats::delong_test(known.scores[0], known.scores[1], known.labels, options.level);
        comparison.intervals.insert(comparison.intervals.begin(), test.interval);
        comparison.tests.push_back({"DeLong", comparison.n, test.z, test.p, nan, test.remark});
      }
      comparison.tests.push_back({"paired bootstrap", resampled.bootstrap.num_units, nan,
                                  stats::bootstrap_p(resampled.bootstrap, statistic), nan, ""});
      comparisons.push_back(std::move(comparison));
    }
  }
}

}  // namespace

bool are_probabilities(const ClassificationStudy& study, size_t model) {
  const auto& scores = study.scores[model];
  for (size_t i = 0; i < study.cases.size(); ++i) {
    double sum = 0;
    for (const auto& of_class : scores) {
      if (!(of_class[i] >= 0 && of_class[i] <= 1)) return false;
      sum += of_class[i];
    }
    if (study.kind == LabelKind::multi_class && std::abs(sum - 1) > 1e-3) return false;
  }
  return true;
}

std::vector<std::vector<double>> thresholds_of(const ClassificationStudy& study, const ThresholdOptions& options) {
  std::vector<std::vector<double>> thresholds(study.models.size());
  if (study.kind == LabelKind::multi_class) return thresholds;
  const std::vector<uint32_t> once(study.cases.size(), 1);
  for (size_t model = 0; model < study.models.size(); ++model) {
    for (size_t c = 0; c < study.classes.size(); ++c) {
      double best = options.value, best_index = -1;
      const Ranking ranking(study.scores[model][c], study.labels[c]);
      if (options.is_youden && ranking.num_positive() > 0 && ranking.num_negative() > 0) {
        for (const Ranking::Step& step : ranking.steps(once)) {
          const double index = step.true_positives / static_cast<double>(ranking.num_positive()) -
                               step.false_positives / static_cast<double>(ranking.num_negative());
          if (index > best_index) {
            best_index = index;
            best = step.score;
          }
        }
      }
      thresholds[model].push_back(best);
    }
  }
  return thresholds;
}

ClassificationResult evaluate(const ClassificationStudy& study, const ThresholdOptions& threshold,
                              const StatisticsOptions& options) {
  ClassificationResult result;
  std::vector<Rankings> rankings;
  std::vector<Decisions> decisions;
  const auto thresholds = thresholds_of(study, threshold);
  for (size_t model = 0; model < study.models.size(); ++model) {
    rankings.emplace_back(study, model);
    decisions.emplace_back(study, model, thresholds[model]);
  }
  // Exclusive classes: every resample has as many cases of each as the sample.
  std::vector<uint32_t> strata;
  if (study.kind != LabelKind::multi_label) {
    for (size_t i = 0; i < study.cases.size(); ++i) {
      uint32_t stratum = 0;
      for (uint32_t c = 0; c < study.classes.size(); ++c) stratum = study.labels[c][i] == 1 ? c + 1 : stratum;
      strata.push_back(stratum);
    }
  }
  const Metrics ranked{Rankings::names(study), [&](size_t model, std::span<const uint32_t> weights,
                                                   std::span<double> out) { rankings[model].values(weights, out); }};
  const Resampled of_rankings = resample(study, ranked, strata, options);
  estimate_rankings(study, of_rankings, ranked.names, options, result.estimates);
  compare_rankings(study, of_rankings, ranked.names, options, result.comparisons);

  const Metrics decided{decisions[0].names(), [&](size_t model, std::span<const uint32_t> weights,
                                                  std::span<double> out) { decisions[model].values(weights, out); }};
  const Resampled of_decisions = resample(study, decided, {}, options);
  for (size_t model = 0; model < study.models.size(); ++model) {
    const bool has_probabilities = are_probabilities(study, model);
    for (size_t k = 0; k < decided.names.size(); ++k) {
      const auto& [metric, class_name] = decided.names[k];
      const size_t statistic = of_decisions.of_model(model, k);
      Estimate estimate{.model = model,
                        .metric = metric,
                        .class_name = class_name,
                        .value = of_decisions.bootstrap.estimate[statistic]};
      const auto c = static_cast<size_t>(std::find(study.classes.begin(), study.classes.end(), class_name) -
                                         study.classes.begin());
      describe_counts(study, c, estimate);
      estimate.intervals = intervals_of(of_decisions.bootstrap, statistic, options);
      if (!has_probabilities && (metric == "Brier" || metric == "ECE"))
        estimate.remark = "the scores are no probabilities";
      else if (std::isnan(estimate.value))
        estimate.remark = "not defined: a class is absent, in truth or in decisions";
      remark_on_bias(estimate);
      result.estimates.push_back(std::move(estimate));
    }
  }
  for (size_t pair = 0; pair < options.pairs.size(); ++pair) {
    for (size_t k = 0; k < decided.names.size(); ++k) {
      const auto& [metric, class_name] = decided.names[k];
      if (metric != "accuracy" && metric != "balanced_accuracy") continue;
      const size_t statistic = of_decisions.of_pair(study.models.size(), pair, k);
      Comparison comparison{
          .a = options.pairs[pair].first, .b = options.pairs[pair].second, .metric = metric, .class_name = class_name};
      comparison.difference = of_decisions.bootstrap.estimate[statistic];
      Estimate counts;
      describe_counts(study,
                      static_cast<size_t>(std::find(study.classes.begin(), study.classes.end(), class_name) -
                                          study.classes.begin()),
                      counts);
      comparison.n = counts.n;
      comparison.intervals = intervals_of(of_decisions.bootstrap, statistic, options);
      comparison.tests.push_back({"paired bootstrap", of_decisions.bootstrap.num_units, nan,
                                  stats::bootstrap_p(of_decisions.bootstrap, statistic), nan, ""});
      result.comparisons.push_back(std::move(comparison));
    }
  }
  correct_for_number(result.comparisons);
  return result;
}

std::vector<std::vector<int64_t>> confusion(const ClassificationStudy& study, size_t model,
                                            const std::vector<double>& thresholds) {
  const bool is_binary = study.kind == LabelKind::binary;
  const size_t size = is_binary ? 2 : study.classes.size();
  std::vector<std::vector<int64_t>> counts(size, std::vector<int64_t>(size, 0));
  const auto& scores = study.scores[model];
  for (size_t i = 0; i < study.cases.size(); ++i) {
    size_t truth = 0, top = 0;
    for (size_t c = 0; c < study.classes.size(); ++c) {
      if (study.labels[c][i] == 1) truth = is_binary ? 1 : c;
      if (scores[c][i] > scores[top][i]) top = c;
    }
    if (is_binary) top = scores[0][i] >= thresholds[0] ? 1 : 0;
    ++counts[truth][top];
  }
  return counts;
}

}  // namespace vmae::metrics
