// `vmae inspect` of images: a file, a DICOM series, a manifest or any other source.
#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "kinds.h"
#include "vmae/cases/channels.h"
#include "vmae/cases/mask_numbering.h"
#include "vmae/cases/read_image.h"
#include "vmae/core/error.h"
#include "vmae/core/json_text.h"
#include "vmae/core/log.h"
#include "vmae/core/spread.h"
#include "vmae/image/image.h"
#include "vmae/image/npy.h"
#include "vmae/image/picture.h"
#include "vmae/sources/patients.h"
#include "vmae/sources/source.h"
#include "vmae/volume/volume.h"

namespace vmae::run {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr size_t kShown = 20;

Json geometry(const io::Volume& volume) {
  Json scaling = Json::array();
  for (const io::Scaling& s : volume.scaling) scaling.push_back({{"slope", s.slope}, {"intercept", s.intercept}});
  return {{"size", volume.size},
          {"channels", volume.channels},
          {"spacing_mm", volume.spacing_mm},
          {"origin_mm", volume.origin_mm},
          {"direction", volume.direction},
          {"modality", volume.modality},
          {"units", io::name_of(volume.units)},
          {"type", io::name_of(volume.type)},
          {"scaling", scaling},
          {"stored_max", volume.stored_max}};
}

Json statistics(const std::vector<float>& values) {
  double sum = 0;
  int64_t num_finite = 0;
  float low = INFINITY, high = -INFINITY;
  for (const float value : values) {
    if (!std::isfinite(value)) continue;
    ++num_finite;
    sum += value;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  if (num_finite == 0) return {{"num_values", values.size()}, {"num_not_finite", values.size()}};
  return {{"min", low},
          {"max", high},
          {"mean", sum / static_cast<double>(num_finite)},
          {"num_not_finite", static_cast<int64_t>(values.size()) - num_finite}};
}

Json labels_json(const io::SourceFile& file) {
  Json labels = Json::array();
  for (const float label : file.labels) labels.push_back(std::isnan(label) ? Json(nullptr) : Json(label));
  return labels;
}

// Everything about one image, which is read whole; of a 4-D file about its first time point.
Json whole_image(const io::SourceFile& file, const fs::path& npy) {
  const io::Volume volume = io::read_image(file);
  Json json = geometry(volume);
  const auto header = io::is_volume(file.path) ? io::read_image_header(file) : std::nullopt;
  if (header && header->num_time_points > 1) json["time_points"] = header->num_time_points;
  json["values"] = statistics(io::values(volume));
  if (!file.mask.empty()) {
    std::map<int, int64_t> counts;
    for (const uint8_t label : io::read_mask(file, volume)) ++counts[label];
    Json mask = {{"structures", io::structure_names(file)}};
    for (const auto& [label, count] : counts) mask["voxels"][std::to_string(label)] = count;
    json["mask"] = mask;
  }
  if (!npy.empty()) io::write_npy(npy, volume);
  return json;
}

Json listed_image(const io::SourceFile& file) {
  Json json = Json::object();
  try {
    if (const auto header = io::read_image_header(file)) {
      json["size"] = header->size;
      json["spacing_mm"] = header->spacing_mm;
      if (header->num_time_points > 1) json["time_points"] = header->num_time_points;
    }
  } catch (const Error& error) {
    json["problem"] = error.what();
  }
  return json;
}

std::string source_text(const Json& json) {
  std::string text = concat(json["path"].get<std::string>(), ": ", json["num_images"], " images, layout ",
                            json["layout"].get<std::string>());
  if (!json["labels"].empty()) {
    std::vector<std::string> names = json["labels"];
    text += concat("\n  ", json["is_multi_label"] ? "findings" : "classes", ": ", join(names, ", "));
  }
  if (json.contains("channel_names"))
    text += "\n  channels of each: " + join(json["channel_names"].get<std::vector<std::string>>(), ", ");
  text += "\n  patients: " + json["patients"].get<std::string>();
  for (const auto& [modality, count] : json["modalities"].items())
    text += concat("\n  ", modality.empty() ? "modality not known" : modality, ": ", count);
  for (size_t i = 0; i < json["images"].size() && i < kShown; ++i) {
    const Json& image = json["images"][i];
    text += "\n  " + image["name"].get<std::string>();
    for (const auto& [key, value] : image.items()) {
      if (key == "name" || (key == "scaling" && value.size() > 3)) continue;
      text += concat(image.contains("values") ? "\n    " : "  ", key, ' ',
                     value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
  if (json["images"].size() > kShown)
    text += concat("\n  ... ", json["images"].size() - kShown, " more (--json lists all)");
  int64_t num_problems = 0;
  for (size_t i = kShown; i < json["images"].size(); ++i) num_problems += json["images"][i].contains("problem") ? 1 : 0;
  if (num_problems > 0) text += concat("\n  of these ", num_problems, " can't be read");
  if (json["images"].size() > 1)
    text += "\n  headers were looked at: --card DIR reads the pixels and masks of all, --png FILE shows some";
  for (const char* kind : {"refused", "remarks"}) {
    for (const Json& remark : json[kind])
      text += concat("\n  ", kind[2] == 'f' ? "refused: " : "note: ", remark["name"].get<std::string>(),
                     remark["name"].get<std::string>().empty() ? "" : ": ", remark["text"].get<std::string>());
  }
  return text;
}

}  // namespace

Inspection inspect_source(const fs::path& path, const InspectArguments& arguments) {
  const io::Source source = io::find_source(path);
  if (!arguments.npy.empty() && source.files.size() != 1)
    throw Error(ExitCode::usage, concat("--npy writes one image, but ", path.string(), " holds ", source.files.size()),
                "name one file or the folder of one series");
  Json json = {{"path", path.string()},
               {"kind", "images"},
               {"layout", source.layout},
               {"num_images", source.files.size()},
               {"num_patients", nullptr},
               {"labels", source.label_names},
               {"is_multi_label", source.is_multi_label},
               {"mask_names", source.mask_names},
               {"modalities", Json::object()},
               {"images", Json::array()}};
  const io::PatientCount patients = io::count_patients(source.files);
  if (patients.number()) json["num_patients"] = *patients.number();
  json["patients"] = patients.number_text();
  if (source.ignore_label >= 0) json["ignore_label"] = source.ignore_label;
  if (!source.channel_names.empty()) json["channel_names"] = source.channel_names;
  for (const io::SourceFile& file : source.files) {
    Json image = {{"name", file.name}};
    image.update(source.files.size() == 1 ? whole_image(file, arguments.npy) : listed_image(file));
    if (!file.modality.empty()) image["modality"] = file.modality;
    if (!file.channels.empty()) image["channels"] = io::num_channels(file);
    if (!file.series.empty()) image["files"] = file.series.size();
    if (!file.labels.empty()) image["labels"] = labels_json(file);
    if (!file.split.empty()) image["split"] = file.split;
    if (!file.mask.empty() && !image.contains("mask")) image["mask"] = file.mask.filename().string();
    const std::string modality = image.contains("modality") ? image["modality"].get<std::string>() : "";
    json["modalities"][modality] = json["modalities"].value(modality, 0) + 1;
    json["images"].push_back(std::move(image));
  }
  for (const auto& [key, list] : {std::pair{"refused", &source.refused}, {"remarks", &source.remarks}}) {
    json[key] = Json::array();
    for (const io::SourceRemark& remark : *list) json[key].push_back({{"name", remark.name}, {"text", remark.text}});
  }
  return {json_text(json, 2), source_text(json)};
}

Look look_at_source(const fs::path& path) {
  const io::Source source = io::find_source(path);
  const bool is_single = source.files.size() == 1;
  const std::vector<int64_t> order = evenly_spread(std::ssize(source.files), kMaxTiles);
  Look look;
  try {
    std::vector<io::SourceFile> shown;
    for (const int64_t chosen : order) shown.push_back(source.files[static_cast<size_t>(chosen)]);
    look.rules.own_names = io::structure_names(shown, source.mask_names);
    if (look.rules.own_names.empty()) look.rules.own_names = source.mask_names;
    look.rules.ignore = source.ignore_label;
  } catch (const Error& error) {
    log::warning(concat("a colour of the contact sheet is not the same class in all masks: ", error.what()));
  }
  for (const int64_t chosen : order) {
    const io::SourceFile& file = source.files[static_cast<size_t>(chosen)];
    io::Volume volume, mask;
    data::IntensityRange range;
    try {
      volume = io::read_image(file);
      const std::vector<uint8_t> labels = io::read_mask(file, volume);
      mask.size = volume.size;
      mask.type = io::StoredType::u8;
      mask.stored.resize(labels.size());
      std::transform(labels.begin(), labels.end(), mask.stored.begin(), [](uint8_t label) { return std::byte{label}; });
      range = data::intensity_range(io::values(volume), {volume.modality, volume.units, volume.stored_max}, {});
    } catch (const Error& error) {
      log::warning(concat("image ", chosen, " of the contact sheet: ", error.what()));
      look.tiles.push_back({{1, 1, 1, {0}, 0}, {}, {}, 1.0, "unreadable: " + std::to_string(chosen)});
      continue;
    }
    const bool is_stack = !file.series.empty() || io::is_picture(file.path);
    const int axis = is_stack ? 2 : io::slice_axis({volume.size, volume.spacing_mm});
    const int64_t depth = volume.size[static_cast<size_t>(axis)];
    for (const int64_t index : is_single ? evenly_spread(depth, kMaxTiles) : std::vector<int64_t>{depth / 2}) {
      Tile tile{io::slice_of(volume, axis, index),
                {},
                range,
                volume.spacing_mm[io::row_axis(axis)] / volume.spacing_mm[io::column_axis(axis)],
                ""};
      if (!mask.stored.empty()) {
        std::vector<std::byte> bytes;
        io::stored_slice_of(mask, axis, index, bytes);
        for (const std::byte label : bytes) tile.mask.push_back(static_cast<uint8_t>(label));
      }
      const std::string of_modality = file.modality.empty() ? "" : " " + file.modality;
      tile.caption = is_single ? concat(io::axis_name(axis), ' ', index) : concat(chosen, of_modality);
      look.tiles.push_back(std::move(tile));
    }
  }
  return look;
}

}  // namespace vmae::run
