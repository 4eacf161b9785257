// dataset.json of nnU-Net (https://github.com/MIC-DKFZ/nnUNet, documentation/dataset_format.md) and of the Medical Segmentation Decathlon
// (medicaldecathlon.com). nnU-Net: {"channel_names" or "modality": {"0": "CT"}, "labels": {"background": 0, "liver": 1} or {"0": "background", ...},
// "file_ending": ".nii.gz"}, images are imagesTr/CASE_0000.ext with one file per channel, masks labelsTr/CASE.ext. Decathlon: "training": [{"image":
// "./imagesTr/x.nii.gz", "label": "./labelsTr/x.nii.gz"}], "test": ["./imagesTs/y.nii.gz"].
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "source_layouts.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// Names of mask values 1, 2, ...; "" where a value has none. Both directions are in use; regions (lists of values) are left out.
std::vector<std::string> mask_names_of(const Json& description) {
  std::vector<std::string> names;
  if (!description.contains("labels") || !description["labels"].is_object()) return names;
  for (const auto& [key, value] : description["labels"].items()) {
    const auto by_number = parse_integer(key);
    const std::string name = by_number && value.is_string() ? value.get<std::string>() : key;
    const int64_t number = by_number && value.is_string() ? *by_number : value.is_number_integer() ? value.get<int64_t>() : 0;
    if (number < 1 || number > 255) continue;
    if (names.size() < static_cast<size_t>(number)) names.resize(static_cast<size_t>(number));
    names[static_cast<size_t>(number) - 1] = name;
  }
  return names;
}

std::vector<std::string> channels_of(const Json& description) {
  std::vector<std::string> channels;
  for (const char* key : {"channel_names", "modality"}) {
    if (!description.contains(key) || !description[key].is_object()) continue;
    for (const auto& [number, name] : description[key].items()) {
      const auto at = parse_integer(number);
      if (!at || *at < 0 || *at > 99 || !name.is_string()) continue;
      if (channels.size() <= static_cast<size_t>(*at)) channels.resize(static_cast<size_t>(*at) + 1);
      channels[static_cast<size_t>(*at)] = modality_code(name);
    }
    break;
  }
  return channels;
}

std::string channel_modality(const std::vector<std::string>& channels, size_t channel) { return channel < channels.size() ? channels[channel] : ""; }

// "./imagesTr/x.nii.gz" -> below the folder, without the leading dot.
std::string clean(const std::string& relative) { return fs::path(relative).lexically_normal().generic_string(); }

void add_decathlon(const Json& description, const fs::path& folder, Source& source) {
  source.layout = "decathlon";
  const std::vector<std::string> channels = channels_of(description);
  const auto add = [&](const std::string& image, const std::string& mask, const char* split) {
    SourceFile file;
    file.name = file.patient = clean(image);
    file.path = folder / file.name;
    if (!mask.empty()) file.mask = folder / clean(mask);
    file.split = split;
    file.modality = channel_modality(channels, 0);  // further channels are further volumes of a 4-D file
    source.files.push_back(std::move(file));
  };
  for (const Json& entry : description["training"]) add(entry.at("image"), entry.value("label", ""), "");
  if (description.contains("test") && description["test"].is_array()) {
    for (const Json& entry : description["test"]) {
      const std::string image = entry.is_string() ? entry.get<std::string>() : entry.at("image").get<std::string>();
      std::error_code ignored;
      if (fs::exists(folder / clean(image), ignored)) add(image, "", "test");
    }
  }
}

// CASE_0000 -> (CASE, 0); nothing if the name does not end in a channel number.
std::optional<std::pair<std::string, size_t>> case_and_channel(const std::string& stem) {
  if (stem.size() < 6 || stem[stem.size() - 5] != '_') return std::nullopt;
  const auto channel = parse_integer(std::string_view(stem).substr(stem.size() - 4));
  if (!channel || *channel < 0) return std::nullopt;
  return std::pair{stem.substr(0, stem.size() - 5), static_cast<size_t>(*channel)};
}

