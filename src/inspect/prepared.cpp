// `vmae inspect` of a prepared dataset.
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "kinds.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/json_text.h"
#include "vmae/core/spread.h"
#include "vmae/image/image.h"
#include "vmae/prepare/names_table.h"
#include "vmae/prepared/prepared.h"
#include "vmae/sources/patients.h"
#include "vmae/sources/source.h"

namespace vmae::run {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// What the cases have in common, from their records; items are not read.
Json summarise(const io::PreparedDataset& dataset, const fs::path& path) {
  std::map<std::string, int64_t> splits, units;
  std::vector<int64_t> labels(dataset.info().label_names.size());
  std::array<int64_t, 2> slices{INT64_MAX, 0};
  for (int64_t i = 0; i < dataset.info().num_cases; ++i) {
    const io::PreparedCase c = dataset.read_case(i);
    if (!c.failure.empty()) continue;
    if (!c.split.empty()) ++splits[c.split];
    ++units[io::name_of(c.units)];
    for (size_t k = 0; k < c.labels.size() && k < labels.size(); ++k) labels[k] += c.labels[k] == 1.0F ? 1 : 0;
    slices = {std::min(slices[0], c.num_items), std::max(slices[1], c.num_items)};
  }
  const io::PatientCount patients = io::count_patients(io::find_source(path).files);
  Json json = {{"num_patients", patients.number() ? Json(*patients.number()) : Json(nullptr)},
               {"patients", patients.number_text()},
               {"splits", splits},
               {"units", units},
               {"slices_per_case", {dataset.info().num_items > 0 ? slices[0] : 0, slices[1]}}};
  for (size_t k = 0; k < labels.size(); ++k) json["cases_by_label"][dataset.info().label_names[k]] = labels[k];
  return json;
}

// What could not be read, by its real name where that is known. For the screen only.
Json left_out(const fs::path& folder, const std::map<std::string, const NamedCase*>& named) {
  Json list = Json::array();
  const fs::path file = folder / "quarantine.jsonl";
  if (!fs::exists(file)) return list;
  const std::string lines = read_file(file);
  for (size_t at = 0; at < lines.size();) {
    const size_t end = std::min(lines.find('\n', at), lines.size());
    Json entry = Json::parse(lines.substr(at, end - at), nullptr, /*allow_exceptions=*/false);
    if (entry.is_object()) {
      if (const auto found = named.find(entry.value("name", "")); found != named.end())
        entry["path"] = found->second->source;
      list.push_back(std::move(entry));
    }
    at = end + 1;
  }
  return list;
}

// Which file each case was made of; null: not among those that are known.
Json cases_of(const io::PreparedDataset& dataset, const std::map<std::string, const NamedCase*>& named) {
  Json list = Json::array();
  for (int64_t i = 0; i < dataset.info().num_cases; ++i) {
    const std::string name = dataset.read_case(i).name;
    const auto found = named.find(name);
    list.push_back(
        {{"case", i}, {"name", name}, {"path", found == named.end() ? Json(nullptr) : Json(found->second->source)}});
  }
  return list;
}

std::string dataset_text(const Json& json) {
  std::string text = concat(json["path"].get<std::string>(), ": prepared dataset, ", json["num_items"], " slices of ",
                            json["num_cases"], " cases, patients: ", json["patients"].get<std::string>(), ", ",
                            human_bytes(json["bytes"].get<double>()));
  for (const auto& [key, value] : json.items()) {
    if (key == "path" || key == "kind" || key == "num_items" || key == "num_cases" || key == "num_patients" ||
        key == "patients" || key == "bytes" || key == "left_out" || key == "cases" || value.empty())
      continue;
    if (key == "options") {
      text += "\n  options:";
      for (const Json& option : value) text += "\n    " + option.get<std::string>();
      continue;
    }
    text += concat("\n  ", key, ": ", value.is_string() ? value.get<std::string>() : value.dump());
  }
  size_t shown = 0;
  for (const Json& entry : json["left_out"]) {
    if (++shown > 20) {
      text += concat("\n  ... ", json["left_out"].size() - 20, " more in quarantine.jsonl");
      break;
    }
    text += concat("\n  left out: ", entry.value("path", entry.value("name", "")), ": ", entry.value("reason", ""));
  }
  shown = 0;
  for (const Json& one : json.value("cases", Json::array())) {
    if (++shown > 20) {
      text += concat("\n  ... ", json["cases"].size() - 20, " more cases with --json");
      break;
    }
    text += concat("\n  case ", one["name"].get<std::string>(), ": ",
                   one["path"].is_null() ? "not known" : one["path"].get<std::string>());
  }
  return text;
}

}  // namespace

