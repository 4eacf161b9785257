#include "vmae/io/patients.h"

#include <algorithm>
#include <map>
#include <set>

#include "vmae/core/error.h"
#include "vmae/io/prepared.h"

namespace vmae::io {
namespace {

std::string plain(const std::string& column) {
  std::string name = to_lower(column);
  std::erase_if(name, [](char c) { return c == ' ' || c == '_' || c == '-'; });
  return name;
}

bool names_cases_only(const std::string& layout) { return layout == "nnunet" || layout == "decathlon"; }

// Where patients are not known each file (of nnU-Net and Decathlon each case, of DICOM each series) is taken for one.
bool is_unknown(const SourceFile& file, const std::string& layout) {
  if (!file.series.empty()) return file.patient.starts_with("series ");
  return file.patient == file.name || names_cases_only(layout);
}

// Ids are not said: they identify.
std::string alike_note(const Source& source) {
  std::map<std::string, std::set<std::string>> alike;
  for (const SourceFile& file : source.files) {
    std::string key = to_lower(file.patient);
    std::erase_if(key, [](char c) { return c == ' ' || c == '_' || c == '-'; });
    key.erase(0, std::min(key.find_first_not_of('0'), key.size()));
    alike[key].insert(file.patient);
  }
  const auto count = std::count_if(alike.begin(), alike.end(), [](const auto& one) { return one.second.size() > 1; });
  if (count == 0) return "";
  return concat("ids of patients that differ only in case, blanks, '_', '-' or leading zeros count as different patients: ", count,
                count == 1 ? " group" : " groups", " of such ids");
}

}  // namespace

bool is_patient_column(const std::string& name) {
  static const std::set<std::string> kNames{"patient", "patientid", "subject", "subjectid", "participantid"};
  return kNames.contains(plain(name));
}

std::string patient_id(std::string_view cell) {
  for (std::string_view blank = "\u00a0"; cell.starts_with(blank);) cell.remove_prefix(blank.size());
  for (std::string_view blank = "\u00a0"; cell.ends_with(blank);) cell.remove_suffix(blank.size());
  cell = trim(cell);
  const size_t point = cell.find('.');
  const bool is_decimal =
      point != std::string_view::npos && point > 0 && point + 1 < cell.size() && cell.find_first_not_of("0123456789.") == std::string_view::npos;
  if (is_decimal && cell.substr(point + 1).find_first_not_of('0') == std::string_view::npos) cell = cell.substr(0, point);
  return std::string(cell);
}

bool seems_to_name_patients(const std::string& name) {
  const std::string text = plain(name);
  return text.starts_with("patient") || text.starts_with("subject") || text.starts_with("participant");
}

std::optional<size_t> patient_column(const Csv& csv) {
  std::optional<size_t> first;
  for (size_t column = 0; column < csv.columns.size(); ++column) {
    if (!is_patient_column(csv.columns[column])) continue;
    for (const CsvRow& row : csv.rows) {
      if (!first || patient_id(row.fields[*first]) == patient_id(row.fields[column])) continue;
      throw Error(
          ExitCode::data,
          concat(csv.name, ":", row.line, ": the columns ", csv.columns[*first], " and ", csv.columns[column], " both say who the patient is, and differ"),
          "keep the one that is meant, or rename the other");
    }
    if (!first) first = column;
  }
  return first;
}

bool knows_patients(const std::vector<SourceFile>& files, const std::vector<std::string>& layouts) {
  std::map<std::string, bool> knows;  // by prepared dataset
  const bool has_cases_only = !layouts.empty() && std::all_of(layouts.begin(), layouts.end(), names_cases_only);
  std::set<std::string> patients;  // of prepared datasets, whose names and patients are both hashes: known where one has several cases
  size_t num_prepared = 0;
  for (const SourceFile& file : files) {
    if (file.prepared_case < 0 && !is_unknown(file, has_cases_only ? layouts[0] : "")) return true;
    if (file.prepared_case < 0) continue;
    const auto [of_dataset, is_new] = knows.emplace(file.path.string(), true);
    if (is_new) of_dataset->second = !names_cases_only(PreparedDataset(file.path).info().layout);
    if (!of_dataset->second) continue;
    patients.insert(file.path.string() + '\n' + file.patient);
    ++num_prepared;
  }
  return patients.size() < num_prepared;
}

std::string patients_note(const Source& source) {
  if (source.files.size() < 2) return "";
  if (source.layout == "prepared") {
    return knows_patients(source.files, {source.layout}) ? "" : "each case has a patient of its own, or patients were not known when the dataset was prepared";
  }
  const auto unknown =
      static_cast<size_t>(std::count_if(source.files.begin(), source.files.end(), [&](const SourceFile& file) { return is_unknown(file, source.layout); }));
  if (unknown == 0) return alike_note(source);
  const char* what = names_cases_only(source.layout) ? "case" : source.layout == "dicom" ? "series or file" : "file";
  if (unknown == source.files.size()) return concat("patients are not known: each ", what, " counts as its own patient");
  return concat("patients are not known of ", unknown, " of ", source.files.size(), " files: each ", what, " of these counts as its own patient");
}

}  // namespace vmae::io
