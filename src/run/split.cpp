#include "vmae/run/split.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/random.h"

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
  const auto wanted = std::max<size_t>(1, static_cast<size_t>(static_cast<double>(patients.size()) * fraction + 0.5));
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

// Who a file belongs to, across sources: the patient, or where patients are not known (then it is the name) the file itself.
std::string identity(const io::SourceFile& file) {
  if (file.patient != file.name) return "patient " + file.patient;
  std::error_code unreadable;
  const auto canonical = std::filesystem::weakly_canonical(file.path, unreadable);
  return "file " + (unreadable ? file.path : canonical).string();
}

}  // namespace

TrainVal split_train_val(const std::string& train, const std::string& val, double val_fraction, uint64_t seed) {
  if (train.empty()) throw Error(ExitCode::usage, "data.train is not set", "give a folder of images or a manifest CSV: data.train=/path/to/images");
  TrainVal split = val.empty() ? split_one_source(io::list_source(train), val_fraction, seed)
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