Inspection inspect_prepared(const fs::path& path, const InspectArguments& arguments) {
  const io::PreparedDataset dataset(path);
  const io::PreparedInfo& info = dataset.info();
  const fs::path folder = fs::is_directory(path) ? path : path.parent_path();
  uint64_t bytes = 0;
  for (const io::PreparedShard& shard : info.shards) bytes += fs::file_size(folder / shard.file);
  Json json = {{"path", path.string()},
               {"kind", "prepared dataset"},
               {"num_items", info.num_items},
               {"num_cases", info.num_cases},
               {"num_failed", info.num_failed},
               {"num_duplicates", info.num_duplicates},
               {"bytes", bytes},
               {"shards", info.shards.size()},
               {"layout", info.layout},
               {"modalities", info.modalities}};
  json.update(summarise(dataset, path));
  json["intensity"] = info.intensity;
  json["percentiles"] = info.percentiles;
  json["label_names"] = info.label_names;
  json["is_multi_label"] = info.is_multi_label;
  json["has_masks"] = info.has_masks;
  json["mask_names"] = info.mask_names;
  if (info.ignore_label >= 0) json["ignore_label"] = info.ignore_label;
  json["options"] = info.options;
  json["digest"] = info.digest;
  if (arguments.verify) {
    if (dataset.compute_digest() != info.digest)
      fail_file(path, "its content has not the digest of its index",
                "the dataset was changed or damaged; prepare it again");
    json["verified"] = "every item was read; the digest is right";
  }
  const std::optional<NamesTable> table = names_of_dataset(path, arguments.names);
  std::map<std::string, const NamedCase*> named;
  if (table) {
    for (const NamedCase& one : table->cases) named[one.name] = &one;
  }
  json["left_out"] = left_out(folder, named);
  if (table) json["cases"] = cases_of(dataset, named);
  return {json_text(json, 2), dataset_text(json)};
}

Look look_at_prepared(const fs::path& path) {
  const io::PreparedDataset dataset(path);
  Look look{.tiles = {}, .rules = {.own_names = dataset.info().mask_names, .ignore = dataset.info().ignore_label}};
  for (const int64_t index : evenly_spread(dataset.size(), kMaxTiles)) {
    const io::PreparedItem item = dataset.item(index);
    const io::PreparedCase c = dataset.read_case(item.case_number);
    io::Volume volume;  // one slice
    volume.size = {item.width, item.height, 1};
    volume.channels = item.channels;
    volume.type = item.type;
    volume.scaling = {item.scaling};
    volume.stored_max = item.stored_max;
    volume.stored.resize(item.pixel_bytes());
    dataset.decode(item, volume.stored.data());
    Tile tile{io::slice_of(volume, 2, 0),
              {},
              {item.stats.percentile_low, item.stats.percentile_high},
              1.0,
              concat(index, c.modality.empty() ? "" : " " + c.modality)};
    const data::IntensityRule rule = data::intensity_rule({}, {c.modality, c.units, item.stored_max});
    if (!data::needs_values(rule)) tile.range = data::fixed_range(rule, item.stored_max, {});
    if (dataset.info().intensity != "native") tile.range = {0.0, 1.0};
    if (!item.mask.empty()) {
      tile.mask.resize(item.mask_bytes());
      dataset.decode_mask(item, tile.mask.data());
    }
    if (dataset.info().options.end() ==
        std::find(dataset.info().options.begin(), dataset.info().options.end(), "prepare.resize=[]")) {
      tile.aspect = 1.0;  // resized: the pixels' shape is not known
    } else {
      tile.aspect = c.spacing_mm[io::row_axis(c.axis)] / c.spacing_mm[io::column_axis(c.axis)];
    }
    look.tiles.push_back(std::move(tile));
  }
  return look;
}

}  // namespace vmae::run
