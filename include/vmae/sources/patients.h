#pragma once
// Who a file or a row of a table is of.
#include <optional>
#include <set>
#include <string>

#include "vmae/sources/csv.h"
#include "vmae/sources/source.h"

namespace vmae::io {

// The column that says who the patients are: patient, patient_id, subject, subject_id or participant_id; case,
// blanks, "_" and "-" do not count ("PatientID"). Throws Error(data) with name:line where two such columns differ.
std::optional<size_t> patient_column(const Csv& csv);
bool is_patient_column(const std::string& name);
// Who `cell` names: without blanks around it, "7.0" as "7" (pandas writes
// integers so where some are missing). "007" stays another than "7".
std::string patient_id(std::string_view cell);
// A name that seems to mean patients ("subjects", "Patient name"), so that its numbers are no finding.
bool seems_to_name_patients(const std::string& name);

// Whether a source of this layout says whose `file` is (SourceFile::is_patient_known).
// Not of prepared datasets, whose cases say it themselves.
bool knows_patient(const SourceFile& file, const std::string& layout);

// How many patients some cases are of: all that commands say about it they say by this.
class PatientCount {
 public:
  void add(const std::string& patient, bool is_known);
  void add(const SourceFile& file) { add(file.patient, file.is_patient_known); }
  std::optional<size_t> number() const;  // of patients who are known; none: no patient is known
  // cases of which it is not known whose they are; each counts as a patient of its own
  size_t num_unknown() const { return unknown_.size(); }
  std::string number_text() const;  // "20"; "20 (5 cases: not known)"; "not known"
  // behind "60 cases": " of 20 patients"; " of 20 patients (5 cases: not known)"; ", patients not known"
  std::string suffix() const;

 private:
  std::set<std::string> known_, unknown_;
};
PatientCount count_patients(const std::vector<SourceFile>& files);

// What a user should know about the patients of a source: "patients are
// not known: ..."; "" where all are known, and for less than two files.
std::string patients_note(const Source& source);

}  // namespace vmae::io
