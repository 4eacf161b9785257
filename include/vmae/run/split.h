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

// val given: both sources, of a manifest with a `split` column only its rows of that part. Else the manifest's `split` column if any file has one, else
// val_fraction of the patients (at least one, unless 0), a pure function of the seed and the patients' names. Throws Error(data) if a patient or a file is on
// both sides or nothing is left to train on.
TrainVal split_train_val(const std::string& train, const std::string& val, double val_fraction, uint64_t seed);

void write_splits(const std::filesystem::path& file, const TrainVal& split);  // splits.json: file names, relative to their sources

}  // namespace vmae::run
