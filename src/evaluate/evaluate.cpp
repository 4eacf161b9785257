#include "vmae/evaluate/evaluate.h"

#include <algorithm>
#include <chrono>
#include <iostream>

#include "report/output.h"
#include "vmae/cases/class_names.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/clock.h"
#include "vmae/core/log.h"
#include "vmae/core/machine.h"
#include "vmae/core/text.h"
#include "vmae/prepare/names_table.h"
#include "vmae/runs/run_record.h"
#include "vmae/sources/csv.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

constexpr const char *kTables = "tables", *kFigures = "figures", *kCases = "cases.csv", *kSummary = "summary.json",
                     *kReport = "report.html";

std::vector<EvalModel> open_models(const EvalArguments& arguments) {
  std::vector<EvalModel> models;
  for (const fs::path& path : arguments.predictions) models.push_back(open_predictions(path));
  for (const fs::path& run : arguments.runs) {
    const bool is_baseline = fs::is_directory(run) && !is_run(run);  // beside runs
    models.push_back(is_baseline ? open_predictions(run) : open_run(run, arguments.part));
  }
  if (models.empty()) throw Error(ExitCode::usage, "nothing to evaluate", "give --pred and --truth, or --run");
  if (!arguments.names.empty() && arguments.names.size() != models.size())
    throw Error(ExitCode::usage,
                concat("--names has ", arguments.names.size(), " names for ", models.size(), " models"),
                "give one for each --pred and --run, in this order");
  if (!arguments.fractions.empty() && arguments.fractions.size() != models.size())
    throw Error(ExitCode::usage,
                concat("--fractions has ", arguments.fractions.size(), " numbers for ", models.size(), " models"),
                "give one for each, in their order");
  for (size_t m = 0; m < models.size(); ++m) {
    if (!arguments.names.empty()) models[m].name = arguments.names[m];
    if (!arguments.fractions.empty()) models[m].label_fraction = arguments.fractions[m];
    for (size_t k = 0; k < m; ++k) {
      if (models[k].name == models[m].name)
        throw Error(ExitCode::usage,
                    concat("two models are called ", models[m].name, ": ", models[k].predictions.string(), " and ",
                           models[m].predictions.string()),
                    "name them: --names A,B");
    }
    if (is_classification(models[m]) && models[m].name == "label")
      throw Error(ExitCode::usage, "a model may not be called label: so are the columns of the truth in cases.csv",
                  "name it: --names A,B");
    if (is_classification(models[m]) != is_classification(models[0]))
      throw Error(ExitCode::data, concat(models[m].name, " and ", models[0].name,
                                         " can't be compared: one has label maps, the other scores"));
    std::vector<std::string> own = models[m].class_names, others = models[0].class_names;
    const bool has_label_maps = !is_classification(models[m]);  // whose classes are matched by name
    for (auto* names : {&own, &others}) {
      if (has_label_maps) std::sort(names->begin(), names->end());
    }
    if (!own.empty() && !others.empty() && own != others)
      throw Error(
          ExitCode::data,
          concat(models[m].name, " has the classes [", join(models[m].class_names, ", "), "], ", models[0].name, " [",
                 join(models[0].class_names, ", "), "]"),
          has_label_maps
              ? "evaluate them by themselves, or give label maps in one numbering and say what it means: --classes"
              : "");
  }
  return models;
}

// The test files of all runs, which must agree, by their names in the source where `names` has them; none: no run says.
std::optional<std::set<std::string>> common_test_files(const std::vector<EvalModel>& models, const NamesTable* names) {
  std::map<std::string, std::string> in_source;
  if (names != nullptr) {
    for (const NamedCase& one : names->cases) in_source[one.name] = one.source;
  }
  std::optional<std::set<std::string>> common;
  for (const EvalModel& model : models) {
    if (model.run.empty() || !model.test_files) continue;
    std::set<std::string> files;
    for (const std::string& name : *model.test_files) {
      const auto found = in_source.find(name);
      files.insert(found == in_source.end() ? name : found->second);
    }
    if (common && files != *common)
      throw Error(ExitCode::data,
                  concat(model.name, " was tested on ", files.size(), " cases, another run on ", common->size(),
                         ", and they are not the same"),
                  "train both with the same data.splits and fold; of a run on a prepared dataset and one on its files, "
                  "give the files as --truth, and --names-table");
    common = std::move(files);
  }
  return common;
}

