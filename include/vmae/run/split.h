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

// The same by source: one list per source of data.train, and per source that validates.
struct SourceSplits {
  std::vector<std::vector<io::SourceFile>> train, val;
};

// What io::list_source() finds, or the cases of a prepared dataset (SourceFile::prepared_case).
std::vector<io::SourceFile> list_images(const std::string& source);

// val given: both sources, of one with splits (a manifest's `split` column, a prepared dataset's) only its files of that part. Else the source's splits if any
// file has one, else val_fraction of the patients of all such sources together (at least one, unless 0), a pure function of the seed and the patients' names.
// Throws Error(data) if a patient or a file is on both sides or nothing is left to train on.
SourceSplits split_sources(const std::vector<std::string>& train, const std::vector<std::string>& val, double val_fraction, uint64_t seed);

// split_sources() of one source, or two.
TrainVal split_train_val(const std::string& train, const std::string& val, double val_fraction, uint64_t seed);
TrainVal flat(SourceSplits splits);

void write_splits(const std::filesystem::path& file, const TrainVal& split);  // splits.json: file names, relative to their sources

}  // namespace vmae::run