void add_nnunet(const Json& description, const fs::path& folder, Source& source) {
  source.layout = "nnunet";
  const std::vector<std::string> channels = channels_of(description);
  const std::string ending = description.value("file_ending", ".nii.gz");
  for (const auto& [images, labels, split] : {std::tuple{"imagesTr", "labelsTr", ""}, {"imagesTs", "labelsTs", "test"}}) {
    std::error_code ignored;
    if (!fs::is_directory(folder / images, ignored)) continue;
    const Listing listing = list_folder(folder / images);
    for (const auto* list : {&listing.pictures, &listing.volumes}) {
      for (const fs::path& path : *list) {
        const std::string file_name = path.filename().string();
        if (!file_name.ends_with(ending)) continue;
        SourceFile file;
        file.path = path;
        file.name = path.lexically_relative(folder).generic_string();
        const auto found = case_and_channel(file_name.substr(0, file_name.size() - ending.size()));
        if (!found) {
          source.remarks.push_back({file.name, "does not end in a channel number such as _0000; left out"});
          continue;
        }
        file.patient = found->first;
        file.modality = channel_modality(channels, found->second);
        file.split = split;
        const fs::path mask = folder / labels / (found->first + ending);
        if (fs::exists(mask, ignored)) file.mask = mask;
        source.files.push_back(std::move(file));
      }
    }
  }
}

}  // namespace

std::optional<Source> challenge_source(const fs::path& folder) {
  const fs::path file = folder / "dataset.json";
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return std::nullopt;
  const std::string text = read_file(file);
  if (is_deep_json(text)) throw Error(ExitCode::data, file.string() + ": nests too deeply for a dataset.json");
  try {
    const Json description = Json::parse(text);
    Source source;
    source.mask_names = mask_names_of(description);
    const Json training = description.value("training", Json::array());
    const bool is_decathlon = !training.empty() && training[0].is_object() && training[0].contains("image") &&
                              fs::exists(folder / clean(training[0]["image"].get<std::string>()), ignored);
    if (is_decathlon) {
      add_decathlon(description, folder, source);
    } else if (fs::is_directory(folder / "imagesTr", ignored)) {
      add_nnunet(description, folder, source);
    } else {
      return std::nullopt;
    }
    std::sort(source.files.begin(), source.files.end(), [](const SourceFile& a, const SourceFile& b) { return a.name < b.name; });
    if (source.files.empty()) throw Error(ExitCode::data, concat(folder.string(), ": its dataset.json names no image that is there"));
    return source;
  } catch (const Json::exception& error) {
    throw Error(ExitCode::data, concat(file.string(), ": is not a dataset.json of nnU-Net or the Medical Segmentation Decathlon: ", error.what()));
  }
}

std::string dicom_modality(const std::string& text) {
  static const std::set<std::string> kTerms{
      "AR",  "BI",  "BMD",   "CR",         "CT",     "CTPROTOCOL", "DG",      "DX",     "ECG",        "EPS", "ES",   "FID", "GM", "HC",
      "HD",  "IO",  "IOL",   "IVOCT",      "IVUS",   "KER",        "KO",      "LEN",    "LS",         "MG",  "MR",   "M3D", "NM", "OAM",
      "OCT", "OP",  "OPM",   "OPT",        "OPTBSV", "OPTENF",     "OPV",     "OSS",    "OT",         "PA",  "PLAN", "POS", "PR", "PT",
      "PX",  "REG", "RESP",  "RF",         "RG",     "RTDOSE",     "RTIMAGE", "RTPLAN", "RTSTRUCT",   "RWV", "SC",   "SEG", "SM", "SMR",
      "SR",  "SRF", "STAIN", "TEXTUREMAP", "TG",     "US",         "VA",      "XA",     "XAPROTOCOL", "XC"};  // PS3.3 C.7.3.1.1.1
  return text.empty() || kTerms.contains(text) ? text : "OT";
}

std::string modality_code(const std::string& text) {
  const std::string name = to_lower(text);
  if (name.empty()) return "";
  const auto starts = [&](std::initializer_list<const char*> words) {
    return std::any_of(words.begin(), words.end(), [&](const char* word) { return name.starts_with(word); });
  };
  if (name == "ct" || starts({"ct_", "ct ", "cect", "ncct", "computed tomography"})) return "CT";
  if (starts({"mr", "t1", "t2", "flair", "adc", "dwi", "pd", "magnetic"})) return "MR";
  if (starts({"pet", "pt", "suv"})) return "PT";
  if (starts({"us", "ultrasound", "sonography"})) return "US";
  if (starts({"xr", "x-ray", "xray", "cxr", "radiograph"})) return "DX";
  if (starts({"dermoscopy", "photo", "skin"})) return "XC";
  if (text.size() == 2 && std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 'A' && c <= 'Z'; })) return text;  // a DICOM code
  return "";
}

}  // namespace vmae::io
