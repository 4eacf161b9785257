// Tables of scores and labels become a study. Every wrong cell is refused with its line.
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "input.h"
#include "vmae/cases/class_names.h"
#include "vmae/core/log.h"
#include "vmae/core/text.h"
#include "vmae/sources/csv.h"
#include "vmae/sources/patients.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const io::Csv& csv, int64_t line, const std::string& what, const std::string& hint = "") {
  throw Error(ExitCode::data, concat(csv.name, ":", line, ": ", what), hint);
}

const std::vector<std::string> case_columns{"case", "name", "id", "image", "file", "filename"},
    label_columns{"label", "truth", "target", "class"}, other_columns{"slices", "split", "fold", "modality"};

bool is_one_of(const std::string& column, const std::vector<std::string>& names) {
  return std::find(names.begin(), names.end(), to_lower(column)) != names.end();
}

// Columns that are neither a case's name nor what is known of it.
std::vector<size_t> value_columns(const io::Csv& csv) {
  std::vector<size_t> columns;
  for (size_t c = 0; c < csv.columns.size(); ++c) {
    const std::string& name = csv.columns[c];
    if (!is_one_of(name, case_columns) && !is_one_of(name, label_columns) && !io::seems_to_name_patients(name) &&
        !is_one_of(name, other_columns))
      columns.push_back(c);
  }
  return columns;
}

size_t case_column(const io::Csv& csv) {
  const auto column = csv.column(case_columns);
  if (!column) fail(csv, 1, "no column for the cases; its columns are: " + join(csv.columns, ", "), "name it case");
  return *column;
}

// Line by line, each case once.
std::unordered_map<std::string, size_t> rows_by_case(const io::Csv& csv) {
  const size_t column = case_column(csv);
  if (csv.rows.empty()) fail(csv, 1, "has a header, but no rows");
  std::unordered_map<std::string, size_t> rows;
  for (size_t i = 0; i < csv.rows.size(); ++i) {
    const std::string& name = csv.rows[i].fields[column];
    if (name.empty()) fail(csv, csv.rows[i].line, "the case has no name");
    const auto [first, is_new] = rows.emplace(name, i);
    if (!is_new)
      fail(csv, csv.rows[i].line, concat("case ", name, " stands in line ", csv.rows[first->second].line, " already"));
  }
  return rows;
}

// What is true, whichever file said so.
struct Labels {
  std::vector<std::string> cases, patients;
  std::vector<bool> knows_patient;
  bool is_multi_label = false;
  std::vector<std::string> names;             // findings; or classes, sorted
  std::vector<std::string> class_of_case;     // not of findings
  std::vector<std::vector<int8_t>> findings;  // [finding][case]

  // 1, 0 or (findings) -1, not known: of every case.
  std::vector<int8_t> values_of(const std::string& name) const {
    if (is_multi_label)
      return findings[static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin())];
    std::vector<int8_t> values;
    for (const std::string& one : class_of_case) values.push_back(one == name ? 1 : 0);
    return values;
  }
};

void warn_of(const std::vector<std::string>& remarks) {
  for (const std::string& remark : remarks) log::warning(remark);
}

// Classes are compared by what they mean: "1.0" is 1.
std::vector<std::string> class_names(std::vector<std::string> names, const std::string& where,
                                     ExitCode code = ExitCode::data) {
  io::check_class_names(names, where, code);
  for (std::string& name : names) name = io::class_name(name);
  return names;
}

