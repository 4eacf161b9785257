#include "vmae/runs/split_command.h"

#include <algorithm>
#include <iomanip>
#include <map>
#include <ostream>
#include <set>

#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/prepared/prepared.h"
#include "vmae/runs/source_notes.h"
#include "vmae/runs/split.h"
#include "vmae/sources/patients.h"
#include "vmae/sources/source.h"
#include "vmae/splits/splits_file.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

// What is to be divided. Cases that the source marks as test are left out.
std::vector<io::SplitCase> list_cases(const fs::path& source, const std::vector<std::string>& findings) {
  const io::Source found = io::find_source(source, "auto", findings);
  log_remarks(found);
  const std::vector<io::SourceFile>& files = found.files;
  std::vector<io::SplitCase> cases;
  for (const io::SourceFile& file : files) {
    if (file.split == "test") continue;
    cases.push_back(split_case(file, found.label_names));
  }
  if (found.layout == "prepared") {
    if (const int64_t count = io::PreparedDataset(source).info().num_duplicates; count > 0)
      log::warning(concat(count,
                          " cases have exactly the pixels of another one (duplicates.jsonl): they may come into "
                          "different parts; leave them out with "
                          "`vmae prepare prepare.duplicates=leave_out`"));
  }
  if (cases.size() < files.size())
    log::info(concat(files.size() - cases.size(), " of ", files.size(), " cases are marked as test and stay out"));
  return cases;
}

// One line per part: its cases, its patients, and how many of its cases have each label.
class Table {
 public:
  explicit Table(const std::vector<io::SplitCase>& cases) {
    for (const auto& one : cases) {
      case_of_[one.name] = &one;
      labels_.insert(one.labels.begin(), one.labels.end());
    }
  }

  void print_head(std::ostream& out) const {
    out << "fold  part         cases   patients";
    for (const auto& label : labels_) out << "  " << std::setw(width(label)) << label;
    out << "\n";
  }

  void print(std::ostream& out, size_t fold, const std::string& part, const std::vector<std::string>& names) const {
    if (names.empty()) return;
    io::PatientCount patients;
    std::map<std::string, size_t> count;
    for (const auto& name : names) {
      const io::SplitCase& one = *case_of_.at(name);
      patients.add(one.patient, one.is_patient_known);
      for (const auto& label : one.labels) ++count[label];
    }
    out << std::left << std::setw(6) << fold << std::setw(11) << part << std::right << std::setw(7) << names.size()
        << std::setw(11) << patients.number_text();
    for (const auto& label : labels_) out << "  " << std::setw(width(label)) << count[label];
    out << "\n";
  }

 private:
  static int width(const std::string& label) { return std::max(6, static_cast<int>(label.size())); }

  std::map<std::string, const io::SplitCase*> case_of_;
  std::set<std::string> labels_;
};

}  // namespace

void describe(Options& options, SplitCommandOptions& split) {
  describe(options, static_cast<io::SplitOptions&>(split));
  options.add("findings", split.findings,
              "columns of the manifest (or findings of a prepared dataset) that the parts get their share of, or the "
              "one column of classes. Empty: the column label "
              "or class, else all columns whose cells are 0, 1, -1 or empty");
}

void describe(Options& options, SplitConfig& config) {
  options.section("split", "How patients are divided", config.split);
}

void split(const SplitConfig& config, const fs::path& input, const fs::path& output, bool overwrite,
           std::ostream& out) {
  if (input.empty())
    throw Error(ExitCode::usage, "--input is not set",
                "give a manifest CSV, a folder of images or a prepared dataset: --input /path/to/images");
  if (output.empty())
    throw Error(ExitCode::usage, "--output is not set", "give the file to write: --output splits.json");
  if (fs::exists(output) && !overwrite) {
    throw Error(ExitCode::usage, output.string() + " is there already",
                "runs may have been trained with it: give another --output, or --overwrite");
  }
  const auto cases = list_cases(input, config.split.findings);
  const io::Splits splits = io::make_splits(cases, config.split);
  io::write_splits(output, splits, cases);

  io::PatientCount patients;
  for (const io::SplitCase& one : cases) patients.add(one.patient, one.is_patient_known);
  out << splits.num_cases << " cases" << patients.suffix() << "; scheme " << splits.scheme << ", seed " << splits.seed
      << ", by " << (splits.is_by_patient ? "patient" : "case")
      << (splits.is_stratified ? ", stratified by label" : ", not stratified") << "\n";
  const Table table(cases);
  table.print_head(out);
  for (size_t i = 0; i < splits.folds.size(); ++i) {
    const io::SplitFold& fold = splits.folds[i];
    table.print(out, i, "train", fold.train);
    for (auto it = fold.fractions.rbegin(); it != fold.fractions.rend(); ++it)
      table.print(out, i, concat("train ", it->first, " %"), it->second);
    table.print(out, i, "val", fold.val);
    table.print(out, i, "test", fold.test);
  }
  out << std::flush;
  log::info("written to " + output.string());
}

}  // namespace vmae::run