// Throws Error(data) where `truth` is a prepared dataset that has been made anew since it was predicted.
void require_same_dataset(const std::vector<EvalModel>& models, const fs::path& truth) {
  if (!io::is_prepared(truth)) return;
  const std::string digest = io::PreparedDataset(truth).info().digest;
  for (const EvalModel& model : models) {
    std::error_code ignored;
    if (model.dataset_digest.empty() || model.dataset_digest == digest ||
        !fs::equivalent(model.dataset, truth, ignored))
      continue;
    throw Error(ExitCode::data,
                concat(model.name, " predicted another state of ", truth.string(),
                       ": the dataset has been prepared anew since then"),
                "predict again, or give the dataset that was predicted as --truth");
  }
}

std::string columns_text(const EvalModel& model) {
  return model.findings.empty() ? "columns that it does not name"
                                : concat("the columns [", join(model.findings, ", "), "]");
}

// Columns of the truth that are the labels: as given, or those of the runs, which must agree.
std::vector<std::string> findings_of(const EvalArguments& arguments, const std::vector<EvalModel>& models) {
  if (!arguments.findings.empty()) return arguments.findings;
  const EvalModel* first = nullptr;
  for (const EvalModel& model : models) {
    if (model.run.empty()) continue;
    if (!first) first = &model;
    if (to_lower(join(model.findings, "\n")) != to_lower(join(first->findings, "\n")))
      throw Error(ExitCode::data,
                  concat("data.findings: ", first->name, " was trained on ", columns_text(*first), ", ", model.name,
                         " on ", columns_text(model)),
                  "compare runs of the same labels, or say which columns are the truth: --findings");
  }
  return first ? first->findings : std::vector<std::string>{};
}

// A table of labels says all of it itself.
void refuse_options_of_sources(const EvalArguments& arguments) {
  if (!arguments.patients.empty())
    throw Error(ExitCode::usage, "--patients is not for tables of labels", "give the table a column patient");
  if (!arguments.findings.empty())
    throw Error(ExitCode::usage, "--findings is not for tables of labels", "give the table the columns that count");
}

// Where the truth is: as given, or where the runs have it, which must agree; empty: nothing says.
std::string path_of_truth(const EvalArguments& arguments, const std::vector<EvalModel>& models) {
  if (!arguments.truth.empty()) return arguments.truth.string();
  std::string path;
  for (const EvalModel& model : models) {
    if (model.run.empty()) continue;
    if (path.empty()) path = model.truth;
    if (fs::weakly_canonical(model.truth) != fs::weakly_canonical(path))
      throw Error(ExitCode::data, concat(model.name, " was trained on ", model.truth, ", another run on ", path),
                  "give --truth");
  }
  return path;
}

// What the truth of a classification is: a table of labels, or a source, of which columns are the labels.
struct LabelColumns {
  bool is_label_table = false;
  std::vector<std::string> findings;
};

LabelColumns label_columns_of(const EvalArguments& arguments, const std::vector<EvalModel>& models,
                              const fs::path& path) {
  bool has_cases = false, has_images = false;
  if (!arguments.truth.empty() && fs::is_regular_file(path)) {
    const io::Csv table = io::read_csv(path);
    has_cases = table.column({"case", "name", "id"}).has_value();
    has_images = has_cases && table.column({"image", "image_path", "path"});
  }
  if (has_cases && !has_images) return {.is_label_table = true, .findings = {}};
  const std::vector<std::string> findings = findings_of(arguments, models);
  // A table of cases is read as it is: labels have the columns that
  // it says. One with images is a manifest where columns are named.
  return {.is_label_table = has_cases && findings.empty(), .findings = findings};
}

// An error of open_truth() that may be about `findings`: then says where these come from.
Error about_findings(const Error& error, bool are_users) {
  return {ExitCode::data,
          concat("the truth does not have the columns ", are_users ? "of --findings: " : "of the runs: ", error.what()),
          concat(error.hint(), error.hint().empty() ? "" : "; ",
                 "--findings says which columns of the truth are its labels")};
}

// Texts of all folders of predictions that must not become names.
std::vector<std::string> identifying_texts_of(const std::vector<EvalModel>& models) {
  std::vector<std::string> texts;
  for (const EvalModel& model : models) {
    const std::vector<std::string> own = identifying_texts_in(model.predictions);
    texts.insert(texts.end(), own.begin(), own.end());
  }
  return texts;
}

