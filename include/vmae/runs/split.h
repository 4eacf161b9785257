#pragma once
// Which files train and which validate, by patient: no patient is on both sides.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"
#include "vmae/splits/splits.h"

namespace vmae::run {

struct TrainVal {
  std::vector<io::SourceFile> train, val, test;
  std::vector<io::SourceFile> unused{};  // in the splits file, but in no part of this fold and fraction
};

// What data.splits, data.fold and data.label_fraction say.
struct SplitChoice {
  std::string file;  // "": no such file
  int64_t fold = 0;
  int64_t label_fraction = 100;         // percent of the training part
  std::string section = "data";         // of the keys, for messages
  std::vector<std::string> findings{};  // as io::find_source()
  bool single_channels = false;  // the channels of a case (cases/channels.h) are images of their own in the parts
};

// The same by source: one list per source of data.train, and per source that validates.
struct SourceSplits {
  std::vector<std::vector<io::SourceFile>> train, val;
  std::vector<io::SourceFile> unused;  // as in TrainVal
  std::vector<io::SourceFile> test;    // of the splits file, or marked test in data.train
  // as io::Source, of the first source of data.train that has them
  std::vector<io::LabelRegion> regions;
  // of mask values 1, 2, ...: of each source that has them
  std::vector<std::vector<std::string>> mask_names_of_sources;
  // which source calls mask values otherwise; empty: none
  std::string mask_conflict;
  // as io::Source, of the first source of data.train that names one
  int64_t ignore_label = -1;
  std::vector<std::string> label_names;                          // as io::Source, of the first source
  std::vector<std::vector<std::string>> label_names_of_sources;  // of each source of data.train
  std::string label_conflict;                                    // which source has others; empty: none
  std::vector<std::string> channel_names;                        // as io::Source, of the first source
  std::string channel_conflict;                                  // which source has others; empty: none
  bool is_multi_label = false;
  std::vector<std::string> identifying;  // as io::Source, of all sources
  std::vector<std::string> layouts;      // of all sources
  std::vector<io::SourceRemark> refused, remarks;
  std::vector<std::string> mask_names() const {
    return mask_names_of_sources.empty() ? std::vector<std::string>{} : mask_names_of_sources[0];
  }
};

// Throws Error(usage) where data.splits, data.train and data.val don't go together, whatever is in them.
void check_choice(const SplitChoice& choice, const std::vector<std::string>& train,
                  const std::vector<std::string>& val);

// Called with the files of each source before they are divided: first those of data.train.
using SettleSource = std::function<void(std::vector<io::SourceFile>& files, bool is_training)>;

// choice.file given (then `val` may not be, and there is one source): that file alone says who trains and who
// validates, whatever a `split` column says; only cases marked test there are never used, and may not be
// named. Else, val given: both sources, of one with splits (a manifest's `split` column, a prepared dataset's)
// only its files of that part. Else the source's splits if any file has one, else val_fraction of the patients
// of all such sources together (unless it is 0), as io::draw_validation(): stratified where cases have labels.
// Throws Error(data) if a patient or a file is on both sides, nothing is left to train on, or the splits file
// does not fit the data (include/vmae/splits/splits_file.h); Error(usage) if it has no such fold or fraction.
SourceSplits split_sources(const std::vector<std::string>& train, const std::vector<std::string>& val,
                           double val_fraction, uint64_t seed, const SplitChoice& choice = {},
                           const SettleSource& settle = {});

// split_sources() of one source, or two.
TrainVal split_train_val(const std::string& train, const std::string& val, double val_fraction, uint64_t seed,
                         const SplitChoice& choice = {});
TrainVal flat(SourceSplits splits);

// Names of the cases that train (at choice.label_fraction) or validate in any fold of choice.file, which divides
// `files`, all of a source. Throws Error(usage), Error(data) where it does not.
std::set<std::string> names_in_any_fold(std::vector<io::SourceFile> files, const SplitChoice& choice);

// Throws Error(data) if a patient or file of `files` also trains or validates. part: "test", for the message.
void require_separate(const TrainVal& split, const std::vector<io::SourceFile>& files, const std::string& part);

// How patients are called in the source of a file: "" as in the files; else by the check of the
// salt that they are hashed with, or, where a prepared dataset is shared without it, by its folder.
std::string naming_of(const io::SourceFile& file);

// What a division looks at. label_names: as io::Source.
io::SplitCase split_case(const io::SourceFile& file, const std::vector<std::string>& label_names);

// splits.json: file names, relative to their sources
void write_splits(const std::filesystem::path& file, const TrainVal& split);

}  // namespace vmae::run
