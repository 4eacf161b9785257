#include "vmae/metrics/classification_study.h"

#include <algorithm>
#include <cmath>

#include "vmae/core/text.h"
#include "vmae/metrics/decisions.h"
#include "vmae/stats/delong.h"
#include "vmae/stats/ranking.h"

namespace vmae::metrics {

namespace {

using stats::Ranking;

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
    out[at++] = auroc_count > 0 ? auroc_sum / auroc_count : std::nan("");
    out[at++] = auprc_count > 0 ? auprc_sum / auprc_count : std::nan("");
    if (micro.empty()) return;
    const Ranking::Values values = micro[0].values(weights);
    out[at++] = values.auroc;
    out[at++] = values.average_precision;
  }
};

void describe_counts(const ClassificationStudy& study, size_t c, Estimate& estimate) {
  estimate.n = static_cast<int64_t>(study.cases.size());
  if (c == study.classes.size()) return;
  const auto& labels = study.labels[c];
  estimate.num_left_out = std::count(labels.begin(), labels.end(), int8_t{-1});
  estimate.n -= estimate.num_left_out;
  estimate.num_positive = std::count(labels.begin(), labels.end(), int8_t{1});
}

// A set of metrics of every model, resampled together, with the differences of pairs behind them.
class Resampled {
 public:
  // models: what computes the metrics of each; strata: as in stats::units_of().
  template <class Model>
  Resampled(const ClassificationStudy& study, const StatisticsOptions& options, std::vector<Decisions::Name> names,
            const std::vector<Model>& models, std::span<const uint32_t> strata)
      : study_(study), options_(options), names_(std::move(names)) {
    const auto statistics = [&](std::span<const uint32_t> weights, std::span<double> out) {
      for (size_t model = 0; model < models.size(); ++model)
        models[model].values(weights, out.subspan(of_model(model, 0), names_.size()));
      for (size_t pair = 0; pair < options.pairs.size(); ++pair) {
        const auto [a, b] = options.pairs[pair];
        for (size_t k = 0; k < names_.size(); ++k) out[of_pair(pair, k)] = out[of_model(a, k)] - out[of_model(b, k)];
      }
    };
    bootstrap_ = stats::bootstrap(stats::units_of(study.cases.size(), study.patients, strata),
                                  of_pair(options.pairs.size(), 0), statistics,
                                  {.resamples = options.resamples, .seed = options.seed, .threads = options.threads});
  }

  const std::vector<Decisions::Name>& names() const { return names_; }
  double value(size_t model, size_t name) const { return bootstrap_.estimate[of_model(model, name)]; }

  // c: the class that the row is about, or the number of classes for a row over all.
  Estimate estimate(size_t model, size_t name, size_t c) const {
    Estimate estimate{.model = model,
                      .metric = names_[name].metric,
                      .class_name = names_[name].class_name,
                      .value = value(model, name)};
    describe_counts(study_, c, estimate);
    estimate.intervals = intervals_of(bootstrap_, of_model(model, name), options_);
    return estimate;
  }

  Comparison comparison(size_t pair, size_t name, size_t c) const {
    const size_t statistic = of_pair(pair, name);
    Estimate counts;
    describe_counts(study_, c, counts);
    return {.a = options_.pairs[pair].first,
            .b = options_.pairs[pair].second,
            .metric = names_[name].metric,
            .class_name = names_[name].class_name,
            .difference = bootstrap_.estimate[statistic],
            .n = counts.n,
            .intervals = intervals_of(bootstrap_, statistic, options_),
            .tests = {{"paired bootstrap", bootstrap_.num_units, std::nan(""),
                       stats::bootstrap_p(bootstrap_, statistic), std::nan(""), ""}}};
  }

 private:
  size_t of_model(size_t model, size_t name) const { return model * names_.size() + name; }
  size_t of_pair(size_t pair, size_t name) const { return of_model(study_.models.size() + pair, name); }

  const ClassificationStudy& study_;
  const StatisticsOptions& options_;
  std::vector<Decisions::Name> names_;
  stats::Bootstrap bootstrap_;
};

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

void add_delong_interval(const ClassificationStudy& study, size_t c, double level, Estimate& estimate) {
  const Known known = known_of(study, c, {estimate.model});
  const stats::Auroc auroc = stats::delong(known.scores[0], known.labels);
  estimate.remark = auroc.remark;
  stats::Interval interval = stats::delong_interval(auroc, level);
  if (is_clustered(study)) {
    interval.remark = "treats all cases as independent, but patients have several";
    estimate.intervals.push_back(interval);
  } else {
    estimate.intervals.insert(estimate.intervals.begin(), interval);
  }
}

void add_delong_test(const ClassificationStudy& study, size_t c, double level, Comparison& comparison) {
  const Known known = known_of(study, c, {comparison.a, comparison.b});
  const stats::AurocComparison test = stats::delong_test(known.scores[0], known.scores[1], known.labels, level);
  comparison.intervals.insert(comparison.intervals.begin(), test.interval);
  comparison.tests.insert(comparison.tests.begin(),
                          Test{"DeLong", comparison.n, test.z, test.p, std::nan(""), test.remark});
}

