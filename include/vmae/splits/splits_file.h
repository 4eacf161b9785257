#pragma once
// splits.json: Splits as a file, and whether it fits the data. Every error
// is Error(data) and names file, fold, part and case, never a patient.
#include <filesystem>

#include "vmae/splits/splits.h"

namespace vmae::io {

// `cases` are those the splits were made of: parts are written with their numbers of cases and patients. Atomic.
void write_splits(const std::filesystem::path& file, const Splits& splits, const std::vector<SplitCase>& cases);

// Also reads the splits.json of a run folder, {"train": [...], "val": [...]}: one fold, of any
// cases. Error: not JSON, not of this format or of a later version, an unknown key, a part
// that is not a list of names, no training part, a case named twice in a part or standing in
// two parts of a fold, a fraction that is not inside the training part or not nested.
Splits read_splits(const std::filesystem::path& file);

// Error: the file names a case that is not among `cases`; a case is in no
// part though the file was made of all; a patient is in two parts of a fold.
void check_splits(const Splits& splits, const std::filesystem::path& file, const std::vector<SplitCase>& cases);

}  // namespace vmae::io
