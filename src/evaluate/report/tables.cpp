// The tables of `vmae eval`, from estimates and comparisons.
#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "output.h"
#include "vmae/core/text.h"

namespace vmae::run {

namespace {

using metrics::Comparison;
using metrics::Estimate;
using report::Table;

const metrics::SegmentationMetric* segmentation_metric(const std::string& name) {
  for (const metrics::SegmentationMetric& known : metrics::segmentation_metrics()) {
    if (known.name == name) return &known;
  }
  return nullptr;
}

// Digits after the point: shares three, millimetres and millilitres two.
int digits_of(const std::string& metric) {
  const auto* const known = segmentation_metric(metric);
  return known != nullptr && !known->unit.empty() ? 2 : 3;
}

std::string title_of(const Evaluation& evaluation, const std::string& metric) {
  if (evaluation.segmentation != nullptr) {
    const auto* const known = segmentation_metric(metric);
    return known->title + (known->unit.empty() ? "" : " (" + evaluation.unit_of(*known) + ")");
  }
  std::string title = metric;
  std::replace(title.begin(), title.end(), '_', ' ');
  return title;
}

std::string cell(const Estimate& estimate) {
  const int digits = digits_of(estimate.metric);
  if (estimate.intervals.empty() || std::isnan(estimate.intervals[0].low))
    return report::number(estimate.value, digits);
  return report::with_interval(estimate.value, estimate.intervals[0].low, estimate.intervals[0].high, digits);
}

// Metrics in the order of the estimates.
std::vector<std::string> metrics_of(const Evaluation& evaluation) {
  std::vector<std::string> metrics;
  for (const Estimate& estimate : evaluation.estimates) {
    // volumes of pictures, distances that were not asked for
    if (evaluation.segmentation != nullptr && estimate.n == 0) continue;
    if (std::find(metrics.begin(), metrics.end(), estimate.metric) == metrics.end()) metrics.push_back(estimate.metric);
  }
  return metrics;
}

// Those of the table of results; the table of classes has all.
std::vector<std::string> main_metrics_of(const Evaluation& evaluation) {
  std::vector<std::string> metrics = metrics_of(evaluation);
  if (evaluation.segmentation == nullptr) return metrics;
  std::erase_if(metrics, [](const std::string& metric) {
    return metric == "IoU" || metric == "sensitivity" || metric == "precision" || metric == "HD95_max_directed";
  });
  return metrics;
}

// What n counts, and numbers are the means of.
std::string units_of(const Evaluation& evaluation) {
  return evaluation.arguments.per_slice && evaluation.segmentation != nullptr ? "slices" : "cases";
}

// What is resampled, and tested.
std::string groups_of(const Evaluation& evaluation) {
  if (evaluation.num_patients() == evaluation.num_cases()) return units_of(evaluation);
  // without patients, of slices those of one case belong together
  return evaluation.has_patients() ? "patients" : "cases";
}

const char* empty_text(metrics::EmptyRule rule) {
  if (rule == metrics::EmptyRule::leave_out) return "left out";
  return rule == metrics::EmptyRule::one ? "counts as 1" : "counts as 0";
}

std::vector<std::string> notes_of(const Evaluation& evaluation) {
  const auto& options = evaluation.arguments.statistics;
  std::vector<std::string> notes;
  std::set<std::string> methods;
  for (const Estimate& estimate : evaluation.estimates) {
    if (!estimate.intervals.empty()) methods.insert(estimate.intervals[0].method);
  }
  notes.push_back(concat("In brackets: ", report::number(100 * options.level, 0), " % confidence intervals (",
                         join({methods.begin(), methods.end()}, ", "), "; ", options.resamples,
                         " bootstrap resamples of ", groups_of(evaluation), ", seed ", options.seed, ")."));
  if (evaluation.num_cases() < metrics::kFewCases)
    notes.push_back(concat("Few cases: fewer than ", metrics::kFewCases,
                           ". Their intervals say little: a bootstrap knows nothing of cases that were not seen."));
  if (evaluation.segmentation != nullptr) {
    if (evaluation.arguments.per_slice) {
      notes.push_back(concat("Each number is the mean over all slices with a value, ", evaluation.num_cases(),
                             " at most, not over ", evaluation.has_patients() ? "patients" : "cases",
                             ": one with more slices counts for more."));
    } else {
      notes.emplace_back("Each number is the mean over the cases with a value.");
    }
    notes.push_back(
        concat("n: ", units_of(evaluation), " with a value. A class in neither mask: ",
               empty_text(evaluation.arguments.segmentation.empty), "; in one of the two: Dice 0, distances ",
               evaluation.arguments.segmentation.is_missing_diagonal ? "the image's diagonal" : "left out", "."));
  }
  return notes;
}

// The models' Dice are means over other cases: what finds nothing
// where nothing is has no value there, and what finds something has 0.
bool are_of_other_cases(const Evaluation& evaluation) {
  if (evaluation.segmentation == nullptr) return false;
  std::set<int64_t> numbers;
  for (size_t m = 0; m < evaluation.models.size(); ++m) {
    if (const Estimate* estimate = evaluation.find(m, "Dice", "")) numbers.insert(estimate->n);
  }
  return numbers.size() > 1;
}

// What is remarkable about the estimates that `is_here`: each text once for a model and class, with all of its metrics.
void add_remarks(const Evaluation& evaluation, const std::function<bool(const Estimate&)>& is_here, Table& table) {
  constexpr size_t kMost = 200;  // summary.json has all
  struct Remark {
    std::string whose, text, metrics;
  };
  std::vector<Remark> remarks;
  for (const Estimate& estimate : evaluation.estimates) {
    std::string text = estimate.remark;
    if (!estimate.intervals.empty() && !estimate.intervals[0].remark.empty())
      text += (text.empty() ? "" : "; ") + estimate.intervals[0].remark;
    if (text.empty() || !is_here(estimate)) continue;
    std::string whose = evaluation.models[estimate.model].name;
    if (!evaluation.is_main(estimate.class_name)) whose += ", " + estimate.class_name;
    const std::string metric = title_of(evaluation, estimate.metric);
    const auto same = std::find_if(remarks.begin(), remarks.end(),
                                   [&](const Remark& one) { return one.whose == whose && one.text == text; });
    if (same == remarks.end()) {
      remarks.push_back({whose, text, metric});
    } else {
      // of a class, and of the mean over this class alone
      const bool is_there = same->metrics == metric || same->metrics.ends_with(", " + metric);
      if (!is_there) same->metrics += ", " + metric;
    }
  }
  for (size_t i = 0; i < std::min(remarks.size(), kMost); ++i)
    table.remarks.push_back(concat(remarks[i].metrics, " of ", remarks[i].whose, ": ", remarks[i].text, "."));
  if (remarks.size() > kMost)
    table.remarks.push_back(concat("And ", remarks.size() - kMost, " more: see summary.json."));
}

}  // namespace

bool Evaluation::is_main(const std::string& class_name) const {
  const size_t num_classes =
      segmentation != nullptr ? segmentation->study.classes.size() : classification->classes.size();
  return class_name == "mean" || class_name == "macro" || class_name == "all" || num_classes == 1;
}

const Estimate* Evaluation::find(size_t model, const std::string& metric, const std::string& class_name) const {
  for (const Estimate& estimate : estimates) {
    const bool is_row = class_name.empty() ? is_main(estimate.class_name) : estimate.class_name == class_name;
    if (estimate.model == model && estimate.metric == metric && is_row) return &estimate;
  }
  return nullptr;
}

size_t Evaluation::num_patients() const {
  const auto& of_cases = segmentation != nullptr ? segmentation->study.patients : classification->patients;
  return of_cases.empty() ? num_cases() : std::set<std::string>(of_cases.begin(), of_cases.end()).size();
}

Table result_table(const Evaluation& evaluation) {
  Table table{.name = "results", .caption = "All models, over all classes"};
  if (units_of(evaluation) == "slices") table.caption += "; means over slices";
  table.columns = {"Model", "n"};
  table.is_number = {false, true};
  const std::vector<std::string> metrics = main_metrics_of(evaluation);
  for (const std::string& metric : metrics) {
    table.columns.push_back(title_of(evaluation, metric));
    table.is_number.push_back(true);
  }
  bool n_differs = false;
  for (size_t m = 0; m < evaluation.models.size(); ++m) {
    std::vector<std::string> row{evaluation.models[m].name, ""};
    int64_t most = 0;
    for (const std::string& metric : metrics) {
      const Estimate* estimate = evaluation.find(m, metric, "");
      most = std::max(most, estimate != nullptr ? estimate->n : 0);
    }
    row[1] = std::to_string(most);
    for (const std::string& metric : metrics) {
      const Estimate* estimate = evaluation.find(m, metric, "");
      row.push_back(estimate != nullptr ? cell(*estimate) : "-");
      if (estimate != nullptr && estimate->n < most) {
        row.back() += concat(" [n=", estimate->n, "]");
        n_differs = true;
      }
    }
    table.rows.push_back(std::move(row));
  }
  table.notes = notes_of(evaluation);
  if (are_of_other_cases(evaluation))
    table.notes.push_back(
        concat("n differs between the models: in ", units_of(evaluation),
               " where the truth has nothing, one that finds nothing has no Dice and one that finds something has 0, "
               "so these means are of "
               "different cases, and the differences of the common ones alone. --empty one counts all."));
  if (n_differs)
    table.notes.push_back(concat("[n=...]: fewer ", units_of(evaluation), " have a value of this metric."));
  for (const std::string& remark : evaluation.remarks) table.remarks.push_back(remark + ".");
  const auto is_here = [&](const Estimate& one) {
    return evaluation.is_main(one.class_name) && std::find(metrics.begin(), metrics.end(), one.metric) != metrics.end();
  };
  add_remarks(evaluation, is_here, table);
  return table;
}

Table class_table(const Evaluation& evaluation) {
  Table table{.name = "classes", .caption = "Every class and model", .num_row_headers = 2};
  if (units_of(evaluation) == "slices") table.caption += "; means over slices";
  table.columns = {"Class", "Model", "n"};
  table.is_number = {false, false, true};
  const std::vector<std::string> metrics = metrics_of(evaluation);
  std::vector<std::string> shown, class_names;
  for (const std::string& metric : metrics) {
    const bool is_of_classes = std::any_of(
        evaluation.estimates.begin(), evaluation.estimates.end(),
        [&](const Estimate& estimate) { return estimate.metric == metric && !metrics::is_whole(estimate.class_name); });
    if (!is_of_classes) continue;
    shown.push_back(metric);
    table.columns.push_back(title_of(evaluation, metric));
    table.is_number.push_back(true);
  }
  for (const Estimate& estimate : evaluation.estimates) {
    if (std::find(class_names.begin(), class_names.end(), estimate.class_name) == class_names.end() &&
        estimate.class_name != "all")
      class_names.push_back(estimate.class_name);
  }
  for (const std::string& name : class_names) {
    for (size_t m = 0; m < evaluation.models.size(); ++m) {
      const Estimate* first = evaluation.find(m, shown.empty() ? metrics[0] : shown[0], name);
      std::string n = first != nullptr ? std::to_string(first->n) : "-";
      if (first != nullptr && first->num_positive >= 0) n += concat(" (", first->num_positive, " positive)");
      std::vector<std::string> row{name, evaluation.models[m].name, n};
      for (const std::string& metric : shown) {
        const Estimate* estimate = evaluation.find(m, metric, name);
        row.push_back(estimate == nullptr ? "-" : cell(*estimate));
        if (estimate != nullptr && first != nullptr && estimate->n != first->n)
          row.back() += concat(" [n=", estimate->n, "]");
      }
      table.rows.push_back(std::move(row));
    }
  }
  const std::vector<std::string> main_metrics = main_metrics_of(evaluation);
  const auto is_here = [&](const Estimate& one) {  // and not in the table of results
    return std::find(class_names.begin(), class_names.end(), one.class_name) != class_names.end() &&
           std::find(shown.begin(), shown.end(), one.metric) != shown.end() &&
           (!evaluation.is_main(one.class_name) ||
            std::find(main_metrics.begin(), main_metrics.end(), one.metric) == main_metrics.end());
  };
  add_remarks(evaluation, is_here, table);
  return table;
}

namespace {

// "Wilcoxon signed-rank (exact)" and "(normal)" are one column.
std::string short_name(const std::string& method) { return method.substr(0, method.find(" (")); }

// Comparisons over all classes, or class by class, of the metrics that were measured.
std::vector<const Comparison*> comparisons_of(const Evaluation& evaluation, bool is_of_classes) {
  const std::vector<std::string> measured = metrics_of(evaluation);
  std::vector<const Comparison*> comparisons;
  for (const Comparison& one : evaluation.comparisons) {
    if (std::find(measured.begin(), measured.end(), one.metric) == measured.end()) continue;
    const bool is_over_all = evaluation.is_main(one.class_name) || metrics::is_whole(one.class_name);
    if (is_of_classes != is_over_all) comparisons.push_back(&one);
  }
  return comparisons;
}

// In the order in which comparisons have them.
std::vector<std::string> test_methods_of(const std::vector<const Comparison*>& comparisons) {
  std::vector<std::string> methods;
  for (const Comparison* comparison : comparisons) {
    for (const metrics::Test& test : comparison->tests) {
      if (std::find(methods.begin(), methods.end(), short_name(test.method)) == methods.end())
        methods.push_back(short_name(test.method));
    }
  }
  return methods;
}

std::string models_text(const Evaluation& evaluation, const Comparison& comparison) {
  return evaluation.models[comparison.a].name + " - " + evaluation.models[comparison.b].name;
}

// Each once, sorted.
std::vector<std::string> test_remarks_of(const Evaluation& evaluation,
                                         const std::vector<const Comparison*>& comparisons) {
  std::set<std::string> remarks;
  for (const Comparison* comparison : comparisons) {
    for (const metrics::Test& test : comparison->tests) {
      if (!test.remark.empty())
        remarks.insert(concat(models_text(evaluation, *comparison), ", ", test.method, ", ",
                              title_of(evaluation, comparison->metric), ", ", comparison->class_name, ": ", test.remark,
                              "."));
    }
  }
  return {remarks.begin(), remarks.end()};
}

bool says_few(const metrics::Test& test) { return !std::isnan(test.p) && is_few(test); }

// "0.012 [0.036] (few cases)"; "-": the comparison has no such test.
std::string p_cell(const Comparison& comparison, const std::string& method) {
  std::string text = "-";
  for (const metrics::Test& test : comparison.tests) {
    if (short_name(test.method) != method) continue;
    text = report::p_text(test.p);
    if (!std::isnan(test.p)) text += " [" + report::p_text(test.p_holm) + "]";
    if (says_few(test)) text += " (few cases)";
  }
  return text;
}

std::string count_note(const Evaluation& evaluation) {
  if (evaluation.num_patients() >= evaluation.num_cases()) return concat("n: ", units_of(evaluation), ".");
  return concat(
      "n: ", units_of(evaluation), ", of ", evaluation.num_patients(), " ", groups_of(evaluation), ". The ",
      groups_of(evaluation), " are what is resampled",
      evaluation.segmentation != nullptr ? ", and the t-test and the Wilcoxon test are of their means." : ".");
}

// How the table of tests is read.
std::vector<std::string> test_notes_of(const Evaluation& evaluation, bool is_of_classes, bool has_few) {
  std::vector<std::string> notes{
      concat("Two-sided p-values; in square brackets corrected by Holm's method for the number of comparisons",
             is_of_classes ? " and classes." : "."),
      count_note(evaluation)};
  if (has_few)
    notes.push_back(
        concat("Few cases: the p-value is computed from fewer than ", metrics::kFewCases,
               evaluation.has_patients() ? " cases or patients" : " cases",
               ". It then says little, whether it is large or small: look at the differences case by case."));
  const int64_t resamples = evaluation.arguments.statistics.resamples;
  notes.push_back(concat("The smallest p-value that ", resamples, " resamples can give is ",
                         report::number(2.0 / static_cast<double>(resamples + 1), 4), ": --resamples."));
  return notes;
}

// A row per comparison, a column per test.
Table tests_table(const Evaluation& evaluation, bool is_of_classes) {
  const std::vector<const Comparison*> comparisons = comparisons_of(evaluation, is_of_classes);
  const std::vector<std::string> methods = test_methods_of(comparisons);
  Table table{.name = is_of_classes ? "class_comparisons" : "comparisons",
              .caption = is_of_classes ? std::string("Differences between models, class by class")
                                       : concat("Differences between models on the same ", units_of(evaluation),
                                                ", over all classes"),
              .num_row_headers = is_of_classes ? 3U : 2U};
  table.columns = {"Comparison", "Metric"};
  if (is_of_classes) table.columns.emplace_back("Class");
  table.columns.insert(table.columns.end(), {"n", "Difference"});
  for (const std::string& method : methods) table.columns.push_back("p, " + method);
  table.is_number.assign(table.columns.size(), true);
  std::fill_n(table.is_number.begin(), table.num_row_headers, false);
  bool has_few = false;
  for (const Comparison* comparison : comparisons) {
    const bool is_micro = comparison->class_name == "micro";
    std::vector<std::string> row{models_text(evaluation, *comparison),
                                 title_of(evaluation, comparison->metric) + (is_micro ? ", micro" : "")};
    if (is_of_classes) row.push_back(comparison->class_name);
    row.push_back(std::to_string(comparison->n));
    row.push_back(report::with_interval(comparison->difference, comparison->intervals.at(0).low,
                                        comparison->intervals.at(0).high, digits_of(comparison->metric)));
    for (const std::string& method : methods) row.push_back(p_cell(*comparison, method));
    has_few |= std::any_of(comparison->tests.begin(), comparison->tests.end(), says_few);
    table.rows.push_back(std::move(row));
  }
  table.notes = test_notes_of(evaluation, is_of_classes, has_few);
  table.remarks = test_remarks_of(evaluation, comparisons);
  return table;
}

}  // namespace

Table comparison_table(const Evaluation& evaluation) { return tests_table(evaluation, /*is_of_classes=*/false); }
Table class_comparison_table(const Evaluation& evaluation) { return tests_table(evaluation, /*is_of_classes=*/true); }

std::string headline(const Evaluation& evaluation) {
  const std::string metric = evaluation.segmentation != nullptr ? "Dice" : "AUROC";
  const bool has_other_n = are_of_other_cases(evaluation);
  std::vector<std::string> parts;
  for (size_t m = 0; m < evaluation.models.size(); ++m) {
    const Estimate* estimate = evaluation.find(m, metric, "");
    if (estimate != nullptr)
      parts.push_back(
          concat(evaluation.models[m].name, " ", cell(*estimate), has_other_n ? concat(" [n=", estimate->n, "]") : ""));
  }
  std::string text = concat(metric, ": ", join(parts, ", "));
  for (const Comparison& comparison : evaluation.comparisons) {
    if (comparison.metric != metric || !evaluation.is_main(comparison.class_name) || comparison.tests.empty()) continue;
    const metrics::Test& test = comparison.tests[0];
    const std::string p = report::p_text(test.p_holm);
    if (evaluation.comparisons.size() > 1 && evaluation.models.size() == 2)
      text += concat(
          "; difference ",
          report::with_interval(comparison.difference, comparison.intervals[0].low, comparison.intervals[0].high),
          ", p ", p[0] == '<' ? "" : "= ", p, " (", test.method, is_few(test) ? "; few cases" : "", ")");
    break;
  }
  const size_t patients = evaluation.num_patients(), cases = evaluation.num_cases();
  const bool is_per_slice = units_of(evaluation) == "slices";
  std::string what = cases == 1 ? " case" : " cases";
  if (is_per_slice) {
    what = " slices";
    text = metric + ", mean over slices" + text.substr(metric.size());
  }
  text += concat("; ", cases, what);
  if (patients == cases) return text;
  if (evaluation.has_patients()) return text + evaluation.patients.suffix();
  // Images that belong together, though nothing says whose they are: slices of a case, channels of one.
  const char* const whole = is_per_slice ? "case" : "group";
  return text + concat(is_per_slice ? " of " : " in ", patients, " ", whole, patients == 1 ? "" : "s");
}

}  // namespace vmae::run