std::set<std::string> names_of_predictions(const std::vector<EvalModel>& models,
                                           const std::vector<std::string>& identifying) {
  std::set<std::string> names;
  for (const EvalModel& model : models) {
    for (const auto& [name, file] : list_label_maps(model.predictions, identifying)) {
      names.insert(name);
      names.insert(name.substr(name.find_last_of('/') + 1));  // as match_names() has it
    }
  }
  return names;
}

// The truth, and what its cases are called in a prepared dataset that was predicted.
struct NamedTruth {
  std::optional<Truth> truth;  // none: a table has the labels, that of the scores or one by itself
  std::optional<NamesTable> names;

  const NamesTable* names_table() const { return names ? &*names : nullptr; }
};

// The truth as given, or that of the runs, which must agree.
NamedTruth open_truth_of(const EvalArguments& arguments, const std::vector<EvalModel>& models) {
  const bool classifies = is_classification(models[0]);
  if (!arguments.findings.empty() && !classifies)
    throw Error(ExitCode::usage, "--findings is for classification", "leave it out");
  const std::string path = path_of_truth(arguments, models);
  if (path.empty() && !classifies)
    throw Error(ExitCode::usage, "--truth is missing", "give a folder of label maps, or a source with masks");
  NamedTruth named;
  if (path.empty()) {
    refuse_options_of_sources(arguments);
    return named;  // the table of scores has the labels
  }
  const auto [is_label_table, findings] = classifies ? label_columns_of(arguments, models, path) : LabelColumns{};
  named.names = names_between(arguments, models, path, is_label_table);
  require_same_dataset(models, path);
  const std::optional<std::set<std::string>> test_files = common_test_files(models, named.names_table());
  if (is_label_table) {
    refuse_options_of_sources(arguments);
    return named;
  }
  const std::vector<std::string> identifying = classifies ? std::vector<std::string>{} : identifying_texts_of(models);
  try {
    named.truth = open_truth(path, test_files, classifies, findings, identifying, named.names_table());
  } catch (const Error& error) {
    if (findings.empty() || error.code() != ExitCode::usage) throw;
    throw about_findings(error, /*are_users=*/!arguments.findings.empty());
  }
  if (!arguments.patients.empty()) read_patients(arguments.patients, *named.truth);
  if (classifies) return named;
  split_as_predicted(names_of_predictions(models, identifying), *named.truth);
  if (!arguments.images.empty()) add_images(arguments.images, *named.truth);
  return named;
}

// Each model with the first, of those with the same share of labels
// the first of them; or with the one named, or all with all.
std::vector<std::pair<size_t, size_t>> pairs_of(const EvalArguments& arguments, const std::vector<EvalModel>& models) {
  std::vector<std::pair<size_t, size_t>> pairs;
  if (arguments.reference == "all") {
    for (size_t a = 0; a < models.size(); ++a) {
      for (size_t b = a + 1; b < models.size(); ++b) pairs.emplace_back(a, b);
    }
    return pairs;
  }
  if (!arguments.reference.empty()) {
    size_t reference = models.size();
    for (size_t m = 0; m < models.size(); ++m) reference = models[m].name == arguments.reference ? m : reference;
    if (reference == models.size())
      throw Error(ExitCode::usage, concat("--reference ", arguments.reference, " is no model"),
                  "give the name of one, or all");
    for (size_t m = 0; m < models.size(); ++m) {
      if (m != reference) pairs.emplace_back(m, reference);
    }
    return pairs;
  }
  for (size_t m = 1; m < models.size(); ++m) {
    size_t first = 0;
    while (models[first].label_fraction != models[m].label_fraction) ++first;
    if (first == m) first = 0;
    pairs.emplace_back(first, m);
  }
  return pairs;
}

// Rows over all classes have names too.
void check_class_names(const std::vector<std::string>& classes) {
  for (const std::string& remark : io::check_class_names(classes, "classes", ExitCode::usage)) log::warning(remark);
  for (const std::string& name : classes) {
    if (metrics::is_whole(name))
      throw Error(ExitCode::usage, concat("a class may not be called ", name, ": so are rows over all classes"),
                  "rename it: --classes");
  }
}