// The class that a name of Rankings is about, or the number of classes for one over all.
size_t class_of_ranking(const ClassificationStudy& study, size_t name) {
  return std::min(name / 2, study.classes.size());
}

// name: of a mean over classes; "" where all of them have a value.
std::string remark_on_mean(const ClassificationStudy& study, const Resampled& resampled, size_t model, size_t name) {
  size_t defined = 0;
  for (size_t c = 0; c < study.classes.size(); ++c)
    defined += std::isnan(resampled.value(model, 2 * c + name % 2)) ? 0 : 1;
  if (defined == study.classes.size()) return "";
  return concat("the mean of ", defined, " of ", study.classes.size(),
                " classes: the others have no positive or no negative cases");
}

void estimate_rankings(const ClassificationStudy& study, const Resampled& resampled, double level,
                       std::vector<Estimate>& estimates) {
  for (size_t model = 0; model < study.models.size(); ++model) {
    for (size_t k = 0; k < resampled.names().size(); ++k) {
      const size_t c = class_of_ranking(study, k);
      Estimate estimate = resampled.estimate(model, k, c);
      if (c < study.classes.size() && estimate.metric == "AUROC") {
        add_delong_interval(study, c, level, estimate);
      } else if (std::isnan(estimate.value)) {
        estimate.remark = "not defined: no positive or no negative cases";
      } else if (c == study.classes.size() && estimate.class_name != "micro") {
        estimate.remark = remark_on_mean(study, resampled, model, k);
      }
      remark_on_bias(estimate);
      estimates.push_back(std::move(estimate));
    }
  }
}

void compare_rankings(const ClassificationStudy& study, const Resampled& resampled, const StatisticsOptions& options,
                      std::vector<Comparison>& comparisons) {
  for (size_t pair = 0; pair < options.pairs.size(); ++pair) {
    for (size_t k = 0; k < resampled.names().size(); ++k) {
      const size_t c = class_of_ranking(study, k);
      Comparison comparison = resampled.comparison(pair, k, c);
      if (c < study.classes.size() && comparison.metric == "AUROC" && !is_clustered(study))
        add_delong_test(study, c, options.level, comparison);
      comparisons.push_back(std::move(comparison));
    }
  }
}

// The class that a name of Decisions is about, or the number of classes for one over all.
size_t class_of_decision(const ClassificationStudy& study, const Decisions::Name& name) {
  return static_cast<size_t>(std::find(study.classes.begin(), study.classes.end(), name.class_name) -
                             study.classes.begin());
}

void estimate_decisions(const ClassificationStudy& study, const Resampled& resampled,
                        std::vector<Estimate>& estimates) {
  for (size_t model = 0; model < study.models.size(); ++model) {
    const bool has_probabilities = are_probabilities(study, model);
    for (size_t k = 0; k < resampled.names().size(); ++k) {
      Estimate estimate = resampled.estimate(model, k, class_of_decision(study, resampled.names()[k]));
      if (!has_probabilities && (estimate.metric == "Brier" || estimate.metric == "ECE"))
        estimate.remark = "the scores are no probabilities";
      else if (std::isnan(estimate.value))
        estimate.remark = "not defined: a class is absent, in truth or in decisions";
      remark_on_bias(estimate);
      estimates.push_back(std::move(estimate));
    }
  }
}

void compare_decisions(const ClassificationStudy& study, const Resampled& resampled, size_t num_pairs,
                       std::vector<Comparison>& comparisons) {
  for (size_t pair = 0; pair < num_pairs; ++pair) {
    for (size_t k = 0; k < resampled.names().size(); ++k) {
      const Decisions::Name& name = resampled.names()[k];
      if (name.metric == "accuracy" || name.metric == "balanced_accuracy")
        comparisons.push_back(resampled.comparison(pair, k, class_of_decision(study, name)));
    }
  }
}

// Exclusive classes: every resample has as many cases of each as the sample.
std::vector<uint32_t> strata_of(const ClassificationStudy& study) {
  std::vector<uint32_t> strata;
  if (study.kind == LabelKind::multi_label) return strata;
  for (size_t i = 0; i < study.cases.size(); ++i) {
    uint32_t stratum = 0;
    for (uint32_t c = 0; c < study.classes.size(); ++c) stratum = study.labels[c][i] == 1 ? c + 1 : stratum;
    strata.push_back(stratum);
  }
  return strata;
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
  std::vector<Rankings> rankings;
  std::vector<Decisions> decisions;
  const auto thresholds = thresholds_of(study, threshold);
  for (size_t model = 0; model < study.models.size(); ++model) {
    rankings.emplace_back(study, model);
    decisions.emplace_back(study, model, thresholds[model]);
  }
  ClassificationResult result;
  const Resampled ranked(study, options, Rankings::names(study), rankings, strata_of(study));
  estimate_rankings(study, ranked, options.level, result.estimates);
  compare_rankings(study, ranked, options, result.comparisons);
  const Resampled decided(study, options, decisions[0].names(), decisions, {});
  estimate_decisions(study, decided, result.estimates);
  compare_decisions(study, decided, options.pairs.size(), result.comparisons);
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
