#pragma once
// Which files train and which validate, by patient: no patient is on both sides.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "vmae/io/source.h"

namespace vmae::run {

struct TrainVal {
  std::vector<io::SourceFile> train, val;
};

// What data.splits, data.fold and data.label_fraction say.
struct SplitChoice {
  std::string file;  // "": no such file
  int64_t fold = 0;
  int64_t label_fraction = 100;  // percent of the training part
};

// choice.file given (then `val` may not be): that file alone says who trains and who validates, whatever a `split` column says; only rows marked test there are
// never used, and may not be named. Else, val given: both sources, of a manifest with a `split` column only its rows of that part. Else the manifest's `split`
// column if any file has one, else val_fraction of the patients (at least one, unless 0), a pure function of the seed and the patients' names. Throws
// Error(data) if a patient or a file is on both sides, nothing is left to train on, or the splits file does not fit the data (include/vmae/io/splits_file.h);
// Error(usage) if it has no such fold or fraction.
TrainVal split_train_val(const std::string& train, const std::string& val, double val_fraction, uint64_t seed, const SplitChoice& choice = {});

void write_splits(const std::filesystem::path& file, const TrainVal& split);  // splits.json: file names, relative to their sources

}  // namespace vmae::run