Labels from_csv(const io::Csv& csv) {
  Labels labels;
  const size_t name_column = case_column(csv);
  const auto label_column = csv.column(label_columns), patient_column = io::patient_column(csv);
  rows_by_case(csv);
  const std::vector<size_t> columns = label_column ? std::vector<size_t>{} : value_columns(csv);
  if (!label_column && columns.empty())
    fail(csv, 1, "no column label, and none for findings; its columns are: " + join(csv.columns, ", "));
  labels.is_multi_label = !label_column;
  for (const size_t c : columns) labels.names.push_back(io::class_name(csv.columns[c]));
  labels.findings.resize(columns.size());
  std::set<std::string> classes;
  for (const io::CsvRow& row : csv.rows) {
    labels.cases.push_back(row.fields[name_column]);
    labels.patients.push_back(patient_column ? io::patient_id(row.fields[*patient_column]) : labels.cases.back());
    labels.knows_patient.push_back(patient_column.has_value());
    if (labels.patients.back().empty()) fail(csv, row.line, "the patient is not given");
    if (label_column) {
      if (row.fields[*label_column].empty())
        fail(csv, row.line, concat("case ", labels.cases.back(), " has no label"), "remove the line, or fill it in");
      labels.class_of_case.push_back(io::class_name(row.fields[*label_column]));
      classes.insert(labels.class_of_case.back());
    }
    for (size_t k = 0; k < columns.size(); ++k) {
      const std::string& cell = row.fields[columns[k]];
      const std::optional<double> value = cell.empty() ? -1 : parse_number(cell);
      if (!value || (*value != 0 && *value != 1 && *value != -1))
        fail(csv, row.line, concat("finding ", csv.columns[columns[k]], " = '", cell, "'"),
             "findings are 0, 1, or -1 or empty where not known");
      labels.findings[k].push_back(static_cast<int8_t>(*value));
    }
  }
  if (!labels.is_multi_label) labels.names.assign(classes.begin(), classes.end());
  if (!labels.is_multi_label) io::sort_classes(labels.names);
  warn_of(io::check_class_names(labels.names, csv.name));
  return labels;
}

// A case without a label is a problem: it is left out, or ends the evaluation.
Labels from_truth(const Truth& truth, Problems& problems) {
  Labels labels;
  labels.is_multi_label = truth.is_multi_label;
  for (const std::string& name : truth.label_names) labels.names.push_back(io::class_name(name));
  labels.findings.resize(truth.is_multi_label ? truth.label_names.size() : 0);
  for (const TruthCase& one : truth.cases) {
    const std::vector<float>& values = one.file.labels;
    const auto is_set = std::find(values.begin(), values.end(), 1.0F);
    if (values.size() != labels.names.size() || (!truth.is_multi_label && is_set == values.end())) {
      problems.add(one.name, "has no label in the truth");
      continue;
    }
    labels.cases.push_back(one.name);
    labels.patients.push_back(one.patient);
    labels.knows_patient.push_back(one.is_patient_known);
    if (truth.is_multi_label) {
      for (size_t k = 0; k < labels.names.size(); ++k)
        labels.findings[k].push_back(std::isnan(values[k]) ? int8_t{-1} : static_cast<int8_t>(values[k]));
    } else {
      labels.class_of_case.push_back(labels.names[static_cast<size_t>(is_set - values.begin())]);
    }
  }
  return labels;
}

// Which column has the scores of each class of the study.
std::vector<size_t> columns_of(const io::Csv& csv, const metrics::ClassificationStudy& study) {
  std::vector<size_t> available = value_columns(csv);
  std::vector<std::string> names;
  for (const size_t c : available) names.push_back(io::class_name(csv.columns[c]));
  for (size_t i = 0; i < names.size(); ++i) {
    const auto same = std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i), names[i]);
    if (!names[i].empty() && same != names.begin() + static_cast<std::ptrdiff_t>(i))
      fail(csv, 1,
           concat("the columns ", csv.columns[available[static_cast<size_t>(same - names.begin())]], " and ",
                  csv.columns[available[i]], " are of one class, ", names[i]),
           "keep one of them");
  }
  std::vector<size_t> columns;
  for (const std::string& name : study.classes) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found != names.end()) columns.push_back(available[static_cast<size_t>(found - names.begin())]);
  }
  if (columns.size() == study.classes.size()) return columns;
  if (study.kind == metrics::LabelKind::binary && available.size() == 1 && names[0] != study.negative_class)
    return available;
  fail(csv, 1, concat("no column of scores for each of: ", join(study.classes, ", "), "; it has: ", join(names, ", ")),
       "name the columns of scores as the classes or findings; a binary task may have one column of any name: the "
       "positive class's");
}

std::optional<size_t> column_of_class(const io::Csv& csv, const std::string& name) {
  for (const size_t c : value_columns(csv)) {
    if (!name.empty() && io::class_name(csv.columns[c]) == name) return c;
  }
  return std::nullopt;
}

