#include "vmae/sources/dataset_json.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "vmae/cases/class_names.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/json_number.h"
#include "vmae/core/utf8_text.h"
#include "vmae/image/file_name.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;  // the order of regions means something

constexpr int64_t kMostLabels = 255, kMostChannels = 100;
constexpr const char* kReaderWriter = "overwrite_image_reader_writer";

// Says which key of which file is wrong.
class Place {
 public:
  explicit Place(std::string file) : text_(std::move(file)) {}
  Place at(const std::string& key) const { return Place(concat(text_, ": \"", key, "\"")); }
  [[noreturn]] void fail(const std::string& what, const std::string& hint = "") const {
    throw Error(ExitCode::data, concat(text_, ": ", what), hint);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// 1, 1.0 and "1"; nothing else.
std::optional<int64_t> integer_of(const Json& value) {
  if (!value.is_string()) return whole_number(value);
  return parse_integer(class_name(value.get<std::string>()));
}

Json parse(const fs::path& file) {
  const std::string text = read_file(file);
  require_utf8(text, file.string(), "JSON is written in UTF-8");
  if (is_deep_json(text)) fail_file(file, "nests too deeply for a dataset.json");
  // The parser keeps the last of equal keys, silently.
  std::vector<std::set<std::string>> keys;
  const auto watch = [&](int /*depth*/, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second)
      fail_file(file, concat("the key \"", parsed.get<std::string>(), "\" stands there twice"),
                "keep the one that is right");
    return true;
  };
  try {
    Json json = Json::parse(text, watch);
    if (!json.is_object()) fail_file(file, "is not a dataset.json: it holds no object ({...})");
    return json;
  } catch (const Json::exception& error) {
    fail_file(file, concat("is not JSON: ", error.what()));
  }
}

// Maps of names and numbers, whichever of them is the key. A list of names counts from 0.
struct NamedNumbers {
  std::string name;
  std::vector<int64_t> values;
};
std::vector<NamedNumbers> named_numbers(const Json& json, const Place& place) {
  std::vector<NamedNumbers> all;
  if (json.is_array()) {
    for (const Json& one : json) {
      if (!one.is_string())
        place.fail("is a list, but not of names", "write names and numbers: {\"background\": 0, \"liver\": 1}");
      all.push_back({std::string(trim(one.get<std::string>())), {static_cast<int64_t>(all.size())}});
    }
    return all;
  }
  if (!json.is_object())
    place.fail("is neither an object nor a list", "write names and numbers: {\"background\": 0, \"liver\": 1}");
  for (const auto& [key, value] : json.items()) {
    const std::string name(trim(key));
    const auto number_of_key = parse_integer(class_name(key));
    if (value.is_array()) {
      NamedNumbers region{name, {}};
      for (const Json& one : value) {
        const auto number = integer_of(one);
        if (!number) place.at(key).fail(concat("holds ", one.dump(), ", which is no whole number"));
        region.values.push_back(*number);
      }
      if (region.values.empty()) place.at(key).fail("is a region without values");
      all.push_back(std::move(region));
      continue;
    }
    const auto number = integer_of(value);
    if (number && number_of_key && value.is_string() && *number != *number_of_key)
      place.at(key).fail(concat("is ", value.dump(), ": which of the two is the name can't be told"),
                         "write the values as numbers, without quotes");
    if (number) {
      all.push_back({name, {*number}});
    } else if (number_of_key && value.is_string()) {
      all.push_back({std::string(trim(value.get<std::string>())), {*number_of_key}});
    } else {
      place.at(key).fail(concat("is ", value.dump(), ", which is no whole number"));
    }
  }
  return all;
}

// What "labels" names: values, and regions of several values.
struct Labels {
  std::map<int64_t, std::string> name_of;
  std::map<std::vector<int64_t>, std::string> region_of;
  std::vector<LabelRegion> regions;

