// {"format": "vmae-splits", "version": 1, "scheme": ..., "seed": ..., "by": "patient" or "case",
// "stratified": ..., "cases": {"count", "patients", "checksum"}, "folds": [{"counts": {"train": {"cases",
// "patients"}, ...}, "train": [names], "val": [...], "test": [...], "fractions": {"10": [...], ...}}, ...]}
#include "vmae/splits/splits_file.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/json_number.h"
#include "vmae/core/json_text.h"
#include "vmae/sources/patients.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "vmae-splits";
constexpr int64_t kVersion = 1;
constexpr std::array<const char*, 3> kParts{"train", "val", "test"};

// The names in kParts[part] of a fold, const or not.
template <class Fold>
auto& part_of(Fold& fold, size_t part) {
  if (part == 0) return fold.train;
  return part == 1 ? fold.val : fold.test;
}

// An error about this place in the file, with one way out for all of them.
Error wrong(const std::string& place, const std::string& what) {
  return {ExitCode::data, concat(place, ": ", what),
          "correct the file, or make it again with `vmae split` on the data as they are"};
}

// Numbers of other programs may be given as 1.0; a text or a list in their place is an error.
template <class T>
T value(const Json& object, const char* key, T missing, const std::string& place) {
  const auto it = object.find(key);
  if (it == object.end()) return missing;
  try {
    if constexpr (std::is_same_v<T, int64_t>) {
      if (const auto number = whole_number(*it)) return *number;
      throw Json::type_error::create(302, "not a whole number", &*it);
    } else {
      return it->template get<T>();
    }
  } catch (const Json::exception&) {
    throw wrong(place, concat("\"", key, "\" is ", json_text(*it).substr(0, 40), ", not of the right type"));
  }
}

void require_object(const Json& json, const std::vector<std::string>& keys, const std::string& place) {
  if (!json.is_object()) throw wrong(place, "is not a JSON object");
  for (const auto& [key, ignored] : json.items()) {
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    const std::string nearest = did_you_mean(key, keys);
    throw wrong(place, concat("unknown key \"", key, "\"",
                              nearest.empty() ? concat("; known are ", join(keys, ", "))
                                              : "; did you mean \"" + nearest + "\"?"));
  }
}

std::vector<std::string> read_names(const Json& list, const std::string& place) {
  if (!list.is_array()) throw wrong(place, "is not a list of case names");
  std::vector<std::string> names;
  for (const Json& name : list) {
    if (!name.is_string()) throw wrong(place, concat("entry ", names.size() + 1, " is not a text"));
    names.push_back(name.get<std::string>());
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) throw wrong(place, "names the case " + *twice + " twice");
  return names;
}

int64_t read_percent(const std::string& text, const std::string& place) {
  const auto percent = parse_integer(text);
  if (!percent || *percent < 1 || *percent > 100)
    throw wrong(place, "fraction \"" + text + "\" is not a whole number of percent from 1 to 100");
  return *percent;
}

SplitFold read_fold(const Json& json, const std::string& place) {
  SplitFold fold;
  std::map<std::string, size_t> part_of_name;
  for (size_t part = 0; part < kParts.size(); ++part) {
    const auto list = json.find(kParts[part]);
    if (list == json.end()) continue;
    const std::string here = concat(place, ", part ", kParts[part]);
    part_of(fold, part) = read_names(*list, here);
    for (const auto& name : part_of(fold, part)) {
      const auto [first, is_new] = part_of_name.emplace(name, part);
      if (!is_new) throw wrong(here, concat("the case ", name, " is in part ", kParts[first->second], " too"));
    }
  }
  if (fold.train.empty()) throw wrong(place, "no case is in part train");
  const Json fractions = json.value("fractions", Json::object());
  if (!fractions.is_object()) throw wrong(place, "\"fractions\" is not an object {\"10\": [names], ...}");
  for (const auto& [text, list] : fractions.items()) {
    const int64_t percent = read_percent(text, place);
    fold.fractions[percent] = read_names(list, concat(place, ", fraction ", percent));
  }
  const std::vector<std::string>* larger = &fold.train;
  std::string larger_name = "part train";
  for (auto it = fold.fractions.rbegin(); it != fold.fractions.rend(); ++it) {
    const std::string here = concat(place, ", fraction ", it->first);
    if (it->second.empty()) throw wrong(here, "holds no case");
    for (const auto& name : it->second) {
      if (!std::binary_search(larger->begin(), larger->end(), name))
        throw wrong(here, concat("the case ", name, " is not in ", larger_name));
    }
    larger = &it->second;
    larger_name = concat("fraction ", it->first);
  }
  return fold;
}

void read_head(const Json& json, const std::string& place, Splits& splits) {
  require_object(json, {"format", "version", "scheme", "seed", "by", "stratified", "cases", "folds"}, place);
  const auto version = value<int64_t>(json, "version", 0, place);
  if (value<std::string>(json, "format", "", place) != kFormat)
    throw wrong(place, concat("\"format\" is not \"", kFormat, "\""));
  if (version != kVersion)
    throw wrong(place, concat("is of version ", version, "; this program reads version ", kVersion));
  splits.scheme = value<std::string>(json, "scheme", "", place);
  splits.seed = value<int64_t>(json, "seed", 0, place);
  splits.is_by_patient = value<std::string>(json, "by", "case", place) == "patient";
  splits.is_stratified = value<bool>(json, "stratified", false, place);
  const Json cases = json.value("cases", Json::object());
  require_object(cases, {"count", "patients", "checksum"}, place + ": \"cases\"");
  splits.num_cases = value<int64_t>(cases, "count", 0, place);
  if (!cases.value("patients", Json()).is_null()) splits.num_patients = value<int64_t>(cases, "patients", 0, place);
  splits.checksum = value<std::string>(cases, "checksum", "", place);
}