// Of two classes the positive one: as asked for; the one that has the only column
// of scores; 1 of 0 and 1; else the later column. Never a guess by the alphabet.
std::string positive_of(const EvalArguments& arguments, const std::vector<std::string>& classes, const io::Csv& scores,
                        bool is_in_order) {
  if (!arguments.positive.empty()) return io::class_name(arguments.positive);
  std::vector<std::string> with_scores;
  for (const size_t c : value_columns(scores)) {
    const std::string name = io::class_name(scores.columns[c]);
    if (std::find(classes.begin(), classes.end(), name) != classes.end()) with_scores.push_back(name);
  }
  if (with_scores.size() == 1) return with_scores[0];
  if (std::find(classes.begin(), classes.end(), "1") != classes.end()) return "1";
  if (is_in_order) return classes.back();
  if (with_scores.size() == 2) return with_scores[1];
  throw Error(ExitCode::usage, concat("which of the classes ", join(classes, ", "), " is positive can't be told"),
              "say it with --positive");
}

// Tables that hold labels themselves must agree with those that are used.
void check_own_labels(const io::Csv& csv, const Labels& labels) {
  const auto column = csv.column(label_columns);
  if (!column || labels.is_multi_label) return;
  std::unordered_map<std::string, std::string> label_of;
  for (size_t i = 0; i < labels.cases.size(); ++i) label_of[labels.cases[i]] = labels.class_of_case[i];
  const size_t name_column = case_column(csv);
  for (const io::CsvRow& row : csv.rows) {
    const auto found = label_of.find(row.fields[name_column]);
    if (found != label_of.end() && found->second != io::class_name(row.fields[*column]))
      fail(csv, row.line,
           concat("case ", found->first, " has the label '", row.fields[*column], "', the truth says '", found->second,
                  "'"));
  }
}

std::vector<std::string> declared_or_true(const EvalArguments& arguments, const EvalModel& first_model,
                                          const Labels& labels) {
  if (!arguments.classes.empty()) return class_names(arguments.classes, "--classes", ExitCode::usage);
  if (first_model.class_names.empty()) return labels.names;
  return class_names(first_model.class_names, first_model.predictions.string());
}

// What is told apart: kind, classes, and which of two is positive.
void find_classes(const EvalArguments& arguments, const EvalModel& first_model, const io::Csv& first_table,
                  const Labels& labels, metrics::ClassificationStudy& study) {
  using metrics::LabelKind;
  const bool is_declared = !arguments.classes.empty() || !first_model.class_names.empty();
  std::vector<std::string> classes = declared_or_true(arguments, first_model, labels);
  if (labels.is_multi_label) {
    study.kind = LabelKind::multi_label;
    for (const std::string& name : classes) {
      if (std::find(labels.names.begin(), labels.names.end(), name) == labels.names.end())
        throw Error(ExitCode::data, concat("the truth has no finding '", name, "'"),
                    "it has: " + join(labels.names, ", "));
    }
  } else {
    for (const std::string& name : labels.names) {
      if (std::find(classes.begin(), classes.end(), name) == classes.end())
        throw Error(ExitCode::data, concat("the label '", name, "' of the truth is not declared"),
                    "the classes are: " + join(classes, ", "));
    }
    if (classes.size() == 1 && (classes[0] == "0" || classes[0] == "1")) classes = {"0", "1"};
    study.kind = classes.size() <= 2 ? LabelKind::binary : LabelKind::multi_class;
  }
  if (study.kind == LabelKind::binary) {
    const std::string positive = positive_of(arguments, classes, first_table, is_declared);
    if (std::find(classes.begin(), classes.end(), positive) == classes.end())
      throw Error(ExitCode::usage, concat("--positive ", positive, " is no class"),
                  "the classes are: " + join(classes, ", "));
    study.negative_class = classes.size() > 1 ? classes.back() : "other";
    if (classes.front() != positive) study.negative_class = classes.front();
    classes = {positive};
    log::info(concat("positive class: ", positive));
  }
  if (study.kind == LabelKind::multi_class &&
      (arguments.threshold.is_youden || arguments.threshold.value != metrics::ThresholdOptions{}.value))
    throw Error(ExitCode::usage,
                "--threshold is for binary tasks and findings: of several classes the likeliest is chosen",
                "leave it out");
  if (study.kind != LabelKind::binary && !arguments.positive.empty())
    throw Error(ExitCode::usage, "--positive is for two classes", "there are: " + join(classes, ", "));
  study.classes = std::move(classes);
}

Labels true_labels(const EvalArguments& arguments, const std::optional<Truth>& truth, const io::Csv& first_table,
                   Problems& problems) {
  if (truth) return from_truth(*truth, problems);
  return from_csv(arguments.truth.empty() ? first_table : io::read_csv(arguments.truth));
}

