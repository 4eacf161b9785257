#pragma once
// The way back from a prepared dataset: which file of the source each of its cases was made of.
// `vmae prepare --names-table` writes it as a CSV; whoever has the salt can make it again from
// the source. It identifies patients: it is never part of a dataset, and nothing of it is logged.
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"
#include "vmae/prepare/plan.h"
#include "vmae/prepared/prepared.h"
#include "vmae/runs/names.h"

namespace vmae::run {

struct NamedCase {
  std::string name;    // in the dataset
  std::string source;  // as io::SourceFile::name; of time points with #t0, #t1, ...
  // what `vmae predict` calls it when it predicts the source; empty: the source can't use this file
  std::string prediction;
  std::filesystem::path image;  // absolute; of a DICOM series the first file
  std::filesystem::path mask;   // absolute, or empty
  std::string patient;          // as the source says
};
struct NamesTable {
  std::string digest;  // of the dataset; empty: not known
  std::vector<NamedCase> cases;
};

// Of `files` (time points by themselves) and what could not be used. name_of: what the dataset calls a case.
NamesTable name_cases(std::vector<io::SourceFile> files, const std::vector<io::SourceRemark>& refused,
                      const std::vector<std::string>& identifying,
                      const std::function<std::string(const std::string&)>& name_of);

// Where a table may be written. Throws Error(usage): inside the dataset or
// another one, no folder that can be written to, a file that is no such table.
void check_table_place(const std::filesystem::path& file, const std::filesystem::path& dataset);
// Atomically, readable by the user alone. Throws Error(internal) on a full disk.
void write_names_table(const std::filesystem::path& file, const NamesTable& table);
// Throws Error(data) naming the file: not such a table, rows of several datasets, a case twice.
NamesTable read_names_table(const std::filesystem::path& file);

// Hashes the source's names again. `is_wanted`: whether a name is one of the dataset; of 4-D files
// this tells the time points. layout: of the source. Throws Error(usage) where there is no salt.
NamesTable names_by_salt(const std::filesystem::path& source, const std::string& layout, const std::string& salt_file,
                         bool keeps_names, const std::function<bool(const std::string&)>& is_wanted);

bool keeps_names(const io::PreparedInfo& info);  // prepare.names=keep

// The names of all cases of a dataset, by the table or by source and salt; nothing where
// neither is given. Throws Error(usage): both, or a salt without a source; Error(data):
// the table of another dataset, a source or salt with which no case has its name.
std::optional<NamesTable> names_of_dataset(const std::filesystem::path& path, const NameArguments& arguments);

}  // namespace vmae::run