Json parse(const fs::path& file) {
  const std::string text = read_file(file);
  if (is_deep_json(text)) throw wrong(file.string(), "nests too deeply for a file of splits");
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    throw wrong(file.string(), concat("is not JSON: ", error.what()));
  }
}

}  // namespace

void write_splits(const fs::path& file, const Splits& splits, const std::vector<SplitCase>& cases) {
  std::map<std::string, const SplitCase*> case_of;
  for (const SplitCase& one : cases) {
    if (!is_utf8(one.name))
      throw Error(ExitCode::data, concat("the name of the case ", one.name, " is not UTF-8, and JSON can't hold it"),
                  "rename the file");
    case_of[one.name] = &one;
  }
  Json folds = Json::array();
  for (const SplitFold& fold : splits.folds) {
    Json counts = Json::object(), entry = Json::object();
    for (size_t part = 0; part < kParts.size(); ++part) {
      const auto& names = part_of(fold, part);
      if (names.empty()) continue;
      PatientCount patients;
      for (const auto& name : names) patients.add(case_of.at(name)->patient, case_of.at(name)->is_patient_known);
      counts[kParts[part]] = {{"cases", names.size()},
                              {"patients", patients.number() ? Json(*patients.number()) : Json(nullptr)}};
    }
    entry["counts"] = counts;
    for (size_t part = 0; part < kParts.size(); ++part) {
      if (!part_of(fold, part).empty()) entry[kParts[part]] = part_of(fold, part);
    }
    entry["fractions"] = Json::object();
    for (const auto& [percent, names] : fold.fractions) entry["fractions"][std::to_string(percent)] = names;
    folds.push_back(entry);
  }
  const Json json = {{"format", kFormat},
                     {"version", kVersion},
                     {"scheme", splits.scheme},
                     {"seed", splits.seed},
                     {"by", splits.is_by_patient ? "patient" : "case"},
                     {"stratified", splits.is_stratified},
                     {"cases",
                      {{"count", splits.num_cases},
                       {"patients", splits.is_by_patient ? Json(splits.num_patients) : Json(nullptr)},
                       {"checksum", splits.checksum}}},
                     {"folds", folds}};
  write_file_atomically(file, json.dump(1) + "\n");
}

Splits read_splits(const fs::path& file) {
  const Json json = parse(file);
  const std::string place = file.string();
  Splits splits;
  if (json.is_object() && !json.contains("folds") && json.contains("train")) {  // of a run folder
    require_object(json, {"train", "val", "test"}, place);
    splits.folds.push_back(read_fold(json, place + ": fold 0"));
    return splits;
  }
  read_head(json, place, splits);
  const Json folds = json.value("folds", Json());
  if (!folds.is_array() || folds.empty()) throw wrong(place, "\"folds\" is not a list of at least one fold");
  for (const Json& fold : folds) {
    const std::string here = concat(place, ": fold ", splits.folds.size());
    require_object(fold, {"counts", "train", "val", "test", "fractions"}, here);
    splits.folds.push_back(read_fold(fold, here));
  }
  return splits;
}

void check_splits(const Splits& splits, const fs::path& file, const std::vector<SplitCase>& cases) {
  std::map<std::string, const SplitCase*> case_of;
  for (const SplitCase& one : cases) {
    if (!case_of.emplace(one.name, &one).second)
      throw Error(ExitCode::data, concat("two cases of the data have the name ", one.name),
                  "names must differ to be split");
  }
  for (size_t number = 0; number < splits.folds.size(); ++number) {
    const SplitFold& fold = splits.folds[number];
    std::map<std::string, std::pair<size_t, std::string>> seen;  // patient -> part, case
    std::set<std::string> assigned;
    for (size_t part = 0; part < kParts.size(); ++part) {
      const std::string place = concat(file.string(), ": fold ", number, ", part ", kParts[part]);
      for (const auto& name : part_of(fold, part)) {
        const auto it = case_of.find(name);
        if (it == case_of.end())
          throw Error(ExitCode::data,
                      concat(place, ": the case ", name, " is not in the data, or is marked as test there"),
                      "make the splits of what is trained on (`vmae split --input` with data.train): other data, and a "
                      "dataset that was prepared from "
                      "these files, have other names");
        const auto& [first_part, first_name] =
            seen.emplace(it->second->patient, std::make_pair(part, name)).first->second;
        if (first_part != part)
          throw wrong(place,
                      concat("the patient of ", name, " is in part ", kParts[first_part], " too, with ", first_name));
        assigned.insert(name);
      }
    }
    if (splits.checksum.empty()) continue;
    for (const auto& [name, ignored] : case_of) {
      if (!assigned.contains(name))
        throw wrong(concat(file.string(), ": fold ", number), concat("the case ", name, " of the data is in no part"));
    }
  }
  std::vector<std::string> names;
  for (const auto& [name, ignored] : case_of) names.push_back(name);
  if (!splits.checksum.empty() && splits.checksum != case_checksum(names))
    throw wrong(file.string(), "the checksum does not fit the names of the cases");
}

}  // namespace vmae::io