// The scores of one model, found by the names of the truth's cases.
class Scores {
 public:
  Scores(const EvalModel& model, const io::Csv& table, const Labels& labels, const NamesTable* names,
         const metrics::ClassificationStudy& study, Problems& problems)
      : model_(model),
        table_(table),
        negative_class_(study.negative_class),
        classes_(study.classes),
        by_case_(rows_by_case(table)),
        columns_(columns_of(table, study)),
        negative_column_(column_of_class(table, study.negative_class)) {
    std::vector<std::string> found;
    for (const io::CsvRow& row : table.rows) found.push_back(row.fields[case_column(table)]);
    matches_ = match_predictions(labels.cases, found, names, model.name);
    std::set<std::string> used;
    for (const auto& [name, match] : matches_) used.insert(match);
    for (const std::string& name : found) {
      if (!used.contains(name)) problems.add(name, concat("has scores of ", model.name, ", but no label"));
    }
  }

  bool has(const std::string& name, Problems& problems) const {
    if (matches_.contains(name)) return true;
    problems.add(name, concat("has no scores of ", model_.name,
                              model_.failed.contains(name) ? " (it could not be read there)" : ""));
    return false;
  }

  // One per class.
  void add_to(std::vector<std::vector<double>>& scores, const std::string& name) const {
    const io::CsvRow& row = table_.rows[by_case_.at(matches_.at(name))];
    if (negative_column_) number(row, *negative_column_, negative_class_, name);  // not used, but it must be one
    for (size_t c = 0; c < classes_.size(); ++c) scores[c].push_back(number(row, columns_[c], classes_[c], name));
  }

 private:
  double number(const io::CsvRow& row, size_t column, const std::string& of, const std::string& name) const {
    const std::optional<double> score = parse_number(row.fields[column]);
    if (!score)
      fail(table_, row.line, concat("the score of ", of, " of case ", name, " is '", row.fields[column], "'"),
           "scores are finite numbers");
    return *score;
  }

  const EvalModel& model_;
  const io::Csv& table_;
  std::string negative_class_;
  std::vector<std::string> classes_;
  std::unordered_map<std::string, size_t> by_case_;
  std::vector<size_t> columns_;
  std::optional<size_t> negative_column_;
  std::map<std::string, std::string> matches_;
};

}  // namespace

metrics::ClassificationStudy read_classifications(const EvalArguments& arguments, const std::vector<EvalModel>& models,
                                                  const std::optional<Truth>& truth, const NamesTable* names,
                                                  Problems& problems, io::PatientCount& patients) {
  std::vector<io::Csv> tables;
  for (const EvalModel& model : models)
    tables.push_back(
        io::read_csv(fs::is_directory(model.predictions) ? model.predictions / "cases.csv" : model.predictions));
  const Labels labels = true_labels(arguments, truth, tables[0], problems);
  for (const io::Csv& table : tables) check_own_labels(table, labels);

  metrics::ClassificationStudy study;
  find_classes(arguments, models[0], tables[0], labels, study);
  std::vector<Scores> scores;
  for (size_t m = 0; m < models.size(); ++m) {
    study.models.push_back(models[m].name);
    scores.emplace_back(models[m], tables[m], labels, names, study, problems);
  }
  study.scores.assign(models.size(), std::vector<std::vector<double>>(study.classes.size()));
  study.labels.resize(study.classes.size());
  std::vector<std::vector<int8_t>> values;  // [class][case of the truth]
  for (const std::string& name : study.classes) values.push_back(labels.values_of(name));
  for (size_t i = 0; i < labels.cases.size(); ++i) {
    const std::string& name = labels.cases[i];
    bool is_complete = true;
    for (const Scores& of_model : scores) is_complete &= of_model.has(name, problems);
    if (!is_complete) continue;
    study.cases.push_back(name);
    study.patients.push_back(labels.patients[i]);
    patients.add(labels.patients[i], labels.knows_patient[i]);
    for (size_t c = 0; c < study.classes.size(); ++c) study.labels[c].push_back(values[c][i]);
    for (size_t m = 0; m < models.size(); ++m) scores[m].add_to(study.scores[m], name);
  }
  problems.raise();
  if (study.cases.empty())
    throw Error(ExitCode::data, "no case has both a label and scores",
                "cases are matched by name: see the columns case of both files");
  if (!patients.number()) study.patients.clear();
  return study;
}

}  // namespace vmae::run