void write_tables(const fs::path& output, const std::vector<report::Table>& tables) {
  fs::create_directories(output / kTables);
  for (const report::Table& table : tables) {
    if (table.rows.empty()) continue;
    write_file_atomically(output / kTables / (table.name + ".csv"), report::to_csv(table));
    write_file_atomically(output / kTables / (table.name + ".tex"), report::to_latex(table));
  }
}

// The folder of the report: as asked for, or beside the predictions of the only run.
fs::path output_of(const EvalArguments& arguments) {
  if (!arguments.output.empty()) return arguments.output;
  if (arguments.runs.size() != 1 || !arguments.predictions.empty())
    throw Error(ExitCode::usage, "--output is missing", "name a folder for the report");
  return arguments.runs[0] / "eval";
}

// Whether `path` is `place` or lies below it, however either is spelled.
bool is_at_or_below(const fs::path& path, const fs::path& place) {
  std::error_code absent;  // then neither is the other
  for (fs::path one = fs::weakly_canonical(path, absent);; one = one.parent_path()) {
    if (fs::equivalent(one, place, absent)) return true;
    if (one == one.parent_path()) return false;
  }
}

// A report may replace an older one, but nothing that it is made from, and does not mix with that.
void check_output_is_no_input(const EvalArguments& arguments, const std::vector<EvalModel>& models) {
  std::vector<fs::path> inputs{arguments.truth, arguments.images, arguments.patients, arguments.names_table};
  for (const EvalModel& model : models) {
    inputs.insert(inputs.end(), {model.predictions, model.dataset, model.run});
    if (arguments.truth.empty()) inputs.emplace_back(model.truth);
  }
  const fs::path& output = arguments.output;
  std::error_code absent;
  for (const fs::path& input : inputs) {
    if (input.empty()) continue;
    bool is_input = fs::equivalent(input, output, absent);
    for (const char* name : {kCases, kSummary, kReport, kTables, kFigures})
      is_input |= is_at_or_below(input, output / name);
    if (is_input)
      throw Error(ExitCode::usage,
                  concat("--output ", output.string(), ": the report's files would be written among, or over, ",
                         input.string(), ", which it is made from"),
                  "choose another folder");
  }
}

// Before hours are spent: throws Error(usage) where no report can go, or files would be lost.
void check_output(const EvalArguments& arguments) {
  const fs::path& output = arguments.output;
  std::error_code ignored;  // what can't be looked at is no file, and fails when it is written to
  if (fs::exists(output, ignored) && !fs::is_directory(output, ignored))
    throw Error(ExitCode::usage, concat(output.string(), " is a file where a folder is meant"),
                "choose another with --output");
  std::error_code problem;
  const bool is_taken = fs::is_directory(output, ignored) && !fs::is_empty(output, problem) && !arguments.overwrite;
  if (is_taken && problem)
    throw Error(ExitCode::usage, concat(output.string(), " can't be listed: ", problem.message()));
  if (is_taken)
    throw Error(ExitCode::usage, concat(output.string(), " is not empty"),
                "choose another folder with --output, or replace its files with --overwrite");
}

void add_calibration(const metrics::ClassificationStudy& study, Evaluation& evaluation) {
  const size_t count = study.kind == metrics::LabelKind::multi_class ? 1 : study.classes.size();
  for (size_t m = 0; m < study.models.size(); ++m) {
    const metrics::Decisions decisions(study, m, evaluation.thresholds[m]);
    auto& of_model = evaluation.calibration.emplace_back();
    for (size_t c = 0; c < count; ++c)
      of_model.push_back(metrics::calibration_of(study, decisions, c, evaluation.arguments.statistics));
  }
}

// Labels and scores go into `study`, to which `evaluation` points from then on.
void evaluate_classification(const NamedTruth& named, Problems& problems, metrics::ClassificationStudy& study,
                             Evaluation& evaluation) {
  const EvalArguments& arguments = evaluation.arguments;
  const std::vector<EvalModel>& models = evaluation.models;
  auto start = Clock::now();
  study = read_classifications(arguments, models, named.truth, named.names_table(), problems, evaluation.patients);
  evaluation.classification = &study;
  check_class_names(study.classes);
  log::info(concat(study.cases.size(), " cases, ", models.size(), models.size() == 1 ? " model" : " models"));
  evaluation.read_and_score_s = seconds_since(start);
  start = Clock::now();
  evaluation.images = images_of_cases(arguments, models, named.truth, study.cases);
  evaluation.thresholds = metrics::thresholds_of(study, arguments.threshold);
  metrics::ClassificationResult result = metrics::evaluate(study, arguments.threshold, arguments.statistics);
  evaluation.estimates = std::move(result.estimates);
  evaluation.comparisons = std::move(result.comparisons);
  add_calibration(study, evaluation);
  evaluation.statistics_s = seconds_since(start);
}

