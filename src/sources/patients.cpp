#include "vmae/sources/patients.h"

#include <algorithm>
#include <map>
#include <set>

#include "vmae/core/error.h"

namespace vmae::io {
namespace {

std::string plain(const std::string& text) {
  std::string letters = to_lower(text);
  std::erase_if(letters, [](char c) { return c == ' ' || c == '_' || c == '-'; });
  return letters;
}

// Where patients are not known each file (of nnU-Net and Decathlon each case, of DICOM each series) is taken for one.
bool names_cases_only(const std::string& layout) { return layout == "nnunet" || layout == "decathlon"; }

// Ids are not said: they identify.
std::string alike_note(const Source& source) {
  std::map<std::string, std::set<std::string>> alike;
  for (const SourceFile& file : source.files) {
    std::string key = plain(file.patient);
    key.erase(0, std::min(key.find_first_not_of('0'), key.size()));
    alike[key].insert(file.patient);
  }
  const auto count = std::count_if(alike.begin(), alike.end(), [](const auto& one) { return one.second.size() > 1; });
  if (count == 0) return "";
  return concat(
      "ids of patients that differ only in case, blanks, '_', '-' or leading zeros count as different patients: ",
      count, count == 1 ? " group" : " groups", " of such ids");
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
  const bool is_decimal = point != std::string_view::npos && point > 0 && point + 1 < cell.size() &&
                          cell.find_first_not_of("0123456789.") == std::string_view::npos;
  if (is_decimal && cell.substr(point + 1).find_first_not_of('0') == std::string_view::npos)
    cell = cell.substr(0, point);
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
      throw Error(ExitCode::data,
                  concat(csv.name, ":", row.line, ": the columns ", csv.columns[*first], " and ", csv.columns[column],
                         " both say who the patient is, and differ"),
                  "keep the one that is meant, or rename the other");
    }
    if (!first) first = column;
  }
  return first;
}

bool knows_patient(const SourceFile& file, const std::string& layout) {
  if (!file.series.empty()) return !file.patient.starts_with("series ");
  return file.patient != file.name && !names_cases_only(layout);
}

void PatientCount::add(const std::string& patient, bool is_known) { (is_known ? known_ : unknown_).insert(patient); }

std::optional<size_t> PatientCount::number() const {
  return known_.empty() ? std::nullopt : std::optional(known_.size());
}

std::string PatientCount::number_text() const {
  if (known_.empty()) return "not known";
  if (unknown_.empty()) return concat(known_.size());
  return concat(known_.size(), " (", unknown_.size(), unknown_.size() == 1 ? " case" : " cases", ": not known)");
}

std::string PatientCount::suffix() const {
  if (known_.empty()) return ", patients not known";
  return concat(" of ", known_.size(), known_.size() == 1 ? " patient" : " patients",
                number_text().substr(std::to_string(known_.size()).size()));
}

PatientCount count_patients(const std::vector<SourceFile>& files) {
  PatientCount count;
  for (const SourceFile& file : files) count.add(file);
  return count;
}

std::string patients_note(const Source& source) {
  if (source.files.size() < 2) return "";
  const auto unknown = static_cast<size_t>(std::count_if(
      source.files.begin(), source.files.end(), [](const SourceFile& file) { return !file.is_patient_known; }));
  if (unknown == 0) return source.layout == "prepared" ? "" : alike_note(source);
  const char* what = source.layout == "dicom" ? "series or file" : "file";
  if (names_cases_only(source.layout) || source.layout == "prepared") what = "case";
  if (unknown == source.files.size())
    return concat("patients are not known: each ", what, " counts as its own patient");
  return concat("patients are not known of ", unknown, " of ", source.files.size(),
                source.layout == "prepared" ? " cases" : " files", ": each ", what,
                " of these counts as its own patient");
}

}  // namespace vmae::io