  int64_t highest() const {
    int64_t most = 0;
    for (const auto& [value, name] : name_of) most = std::max(most, value);
    for (const LabelRegion& region : regions) most = std::max(most, region.values.back());
    return most;
  }
  bool is_in_a_region(int64_t value) const {
    return std::any_of(regions.begin(), regions.end(), [&](const LabelRegion& region) {
      return std::find(region.values.begin(), region.values.end(), value) != region.values.end();
    });
  }
};

// Afterwards they ascend, each once.
void check_and_sort_values(NamedNumbers& one, const Place& place) {
  if (one.name.empty())
    place.fail(concat("the name of the value ", one.values[0], " is empty"), "give every class a name");
  for (const int64_t value : one.values) {
    if (value < 0 || value > kMostLabels)
      place.at(one.name).fail(concat("has the value ", value, "; masks hold 0 to ", kMostLabels));
  }
  std::sort(one.values.begin(), one.values.end());
  one.values.erase(std::unique(one.values.begin(), one.values.end()), one.values.end());
}

void take_ignored(const NamedNumbers& one, const Place& place, DatasetJson& dataset) {
  if (one.name != "ignore")
    dataset.remarks.push_back(concat("the label \"", one.name, "\" is taken for nnU-Net's \"ignore\""));
  if (one.values.size() > 1 || one.values[0] == 0) place.at(one.name).fail("is not one value above 0");
  if (dataset.ignore_label >= 0) place.at(one.name).fail("is there twice");
  dataset.ignore_label = one.values[0];
}

void take_region(const NamedNumbers& one, const Place& place, Labels& labels) {
  if (one.values[0] == 0) place.at(one.name).fail("is a region that holds 0, which is the background");
  const auto [same, is_new] = labels.region_of.emplace(one.values, one.name);
  if (!is_new) place.at(one.name).fail(concat("is the same region as \"", same->second, "\""), "keep one of them");
  labels.regions.push_back({one.name, one.values});
}

void take_value(const NamedNumbers& one, const Place& place, Labels& labels) {
  const auto [same, is_new] = labels.name_of.emplace(one.values[0], one.name);
  if (!is_new)
    place.fail(concat("the value ", one.values[0], " has two names: \"", same->second, "\" and \"", one.name, "\""),
               "every class has a value of its own");
  if (to_lower(one.name) == "background" && one.values[0] != 0)
    place.at(one.name).fail(concat("is ", one.values[0], ", but the background is 0"));
}

// A mask to be seen, of 0 and 255 alone (label_meaning.h, rule 4).
void take_drawn_mask(Labels& labels, DatasetJson& dataset) {
  std::map<int64_t, std::string>& name_of = labels.name_of;
  const bool is_drawn =
      labels.regions.empty() && dataset.ignore_label < 0 && name_of.contains(255) &&
      std::none_of(name_of.begin(), name_of.end(), [](const auto& one) { return one.first != 0 && one.first != 255; });
  if (!is_drawn) return;
  dataset.mask_names = {name_of[255]};
  dataset.remarks.push_back(concat("the only label is 255: it is class 1, ", name_of[255]));
  name_of.clear();
}

void check_ignored(int64_t highest, const Place& place, const DatasetJson& dataset) {
  if (dataset.ignore_label < 0 || dataset.ignore_label > highest) return;
  place.at("ignore").fail(concat("is ", dataset.ignore_label, ", but ", highest,
                                 " is a class: \"ignore\" must be the highest value, as in nnU-Net"),
                          "number the labels anew, in the masks too");
}

// Returns the values that neither have a name nor are part of a region.
std::vector<std::string> name_values(const Labels& labels, DatasetJson& dataset) {
  std::vector<std::string> nameless;
  for (int64_t value = 1, highest = labels.highest(); value <= highest; ++value) {
    const auto named = labels.name_of.find(value);
    dataset.mask_names.push_back(named != labels.name_of.end() ? named->second : nameless_label(value));
    if (named == labels.name_of.end() && !labels.is_in_a_region(value)) nameless.push_back(std::to_string(value));
  }
  return nameless;
}

void remark_on_nameless(std::vector<std::string> nameless, DatasetJson& dataset) {
  if (nameless.empty()) return;
  const size_t count = nameless.size();
  if (count > 5) nameless.resize(5);
  dataset.remarks.push_back(concat("dataset.json names no label of the value ", join(nameless, ", "),
                                   count > 5 ? ", ..." : "", ": called \"label N\""));
}

void read_labels(const Json& json, const Place& place, DatasetJson& dataset) {
  Labels labels;
  for (NamedNumbers& one : named_numbers(json, place)) {
    check_and_sort_values(one, place);
    if (to_lower(one.name) == "ignore") {
      take_ignored(one, place, dataset);
    } else if (one.values.size() > 1) {
      take_region(one, place, labels);
    } else {
      take_value(one, place, labels);
    }
  }
  take_drawn_mask(labels, dataset);
  check_ignored(labels.highest(), place, dataset);
  const std::vector<std::string> nameless = name_values(labels, dataset);
  dataset.regions = std::move(labels.regions);
  std::vector<std::string> all = dataset.mask_names;
  for (const LabelRegion& region : dataset.regions) all.push_back(region.name);
  for (std::string& remark : check_class_names(all, place.text())) dataset.remarks.push_back(std::move(remark));
  remark_on_nameless(nameless, dataset);
}

// The values of nnU-Net's own predictions, one for each region: they must mean there what they mean in the masks.
void check_class_order(const Json& json, const Json& labels, const Place& place, DatasetJson& dataset) {
  if (!json.is_array()) place.fail("is no list of values");
  std::vector<std::vector<int64_t>> regions;
  for (const NamedNumbers& one : named_numbers(labels, place)) {
    if (to_lower(one.name) != "ignore" && one.values != std::vector<int64_t>{0}) regions.push_back(one.values);
  }
  for (size_t i = 0; i < json.size(); ++i) {
    const auto value = integer_of(json[i]);
    if (!value) place.fail(concat("holds ", json[i].dump(), ", which is no whole number"));
    if (i >= regions.size() || std::find(regions[i].begin(), regions[i].end(), *value) != regions[i].end()) continue;
    dataset.predicts_other_numbers = true;
    dataset.remarks.push_back(concat(
        "regions_class_order has ", *value,
        " for a region without this value: nnU-Net's predictions number their voxels differently than the masks"));
  }
  if (json.size() != regions.size())
    dataset.remarks.push_back(concat("regions_class_order has ", json.size(), " values for ", regions.size(),
                                     " regions: it is left out of account"));
}

void read_channels(const Json& json, const Place& place, DatasetJson& dataset) {
  if (json.is_string()) {
    dataset.channels = {json.get<std::string>()};
    return;
  }
  for (const NamedNumbers& one : named_numbers(json, place)) {
    if (one.values.size() != 1 || one.values[0] < 0 || one.values[0] >= kMostChannels)
      place.at(one.name).fail(concat("is no number of a channel; they count from 0"));
    const auto channel = static_cast<size_t>(one.values[0]);
    if (dataset.channels.size() <= channel) dataset.channels.resize(channel + 1);
    if (!dataset.channels[channel].empty())
      place.fail(concat("the channel ", channel, " has two names: \"", dataset.channels[channel], "\" and \"", one.name,
                        "\""));
    dataset.channels[channel] = one.name;
  }
}

std::string path_of(const Json& json, const Place& place) {
  if (!json.is_string() || json.get<std::string>().empty())
    place.fail(concat("is ", json.dump(), " where the path of a file is meant"));
  return json.get<std::string>();
}

std::vector<std::string> paths_of(const Json& json, const Place& place) {
  std::vector<std::string> paths;
  if (!json.is_array()) return {path_of(json, place)};
  for (const Json& one : json) paths.push_back(path_of(one, place));
  if (paths.empty()) place.fail("is an empty list");
  return paths;
}

// {"image": ..., "label": ...}; of tests also the path alone.
std::vector<DatasetJson::Entry> read_entries(const Json& json, const Place& place) {
  std::vector<DatasetJson::Entry> entries;
  if (!json.is_array()) place.fail("is no list");
  for (const Json& one : json) {
    const Place here = place.at(concat(entries.size()));
    DatasetJson::Entry entry;
    if (one.is_object()) {
      if (!one.contains("image")) here.fail("has no \"image\"");
      entry.images = paths_of(one.at("image"), here.at("image"));
      if (one.contains("label") && !one.at("label").is_null() && one.at("label") != Json(""))
        entry.mask = path_of(one.at("label"), here.at("label"));
      if (one.contains("fold")) {
        const auto fold = integer_of(one.at("fold"));
        if (!fold || *fold < 0) here.at("fold").fail(concat("is ", one.at("fold").dump(), "; allowed: 0, 1, 2, ..."));
        entry.fold = *fold;
      }
    } else {
      entry.images = paths_of(one, here);
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::vector<DatasetJson::Entry> read_cases(const Json& json, const Place& place) {
  std::vector<DatasetJson::Entry> entries;
  if (!json.is_object()) place.fail("is no object of cases");
  for (const auto& [name, one] : json.items()) {
    const Place here = place.at(name);
    if (!one.is_object() || !one.contains("images")) here.fail("has no \"images\"");
    DatasetJson::Entry entry{name, paths_of(one.at("images"), here.at("images")), "", -1};
    if (one.contains("label") && !one.at("label").is_null()) entry.mask = path_of(one.at("label"), here.at("label"));
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::string read_ending(const Json& json, const Place& place) {
  if (!json.is_string()) place.fail(concat("is ", json.dump(), " where an ending such as \".nii.gz\" is meant"));
  std::string ending = to_lower(trim(json.get<std::string>()));
  if (!ending.starts_with('.') && !ending.empty()) ending = "." + ending;
  const FileKind kind = kind_of("x" + ending);
  if (kind != FileKind::picture && kind != FileKind::volume)
    place.fail(concat("is ", json.dump(), ", an ending of files that are not read"),
               "see docs/data.md for what can be read");
  return ending;
}

}  // namespace

bool lists_images(const fs::path& file) {
  const Json json = parse(file);
  const auto lists = [&](const char* key, const char* what) {
    if (!json.contains(key)) return false;
    const Json& all = json.at(key);
    return all.is_structured() && !all.empty() && all.begin()->is_object() && all.begin()->contains(what);
  };
  return lists("training", "image") || lists("dataset", "images");
}

DatasetJson read_dataset_json(const fs::path& file) {
  const Json json = parse(file);
  const Place place(file.string());
  DatasetJson dataset;
  const auto has = [&](const char* key) { return json.contains(key) && !json.at(key).is_null(); };
  if (has("labels")) {
    read_labels(json.at("labels"), place.at("labels"), dataset);
    dataset.num_labels = std::ssize(json.at("labels"));
  }
  if (has("regions_class_order") && has("labels"))
    check_class_order(json.at("regions_class_order"), json.at("labels"), place.at("regions_class_order"), dataset);
  for (const char* key : {"channel_names", "modality"}) {
    if (has(key) && dataset.channels.empty()) read_channels(json.at(key), place.at(key), dataset);
  }
  if (has("file_ending")) dataset.file_ending = read_ending(json.at("file_ending"), place.at("file_ending"));
  if (has(kReaderWriter) && json.at(kReaderWriter).is_string() && json.at(kReaderWriter) != Json("None"))
    dataset.reader_writer = json.at(kReaderWriter).get<std::string>();
  if (has("numTraining")) {
    const auto number = integer_of(json.at("numTraining"));
    if (!number || *number < 0)
      place.at("numTraining").fail(concat("is ", json.at("numTraining").dump(), ", which is no number of cases"));
    dataset.num_training = *number;
  }
  for (const auto& [key, entries] :
       {std::pair{"training", &dataset.training}, {"validation", &dataset.validation}, {"test", &dataset.test}}) {
    if (has(key)) *entries = read_entries(json.at(key), place.at(key));
  }
  if (has("dataset")) dataset.by_case = read_cases(json.at("dataset"), place.at("dataset"));
  return dataset;
}

}  // namespace vmae::io