// Label maps are scored into `input`, to which `evaluation` points from then on.
void evaluate_segmentation(const NamedTruth& named, Problems& problems, SegmentationInput& input,
                           Evaluation& evaluation) {
  const EvalArguments& arguments = evaluation.arguments;
  const std::vector<EvalModel>& models = evaluation.models;
  auto start = Clock::now();
  log::info(concat("comparing ", named.truth->cases.size(), " cases, ", models.size(),
                   models.size() == 1 ? " model" : " models"));
  input = score_segmentations(arguments, models, *named.truth, named.names_table(), problems);
  evaluation.segmentation = &input;
  check_class_names(input.study.classes);
  for (const SegmentationCase& one : input.cases)
    evaluation.patients.add(one.truth.patient, one.truth.is_patient_known);
  evaluation.ignore_label = input.ignore_label;
  evaluation.read_and_score_s = seconds_since(start);
  start = Clock::now();
  evaluation.estimates = metrics::estimate(input.study, arguments.statistics);
  evaluation.comparisons = metrics::compare(input.study, arguments.statistics);
  evaluation.statistics_s = seconds_since(start);
}

// Into the folder, and what matters most to the terminal.
void write_report(const Evaluation& evaluation) {
  const fs::path& output = evaluation.arguments.output;
  const std::vector<report::Figure> figures = figures_of(evaluation);
  const report::Table results = result_table(evaluation), comparisons = comparison_table(evaluation);
  std::error_code problem;
  if (fs::create_directories(output / kFigures, problem); problem)
    throw Error(ExitCode::usage, concat("can't create ", output.string(), ": ", problem.message()),
                "choose another folder with --output");
  write_file_atomically(output / kCases, cases_csv(evaluation));
  write_tables(output, {results, class_table(evaluation), comparisons, class_comparison_table(evaluation)});
  for (const report::Figure& figure : figures)
    write_file_atomically(output / kFigures / (figure.name + ".svg"), figure.svg);
  write_file_atomically(output / kSummary, summary_json(evaluation));
  write_file_atomically(output / kReport, report::to_html(report_page(evaluation, figures)));

  std::cout << report::to_text(results);
  if (!comparisons.rows.empty()) std::cout << "\n" << report::to_text(comparisons);
  std::cout << "\n" << headline(evaluation) << "\n";
  std::cout << "report: " << (output / kReport).string() << "\n";
}

}  // namespace

ExitCode evaluate(const EvalArguments& given) {
  EvalArguments arguments = given;
  arguments.output = output_of(given);
  std::error_code absent;  // a folder that is still to be made: "new/../pred" is pred
  const fs::path place = fs::weakly_canonical(arguments.output, absent);
  if (!absent && !fs::exists(arguments.output, absent)) arguments.output = place;
  std::vector<EvalModel> models = open_models(arguments);
  check_output_is_no_input(arguments, models);  // first: --overwrite is no way out of that
  check_output(arguments);
  find_datasets(models);
  arguments.statistics.pairs = pairs_of(arguments, models);
  const NamedTruth named = open_truth_of(arguments, models);

  Evaluation evaluation{.arguments = arguments, .models = models, .estimates = {}, .comparisons = {}};
  Problems problems(arguments.skip_bad_cases);
  metrics::ClassificationStudy classification;  // one of the two
  SegmentationInput segmentation;
  if (is_classification(models[0])) {
    evaluate_classification(named, problems, classification, evaluation);
  } else {
    evaluate_segmentation(named, problems, segmentation, evaluation);
  }
  evaluation.left_out = problems.all();
  if (named.truth) evaluation.remarks = named.truth->remarks;
  for (const EvalModel& model : models) {
    if (!model.seen_before.empty()) evaluation.remarks.push_back(concat(model.name, ": ", model.seen_before));
  }
  evaluation.remarks.insert(evaluation.remarks.end(), segmentation.remarks.begin(), segmentation.remarks.end());

  write_report(evaluation);
  return problems.empty() ? ExitCode::ok : ExitCode::some_failed;
}

}  // namespace vmae::run
