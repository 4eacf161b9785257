// The figures of `vmae eval`.
#include <algorithm>
#include <cmath>
#include <map>

#include "output.h"
#include "vmae/core/text.h"
#include "vmae/metrics/curves.h"

namespace vmae::run {

namespace {

using report::Figure;
using report::Line;
using report::LinePlot;

std::string legend(const Evaluation& evaluation, size_t model, const std::string& name, const std::string& metric,
                   const std::string& class_name) {
  const metrics::Estimate* estimate = evaluation.find(model, metric, class_name);
  if (estimate == nullptr) return name;
  const auto& interval = estimate->intervals.at(0);
  return concat(name, ", ", metric, " ", report::with_interval(estimate->value, interval.low, interval.high));
}

Figure box_figure(const Evaluation& evaluation, const std::string& metric_name) {
  const metrics::SegmentationStudy& study = evaluation.segmentation->study;
  const auto& metrics = metrics::segmentation_metrics();
  const auto metric =
      std::find_if(metrics.begin(), metrics.end(), [&](const auto& one) { return one.name == metric_name; });
  report::BoxPlot plot{
      .title = concat(metric->title, " of every ", evaluation.arguments.per_slice ? "slice" : "case",
                      ", by class and model"),
      .value_axis = metric->title + (metric->unit.empty() ? "" : " (" + evaluation.unit_of(*metric) + ")")};
  plot.groups = study.classes;
  plot.series = study.models;
  plot.low = 0;
  plot.high = metric->unit.empty() ? 1 : 0;
  for (size_t c = 0; c < study.classes.size(); ++c) {
    plot.values.emplace_back();
    for (size_t m = 0; m < study.models.size(); ++m) {
      plot.values.back().emplace_back();
      for (const auto& scores : study.scores[m])
        plot.values.back().back().push_back(metrics::value_of(scores, *metric, c));
    }
  }
  return {metric_name, plot.title, report::box_plot(plot)};
}

Line with_band(size_t model, const std::string& name, const std::vector<metrics::BandPoint>& band) {
  Line line{.name = name, .series = static_cast<int64_t>(model)};
  for (const metrics::BandPoint& point : band) {
    line.points.push_back({point.x, point.y});
    line.band_low.push_back(point.low);
    line.band_high.push_back(point.high);
  }
  return line;
}

// A plot per class, or finding; in each the models.
void add_curves(const Evaluation& evaluation, std::vector<Figure>& figures) {
  const metrics::ClassificationStudy& study = *evaluation.classification;
  for (size_t c = 0; c < study.classes.size(); ++c) {
    const bool is_only = study.classes.size() == 1;
    const std::string whose = is_only ? "" : " of " + study.classes[c], suffix = is_only ? "" : concat("_", c + 1);
    LinePlot roc, pr;
    roc.title = "ROC curves" + whose;
    roc.x_axis = "1 - specificity";
    roc.y_axis = "Sensitivity";
    roc.has_diagonal = true;
    roc.is_square = true;
    pr.title = "Precision-recall curves" + whose;
    pr.x_axis = "Recall";
    pr.y_axis = "Precision";
    pr.is_square = true;
    for (size_t m = 0; m < study.models.size(); ++m) {
      const metrics::Curves curves = metrics::curves_of(study, m, c, evaluation.arguments.statistics);
      if (curves.roc_band.empty()) {
        roc.notes.push_back(study.models[m] + ": no positive or no negative cases");
        continue;
      }
      roc.lines.push_back(
          with_band(m, legend(evaluation, m, study.models[m], "AUROC", study.classes[c]), curves.roc_band));
      pr.lines.push_back(with_band(m, legend(evaluation, m, study.models[m], "AUPRC", study.classes[c]),
                                   curves.precision_recall_band));
      if (m == 0)
        pr.notes.push_back(concat("chance: ", report::number(curves.prevalence), ", the share of positive cases"));
    }
    figures.push_back({"roc" + suffix, roc.title, report::line_plot(roc)});
    figures.push_back({"precision_recall" + suffix, pr.title, report::line_plot(pr)});
  }
}

void add_calibration(const Evaluation& evaluation, std::vector<Figure>& figures) {
  const metrics::ClassificationStudy& study = *evaluation.classification;
  const bool is_top = study.kind == metrics::LabelKind::multi_class;
  for (size_t c = 0; c < evaluation.calibration[0].size(); ++c) {
    const bool is_only = evaluation.calibration[0].size() == 1;
    LinePlot plot;
    plot.title = "Calibration" + (is_only ? "" : " of " + study.classes[c]) +
                 ": predicted probability against the share of cases that are so";
    plot.x_axis = is_top ? "Probability of the likeliest class" : "Predicted probability";
    plot.y_axis = is_top ? "Share of correct cases" : "Share of positive cases";
    plot.has_diagonal = true;
    plot.is_square = true;
    plot.notes.emplace_back("10 bins of equal width; whiskers: bootstrap intervals");
    for (size_t m = 0; m < study.models.size(); ++m) {
      if (evaluation.calibration[m][c].empty()) {
        plot.notes.push_back(study.models[m] + ": its scores are no probabilities");
        continue;
      }
      Line line;
      line.name = study.models[m];
      line.series = static_cast<int64_t>(m);
      line.has_markers = true;
      std::string counts;
      for (const metrics::CalibrationPoint& point : evaluation.calibration[m][c]) {
        line.points.push_back({point.confidence, point.share});
        line.error_low.push_back(point.low);
        line.error_high.push_back(point.high);
        counts += concat(counts.empty() ? "" : ", ", point.n);
      }
      plot.notes.push_back(concat(study.models[m], ": ", counts, " cases in the bins"));
      plot.lines.push_back(std::move(line));
    }
    figures.push_back({is_only ? "calibration" : concat("calibration_", c + 1), plot.title, report::line_plot(plot)});
  }
}

void add_confusion(const Evaluation& evaluation, std::vector<Figure>& figures) {
  const metrics::ClassificationStudy& study = *evaluation.classification;
  if (study.kind == metrics::LabelKind::multi_label) return;
  std::vector<std::string> classes = study.classes;
  if (study.kind == metrics::LabelKind::binary) classes.insert(classes.begin(), study.negative_class);
  for (size_t m = 0; m < study.models.size(); ++m) {
    report::ConfusionPlot plot{.title = concat("Confusion matrix of ", study.models[m]),
                               .classes = classes,
                               .name = study.models[m],
                               .series = m};
    plot.counts = metrics::confusion(study, m, evaluation.thresholds[m]);
    figures.push_back({concat("confusion_", m + 1), plot.title, report::confusion_plot(plot)});
  }
}

// "nnunet_10" of a model with 10 % of the labels is "nnunet".
std::string without_number(const std::string& name, int64_t number) {
  const std::string text = std::to_string(number);
  const size_t at = name.rfind(text);
  if (at == std::string::npos) return name;
  std::string rest = name.substr(0, at) + name.substr(at + text.size());
  while (!rest.empty() && std::string_view(" _-@%").find(rest.back()) != std::string_view::npos) rest.pop_back();
  return rest.empty() ? name : rest;
}

}  // namespace

std::vector<Figure> figures_of(const Evaluation& evaluation) {
  std::vector<Figure> figures;
  if (auto efficiency = efficiency_figure(evaluation)) figures.push_back(*efficiency);
  if (evaluation.segmentation != nullptr) {
    figures.push_back(box_figure(evaluation, "Dice"));
    if (evaluation.arguments.segmentation.has_distances) figures.push_back(box_figure(evaluation, "HD95"));
    return figures;
  }
  add_curves(evaluation, figures);
  add_calibration(evaluation, figures);
  add_confusion(evaluation, figures);
  return figures;
}

namespace {

// beginning: the number of the weights that the model's run began with, from 0.
std::string name_of_line(const EvalModel& model, std::ptrdiff_t beginning) {
  if (model.run.empty()) return without_number(model.name, model.label_fraction);
  if (model.trained_from.empty()) return "from scratch";
  if (beginning == 0) return "pretrained";
  return concat("pretrained, weights ", beginning + 1);
}

}  // namespace

std::optional<Figure> efficiency_figure(const Evaluation& evaluation) {
  // Models that differ in nothing but the share of labels are one line: those that began
  // with the same weights; of predictions, those of equal names apart from the share.
  std::map<std::string, std::map<double, const metrics::Estimate*>> lines;
  const std::string metric = evaluation.segmentation != nullptr ? "Dice" : "AUROC";
  std::vector<std::string> beginnings;  // weights that runs began with
  for (size_t m = 0; m < evaluation.models.size(); ++m) {
    const EvalModel& model = evaluation.models[m];
    if (model.label_fraction < 0) return std::nullopt;
    if (!model.trained_from.empty() &&
        std::find(beginnings.begin(), beginnings.end(), model.trained_from) == beginnings.end())
      beginnings.push_back(model.trained_from);
    const auto beginning = std::find(beginnings.begin(), beginnings.end(), model.trained_from) - beginnings.begin();
    std::string line = name_of_line(model, beginning);
    const std::string first = line;
    // other seeds, or models
    for (int i = 2; lines[line].contains(static_cast<double>(model.label_fraction)); ++i)
      line = concat(first, " (", i, ")");
    if (const metrics::Estimate* estimate = evaluation.find(m, metric, ""))
      lines[line].emplace(static_cast<double>(model.label_fraction), estimate);
  }
  std::vector<double> ticks;
  LinePlot plot{.title = concat(metric, " against the share of labels used for training"),
                .x_axis = "Labels used (%)",
                .y_axis = metric};
  for (const auto& [name, points] : lines) {
    Line line{.name = name, .has_markers = true};
    for (const auto& [fraction, estimate] : points) {
      line.points.push_back({fraction, estimate->value});
      line.point_series.push_back(estimate->model);
      line.error_low.push_back(estimate->intervals.at(0).low);
      line.error_high.push_back(estimate->intervals.at(0).high);
      if (std::find(ticks.begin(), ticks.end(), fraction) == ticks.end()) ticks.push_back(fraction);
    }
    plot.lines.push_back(std::move(line));
  }
  if (ticks.size() < 2) return std::nullopt;
  for (size_t m = 0; m < evaluation.models.size(); ++m) plot.point_legend.emplace_back(m, evaluation.models[m].name);
  std::sort(ticks.begin(), ticks.end());
  plot.x_ticks = ticks;
  plot.x_is_log = true;
  plot.x_low = ticks.front() / 1.15;
  plot.x_high = ticks.back() * 1.15;
  return Figure{"label_efficiency", plot.title, report::line_plot(plot)};
}

}  // namespace vmae::run
