#include "index.h"

#include <nlohmann/json.hpp>

#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/hash.h"
#include "vmae/core/json_number.h"
#include "vmae/core/json_text.h"

namespace vmae::io {

using Json = nlohmann::ordered_json;

PreparedInfo parse_index(const std::string& text, const std::string& name) {
  const auto fail = [&](const std::string& what) {
    throw Error(ExitCode::data, concat(name, ": ", what), "give the folder that `vmae prepare --output` wrote");
  };
  if (is_deep_json(text)) fail("nests too deeply for an index");
  const auto integer = [&](const Json& json) {
    const auto value = whole_number(json);
    if (!value) fail("has something else in the place of a whole number");
    return value.value_or(0);
  };
  try {
    const Json json = Json::parse(text);
    if (!json.is_object() || json.value("format", "") != kFormatName) fail("is not the index of a prepared dataset");
    if (const int64_t version = integer(json.at("version")); version != kFormatVersion) {
      fail(concat("has version ", version, " of the format; this program reads version ", kFormatVersion,
                  ": prepare the dataset again, or use another vmae"));
    }
    PreparedInfo info;
    info.num_items = integer(json.at("num_items"));
    info.num_cases = integer(json.at("num_cases"));
    info.layout = json.at("layout");
    info.percentiles = json.at("percentiles").get<std::vector<double>>();
    info.intensity = json.at("intensity");
    info.label_names = json.at("label_names").get<std::vector<std::string>>();
    info.is_multi_label = json.at("is_multi_label");
    info.mask_names = json.at("mask_names").get<std::vector<std::string>>();
    info.has_masks = json.at("has_masks");
    info.channel_names = json.value("channel_names", std::vector<std::string>());
    if (json.contains("ignore_label")) info.ignore_label = integer(json["ignore_label"]);
    for (const Json& region : json.value("regions", Json::array()))
      info.regions.push_back({region.at("name"), region.at("values").get<std::vector<int64_t>>()});
    info.options = json.at("options").get<std::vector<std::string>>();
    for (const auto& [name_of_modality, count] : json.at("modalities").items())
      info.modalities[name_of_modality] = integer(count);
    info.num_failed = integer(json.at("num_failed"));
    info.num_duplicates = integer(json.at("num_duplicates"));
    info.digest = json.at("digest");
    int64_t num_items = 0, num_cases = 0;
    for (const Json& shard : json.at("shards")) {
      info.shards.push_back(
          {shard.at("file"), num_cases, integer(shard.at("num_cases")), num_items, integer(shard.at("num_items"))});
      const PreparedShard& added = info.shards.back();
      if (added.num_cases < 0 || added.num_items < 0 || added.num_cases > UINT32_MAX || added.num_items > UINT32_MAX)
        fail("a shard of impossible size");
      if (std::filesystem::path(added.file).filename() != added.file || added.file.empty())
        fail("a shard outside of the folder: " + added.file);
      num_cases += added.num_cases;
      num_items += added.num_items;
    }
    if (num_cases != info.num_cases || num_items != info.num_items) fail("the shards do not add up to the whole");
    if (info.percentiles.size() != 2) fail("percentiles must be two numbers");
    return info;
  } catch (const Json::exception& error) {
    fail(concat("is damaged: ", error.what()));
  }
  return {};
}

PreparedInfo read_index(const std::filesystem::path& file) {
  std::error_code problem;
  if (!std::filesystem::exists(file, problem) && !problem) {  // what can't be looked at, reading names
    throw Error(ExitCode::data,
                concat(file.parent_path().string(),
                       " is not a prepared dataset, or one that is not finished: it has no ", kIndexName),
                "run the same `vmae prepare` again: it goes on where it was stopped");
  }
  return parse_index(read_file(file), file.string());
}

std::string index_json(const PreparedInfo& info) {
  Json shards = Json::array();
  for (const PreparedShard& shard : info.shards)
    shards.push_back({{"file", shard.file}, {"num_cases", shard.num_cases}, {"num_items", shard.num_items}});
  Json json = {{"format", kFormatName},
               {"version", kFormatVersion},
               {"num_cases", info.num_cases},
               {"num_items", info.num_items},
               {"num_failed", info.num_failed},
               {"num_duplicates", info.num_duplicates},
               {"modalities", info.modalities},
               {"layout", info.layout},
               {"intensity", info.intensity},
               {"percentiles", info.percentiles},
               {"label_names", info.label_names},
               {"is_multi_label", info.is_multi_label},
               {"has_masks", info.has_masks},
               {"mask_names", info.mask_names},
               {"options", info.options},
               {"shards", shards},
               {"digest", info.digest}};
  if (!info.channel_names.empty()) json["channel_names"] = info.channel_names;
  if (info.ignore_label >= 0) json["ignore_label"] = info.ignore_label;
  for (const LabelRegion& region : info.regions)
    json["regions"].push_back({{"name", region.name}, {"values", region.values}});
  return json_text(json, 1) + "\n";
}

std::string dataset_digest(const std::string& cases_digest, PreparedInfo info) {
  info.digest.clear();
  return hex(sha256(cases_digest + index_json(info)));
}

}  // namespace vmae::io
