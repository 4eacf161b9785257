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

TrainVal split_one_source(std::vector<io::SourceFile> files, double val_fraction, uint64_t seed) {
  TrainVal split;
  const bool has_splits = std::any_of(files.begin(), files.end(), [](const auto& file) { return !file.split.empty(); });
  std::set<std::string> validating;
  if (!has_splits && val_fraction > 0.0) validating = draw_patients(patients_of(files), val_fraction, seed);
  for (auto& file : files) {
    if (has_splits && file.split != "train" && file.split != "val") continue;  // "test", or none
    const bool validates = has_splits ? file.split == "val" : validating.contains(file.patient);
    (validates ? split.val : split.train).push_back(std::move(file));
  }
  return split;
}

}  // namespace

TrainVal split_train_val(const std::string& train, const std::string& val, double val_fraction, uint64_t seed) {
  if (train.empty()) throw Error(ExitCode::usage, "data.train is not set", "give a folder of images or a manifest CSV: data.train=/path/to/images");
  TrainVal split = val.empty() ? split_one_source(io::list_source(train), val_fraction, seed) : TrainVal{io::list_source(train), io::list_source(val)};
  if (split.train.empty()) {
    throw Error(ExitCode::data, concat("data.train = ", train, ": no file is left to train on, ", split.val.size(), " validate"),
                "give more patients, or lower data.val_fraction");
  }
  const std::set<std::string> training = patients_of(split.train);
  for (const auto& file : split.val) {
    if (training.contains(file.patient)) {
      throw Error(ExitCode::data, concat("the patient of validation file ", file.name, " also has training files"),
                  "a patient may be in one split only: correct the manifest, data.train or data.val");
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
