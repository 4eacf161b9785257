#pragma once
// Who a file or a row of a table is of.
#include <optional>
#include <string>

#include "vmae/io/csv.h"
#include "vmae/io/source.h"

namespace vmae::io {

// The column that says who the patients are: patient, patient_id, subject, subject_id or participant_id; case, blanks, "_" and "-" do not count ("PatientID").
// Throws Error(data) with name:line where two such columns differ.
std::optional<size_t> patient_column(const Csv& csv);
bool is_patient_column(const std::string& name);
// Who `cell` names: without blanks around it, "7.0" as "7" (pandas writes integers so where some are missing). "007" stays another than "7".
std::string patient_id(std::string_view cell);
// A name that seems to mean patients ("subjects", "Patient name"), so that its numbers are no finding.
bool seems_to_name_patients(const std::string& name);

// Whether it is known of any of these files whose it is. Where it is not, SourceFile::patient keeps together what belongs to one case. layouts: of their
// sources.
bool knows_patients(const std::vector<SourceFile>& files, const std::vector<std::string>& layouts);

// What a user should know about the patients of a source: "patients are not known: ..."; "" where all are known, and for less than two files.
std::string patients_note(const Source& source);

}  // namespace vmae::io
