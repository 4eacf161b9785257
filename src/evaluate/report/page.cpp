// report.html: what was found, from the headline down to config and versions.
#include "output.h"
#include "vmae/cases/class_names.h"
#include "vmae/core/text.h"
#include "vmae/core/version.h"

namespace vmae::run {

namespace {

std::vector<std::pair<std::string, std::string>> facts_of(const Evaluation& evaluation) {
  const size_t cases = evaluation.num_cases();
  std::vector<std::pair<std::string, std::string>> facts;
  facts.emplace_back(evaluation.arguments.per_slice && evaluation.segmentation != nullptr ? "Slices" : "Cases",
                     concat(cases, evaluation.patients.suffix()));
  if (evaluation.arguments.per_slice && evaluation.segmentation != nullptr)
    facts.emplace_back("Means are over", "slices, not cases");
  const auto& classes =
      evaluation.segmentation != nullptr ? evaluation.segmentation->study.classes : evaluation.classification->classes;
  const bool is_binary =
      evaluation.classification != nullptr && evaluation.classification->kind == metrics::LabelKind::binary;
  facts.emplace_back(is_binary ? "Positive class" : "Classes",
                     evaluation.segmentation != nullptr ? io::class_list(classes) : join(classes, ", "));
  std::vector<std::string> names;
  for (const EvalModel& model : evaluation.models) names.push_back(model.name);
  facts.emplace_back("Models", join(names, ", "));
  const auto& options = evaluation.arguments.statistics;
  facts.emplace_back("Intervals", concat(report::number(100 * options.level, 0), " %, ", options.resamples,
                                         " bootstrap resamples, seed ", options.seed));
  if (evaluation.segmentation != nullptr)
    facts.emplace_back("Surface Dice at", concat(report::number(evaluation.arguments.segmentation.tolerance_mm, 2),
                                                 evaluation.segmentation->study.has_millimetres ? " mm" : " pixels"));
  if (!evaluation.left_out.empty())
    facts.emplace_back("Left out", concat(evaluation.left_out.size(), " cases, see below"));
  return facts;
}

const char* what_is_drawn(const Evaluation& evaluation) {
  const bool is_per_slice = evaluation.arguments.per_slice && evaluation.segmentation != nullptr;
  if (evaluation.num_patients() >= evaluation.num_cases()) return is_per_slice ? "slices" : "cases";
  if (!evaluation.has_patients()) return "cases with all of their slices";
  return is_per_slice ? "patients with all of their slices" : "patients with all of their cases";
}

const char* about_threshold(const Evaluation& evaluation) {
  if (evaluation.classification->kind == metrics::LabelKind::multi_class)
    return "Sensitivity, specificity and F1 are of the likeliest class of each case.";
  if (evaluation.arguments.threshold.is_youden)
    return "Sensitivity, specificity and F1 are at Youden's threshold, found on these cases: they are optimistic, and "
           "their intervals take the threshold as given.";
  return "Sensitivity, specificity and F1 are at the threshold asked for (0.5 by default).";
}

std::vector<std::string> methods_of(const Evaluation& evaluation) {
  const auto& options = evaluation.arguments.statistics;
  std::vector<std::string> texts;
  texts.push_back(concat("Intervals: bootstrap (percentile and BCa, both in summary.json) with ", options.resamples,
                         " resamples of ", what_is_drawn(evaluation),
                         ". p-values are two-sided, and corrected by Holm's method within each metric and test."));
  if (evaluation.segmentation != nullptr) {
    const char* const unit =
        evaluation.segmentation->study.has_millimetres ? "millimetres" : "pixels, as pictures have no spacing";
    texts.push_back(concat(
        "HD95: 95th percentile of the surface distances of both directions together (\"pooled\"); the larger of the "
        "two directed percentiles is given too. The "
        "surface of a class are its voxels with a face neighbour outside; distances are between voxel centres, in ",
        unit,
        ". ASD: the mean of all surface distances of both directions. Surface Dice: the share of surface voxels of "
        "both within the tolerance of the other."));
    texts.emplace_back(
        "A case's mean over classes is over those that have a value. Tests of Dice compare paired values of cases (of "
        "patients where they have several).");
  } else {
    texts.emplace_back(
        "AUROC: ties count half. For a binary task, or one class against the rest, its interval is DeLong's where "
        "cases are independent; otherwise and for "
        "means the bootstrap's, "
        "stratified by class. AUPRC is average precision. Brier score: mean squared error of the probability (summed "
        "over classes that exclude each other). "
        "ECE: 10 bins.");
    texts.emplace_back(about_threshold(evaluation));
  }
  return texts;
}

}  // namespace

report::Page report_page(const Evaluation& evaluation, const std::vector<report::Figure>& figures) {
  report::Page page;
  page.title = evaluation.segmentation != nullptr ? "Segmentation: evaluation" : "Classification: evaluation";
  page.summary = headline(evaluation);
  page.facts = facts_of(evaluation);
  page.sections.push_back({.title = "Results", .tables = {result_table(evaluation)}});
  if (!evaluation.comparisons.empty())
    page.sections.push_back({.title = "Comparisons", .tables = {comparison_table(evaluation)}});
  if (!figures.empty()) page.sections.push_back({.title = "Figures", .figures = figures});
  const report::Table classes = class_table(evaluation);
  if (classes.columns.size() > 3) page.sections.push_back({.title = "Classes", .tables = {classes}});
  if (const report::Table tests = class_comparison_table(evaluation); !tests.rows.empty())
    page.sections.back().tables.push_back(tests);
  if (evaluation.segmentation != nullptr) {
    page.sections.push_back(case_section(evaluation));
  } else if (!evaluation.images.empty()) {
    page.sections.push_back(example_section(evaluation));
  }
  for (report::Section& section : data_sections(evaluation.models)) page.sections.push_back(std::move(section));
  report::Section methods{.title = "Methods", .paragraphs = methods_of(evaluation)};
  methods.listings.emplace_back("Command", evaluation.arguments.command_line);
  for (const EvalModel& model : evaluation.models) {
    if (!model.config_yaml.empty()) methods.listings.emplace_back("Config of " + model.name, model.config_yaml);
    if (!model.splits_text.empty()) methods.listings.emplace_back("Splits of " + model.name, model.splits_text);
    if (!model.versions.empty()) methods.listings.emplace_back("Versions that trained " + model.name, model.versions);
  }
  if (!evaluation.left_out.empty()) methods.listings.emplace_back("Cases left out", join(evaluation.left_out, "\n"));
  page.sections.push_back(std::move(methods));
  page.footer = concat("vmae ", version(), " (", git_revision(), ")");
  return page;
}

}  // namespace vmae::run
