#include "vmae/run/split.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/core/random.h"
#include "vmae/io/splits_file.h"

namespace vmae::run {

namespace {

std::set<std::string> patients_of(const std::vector<io::SourceFile>& files) {
  std::set<std::string> patients;
  for (const auto& file : files) patients.insert(file.patient);
  return patients;
}

// FNV-1a: names become numbers, so that whether a patient validates does not depend on who else is in the folder's order.
uint64_t hash(const std::string& text) {
  uint64_t value = 0xcbf29ce484222325ULL;
  for (const unsigned char c : text) value = (value ^ c) * 0x100000001b3ULL;
  return value;
}

std::set<std::string> draw_patients(const std::set<std::string>& patients, double fraction, uint64_t seed) {
  std::multimap<uint64_t, std::string> order;
  for (const auto& patient : patients) order.emplace(derive_seed(seed, Stream::split, hash(patient)), patient);
  const auto wanted = std::max<size_t>(1, static_cast<size_t>(std::lround(static_cast<double>(patients.size()) * fraction)));
  std::set<std::string> drawn;
  for (auto it = order.begin(); it != order.end() && drawn.size() < wanted; ++it) drawn.insert(it->second);
  return drawn;
}

bool has_splits(const std::vector<io::SourceFile>& files) {
  return std::any_of(files.begin(), files.end(), [](const auto& file) { return !file.split.empty(); });
}

// Of a source with a split column only the rows of one part; of any other all.
std::vector<io::SourceFile> part(std::vector<io::SourceFile> files, const char* name) {
  if (has_splits(files)) std::erase_if(files, [&](const auto& file) { return file.split != name; });
  return files;
}

TrainVal split_one_source(const std::vector<io::SourceFile>& files, double val_fraction, uint64_t seed) {
  if (has_splits(files)) return {part(files, "train"), part(files, "val")};
  TrainVal split;
  std::set<std::string> validating;
  if (val_fraction > 0.0) validating = draw_patients(patients_of(files), val_fraction, seed);
  for (const auto& file : files) (validating.contains(file.patient) ? split.val : split.train).push_back(file);
  return split;
}

// The part of `fold` that trains: all of it, or one of its fractions.
const std::vector<std::string>& training_names(const io::SplitFold& fold, const SplitChoice& choice) {
  if (choice.label_fraction == 100) return fold.train;
  const auto it = fold.fractions.find(choice.label_fraction);
  if (it != fold.fractions.end()) return it->second;
  std::vector<std::string> known;
  for (const auto& [percent, names] : fold.fractions) known.push_back(std::to_string(percent));
  known.emplace_back("100");
  throw Error(ExitCode::usage, concat("data.label_fraction = ", choice.label_fraction, ": ", choice.file, ", fold ", choice.fold, ", has ", join(known, ", ")),
              "choose one of these, or make the file again with split.fractions");
}

// The order is that of `files`, so that equal parts train alike whatever file says so.
std::vector<io::SourceFile> named(const std::vector<io::SourceFile>& files, const std::vector<std::string>& names) {
  const std::set<std::string> wanted(names.begin(), names.end());
  std::vector<io::SourceFile> found;
  std::copy_if(files.begin(), files.end(), std::back_inserter(found), [&](const auto& file) { return wanted.contains(file.name); });
  return found;
}

TrainVal split_by_file(std::vector<io::SourceFile> files, const SplitChoice& choice) {
  std::erase_if(files, [](const auto& file) { return file.split == "test"; });
  std::vector<io::SplitCase> cases;
  for (const auto& file : files) cases.push_back({file.name, file.patient, {}});
  const io::Splits splits = io::read_splits(choice.file);
  io::check_splits(splits, choice.file, cases);
  if (choice.fold < 0 || choice.fold >= static_cast<int64_t>(splits.folds.size())) {
    throw Error(ExitCode::usage, concat("data.fold = ", choice.fold, ": ", choice.file, " has folds 0 to ", splits.folds.size() - 1));
  }
  const io::SplitFold& fold = splits.folds[static_cast<size_t>(choice.fold)];
  log::info(concat(choice.file, ": fold ", choice.fold, " of ", splits.folds.size(), ", ", choice.label_fraction, " % of its training part"));
  return {named(files, training_names(fold, choice)), named(files, fold.val)};
}

void check_choice(const SplitChoice& choice, const std::string& val) {
  if (!choice.file.empty() && !val.empty()) {
    throw Error(ExitCode::usage, "data.splits and data.val are both set, and both say who validates", "leave one of them empty");
  }
  if (choice.file.empty() && (choice.fold != 0 || choice.label_fraction != 100)) {
    throw Error(ExitCode::usage,
                concat("data.fold = ", choice.fold, " and data.label_fraction = ", choice.label_fraction, " choose from data.splits, which is not set"),
                "make that file with `vmae split`: data.splits=splits.json");
  }
}

// Who a file belongs to, across sources: the patient, or where patients are not known (then it is the name) the file itself.
std::string identity(const io::SourceFile& file) {
  if (file.patient != file.name) return "patient " + file.patient;
  std::error_code unreadable;
  const auto canonical = std::filesystem::weakly_canonical(file.path, unreadable);
  return "file " + (unreadable ? file.path : canonical).string();
}

}  // namespace

TrainVal split_train_val(const std::string& train, const std::string& val, double val_fraction, uint64_t seed, const SplitChoice& choice) {
  check_choice(choice, val);
  if (train.empty()) throw Error(ExitCode::usage, "data.train is not set", "give a folder of images or a manifest CSV: data.train=/path/to/images");
  TrainVal split = !choice.file.empty() ? split_by_file(io::list_source(train), choice)
                   : val.empty()        ? split_one_source(io::list_source(train), val_fraction, seed)
                                        : TrainVal{part(io::list_source(train), "train"), part(io::list_source(val), "val")};
  if (split.train.empty()) {
    throw Error(ExitCode::data, concat("data.train = ", train, ": no file is left to train on, ", split.val.size(), " validate"),
                "give more patients, or lower data.val_fraction");
  }
  std::set<std::string> training;
  for (const auto& file : split.train) training.insert(identity(file));
  for (const auto& file : split.val) {
    if (training.contains(identity(file))) {
      throw Error(ExitCode::data, concat("validation file ", file.name, " is also a training file, or its patient has training files"),
                  "a file or patient may be in one split only: correct the manifest, data.train or data.val");
    }
  }
  return split;
}

void write_splits(const std::filesystem::path& file, const TrainVal& split) {
  auto names = [](const std::vector<io::SourceFile>& files) {
    nlohmann::json list = nlohmann::json::array();
    for (const auto& source : files) list.push_back(source.name);
    return list;
  };
  const nlohmann::ordered_json splits = {{"train", names(split.train)}, {"val", names(split.val)}};
  write_file_atomically(file, splits.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace vmae::run
