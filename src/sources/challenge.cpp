// Folders that a dataset.json describes (dataset_json.h). nnU-Net: images are imagesTr/CASE_0000.ext with one
// file per channel, masks labelsTr/CASE.ext; or both as its key "dataset" lists them. Decathlon: "training":
// [{"image": "./imagesTr/x.nii.gz", "label": "./labelsTr/x.nii.gz"}], "test": ["./imagesTs/y.nii.gz"].
#include <algorithm>
#include <map>
#include <set>

#include "layouts.h"
#include "vmae/cases/channels.h"
#include "vmae/cases/label_meaning.h"
#include "vmae/cases/time_points.h"
#include "vmae/core/error.h"
#include "vmae/image/file_name.h"
#include "vmae/image/modality_code.h"
#include "vmae/image/picture.h"
#include "vmae/sources/dataset_json.h"
#include "vmae/volume/volume.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

std::string channel_modality(const DatasetJson& dataset, size_t channel) {
  return channel < dataset.channels.size() ? modality_code(dataset.channels[channel]) : "";
}

// "./imagesTr/x.nii.gz" -> below the folder, without the leading dot.
fs::path clean(const fs::path& folder, const std::string& relative) { return (folder / relative).lexically_normal(); }

std::string name_in(const fs::path& folder, const fs::path& path) {
  const fs::path relative = path.lexically_normal().lexically_relative(folder.lexically_normal());
  return relative.empty() ? path.generic_string() : relative.generic_string();
}

// The first names of a list.
std::string few(std::vector<std::string> names) {
  constexpr size_t kShown = 3;
  std::sort(names.begin(), names.end());
  const bool has_more = names.size() > kShown;
  if (has_more) names.resize(kShown);
  return join(names, ", ") + (has_more ? ", ..." : "");
}

std::string count_text(size_t count) { return concat(count, count == 1 ? " file" : " files"); }

// A file with as many volumes as there are channels: each is one. It
// is looked at where that can be, as a list says nothing about it.
bool has_channels_as_volumes(const DatasetJson& dataset, const fs::path& path) {
  if (dataset.channels.size() < 2 || !is_volume(path)) return false;
  try {
    return read_volume_header(path).num_time_points == std::ssize(dataset.channels);
  } catch (const Error&) {  // said when the image is read
    return false;
  }
}

// The images of an entry are the channels of one case.
void add_entry(const DatasetJson& dataset, const DatasetJson::Entry& entry, const fs::path& folder, const char* split,
               Source& source) {
  SourceFile file;
  const auto set_channel = [&](SourceFile& of, const std::string& image, size_t channel) {
    of.path = clean(folder, image);
    of.name = name_in(folder, of.path);
    of.modality = channel_modality(dataset, channel);
  };
  set_channel(file, entry.images[0], 0);
  file.patient = entry.name.empty() ? file.name : entry.name;
  if (!entry.mask.empty()) file.mask = clean(folder, entry.mask);
  file.split = split;
  file.fold = entry.fold;
  const bool are_volumes = entry.images.size() == 1 && has_channels_as_volumes(dataset, file.path);
  const size_t count = are_volumes ? dataset.channels.size() : entry.images.size();
  for (size_t channel = 1; channel < count; ++channel) {
    SourceFile& other = file.channels.emplace_back();
    set_channel(other, are_volumes ? entry.images[0] : entry.images[channel], channel);
    if (are_volumes) other = time_point_of(other, static_cast<int64_t>(channel));
  }
  source.files.push_back(std::move(file));
}

bool is_there(const fs::path& folder, const DatasetJson::Entry& entry) {
  std::error_code ignored;
  return fs::exists(clean(folder, entry.images[0]), ignored);
}

// Files below folder/name that the list does not name.
void note_unlisted(const fs::path& folder, const char* name, const char* key, const std::set<fs::path>& listed,
                   Source& source) {
  if (!fs::is_directory(folder / name)) return;
  const Listing listing = list_folder(folder / name);
  std::vector<std::string> others;
  for (const auto* list : {&listing.pictures, &listing.volumes}) {
    for (const fs::path& path : *list) {
      if (!listed.contains(path.lexically_normal())) others.push_back(path.filename().string());
    }
  }
  if (!others.empty())
    source.remarks.push_back({name, concat("holds ", count_text(others.size()), " (", few(others),
                                           ") that dataset.json does not list in \"", key, "\": left out")});
}

void add_decathlon(const DatasetJson& dataset, const fs::path& folder, Source& source) {
  source.layout = "decathlon";
  const bool has_validation = !dataset.validation.empty();
  for (const auto& entry : dataset.training) add_entry(dataset, entry, folder, has_validation ? "train" : "", source);
  for (const auto& entry : dataset.validation) add_entry(dataset, entry, folder, "val", source);
  std::vector<std::string> absent;
  for (const auto& entry : dataset.test) {
    if (is_there(folder, entry)) {
      add_entry(dataset, {"", entry.images, entry.mask, -1}, folder, "test", source);
    } else {
      absent.push_back(fs::path(entry.images[0]).filename().string());
    }
  }
  if (!absent.empty())
    source.remarks.push_back(
        {"dataset.json", concat(count_text(absent.size()), " (", few(absent), ") of \"test\" are not there")});
  std::set<fs::path> images, masks;
  for (const SourceFile& file : single_channels(source.files)) {
    images.insert(file.path);
    masks.insert(file.mask);
  }
  note_unlisted(folder, "imagesTr", "training", images, source);
  note_unlisted(folder, "labelsTr", "training", masks, source);
}

[[noreturn]] void fail_twice(const std::string& what, const fs::path& a, const fs::path& b) {
  throw Error(ExitCode::data, concat(what, " is there twice: ", a.string(), " and ", b.string()), "keep one of them");
}

// One folder of nnU-Net: the files of its ending, by their names without it. What ends otherwise is noted.
std::map<std::string, std::vector<fs::path>> files_of_ending(const fs::path& folder, const char* name,
                                                             const std::string& ending, Source& source) {
  const Listing listing = list_folder(folder / name);
  std::map<std::string, std::vector<fs::path>> by_stem;
  std::vector<std::string> others;
  for (const auto* list : {&listing.pictures, &listing.volumes, &listing.dicom}) {
    for (const fs::path& path : *list) {
      const std::string stem = without_ending(path.filename().string(), ending);
      if (stem.empty()) {
        others.push_back(path.filename().string());
      } else {
        by_stem[stem].push_back(path);
      }
    }
  }
  if (!others.empty())
    source.remarks.push_back(
        {name, concat("holds ", count_text(others.size()), " (", few(others), ") that do not end in ", ending,
                      ", the file_ending of dataset.json: left out")});
  for (const fs::path& unreadable : listing.unreadable)
    source.refused.push_back({name_in(folder, unreadable), "the folder can't be listed"});
  return by_stem;
}

using Channels = std::map<size_t, fs::path>;

// Three channels of pictures in colour: one file each, as nnU-Net reads them.
bool are_in_colour(const std::map<std::string, Channels>& cases, const DatasetJson& dataset) {
  constexpr size_t kColours = 3;
  const auto is_one_picture = [](const auto& one) {
    return one.second.size() == 1 && one.second.contains(0) && is_picture(one.second.at(0));
  };
  if (dataset.channels.size() != kColours || !std::all_of(cases.begin(), cases.end(), is_one_picture)) return false;
  for (const auto& [name, channels] : cases) {
    try {
      return picture_volume(channels.at(0)).channels == kColours;
    } catch (const Error&) {  // said when the image is read; the next one tells
    }
  }
  return false;
}

// Cases that lack a channel are taken out: another number would be in its
// place. Channels that dataset.json does not name are no part of a case.
void keep_complete(std::map<std::string, Channels>& cases, const DatasetJson& dataset, const fs::path& folder,
                   Source& source) {
  if (are_in_colour(cases, dataset)) {
    source.channel_names.clear();
    return;
  }
  size_t count = dataset.channels.size();
  if (count == 0) {
    for (const auto& [name, channels] : cases) count = std::max(count, channels.rbegin()->first + 1);
  }
  std::vector<std::string> incomplete;
  for (auto& [name, channels] : cases) {
    const std::string first = name_in(folder, channels.begin()->second);
    std::vector<std::string> missing, others;
    for (size_t channel = 0; channel < count; ++channel) {
      if (!channels.contains(channel)) missing.push_back(std::to_string(channel));
    }
    for (const auto& [channel, path] : channels) {
      if (channel >= count) others.push_back(std::to_string(channel));
    }
    if (!others.empty())
      source.remarks.push_back({first, concat("is of a case with channel ", join(others, ", "),
                                              ", which dataset.json does not name: left out")});
    std::erase_if(channels, [&](const auto& channel) { return channel.first >= count; });
    if (missing.empty()) continue;
    source.refused.push_back({first, concat("is of a case without channel ", join(missing, ", "))});
    incomplete.push_back(name);
  }
  for (const std::string& name : incomplete) cases.erase(name);
}

// Adds the images of one folder, with their masks. Returns the number of cases.
size_t add_nnunet_folder(const DatasetJson& dataset, const fs::path& folder, const char* images, const char* labels,
                         const char* split, const std::string& ending, Source& source) {
  std::map<std::string, Channels> cases;
  for (const auto& [stem, files] : files_of_ending(folder, images, ending, source)) {
    const auto found = case_and_channel(stem);
    if (!found) {
      for (const fs::path& file : files)
        source.remarks.push_back({name_in(folder, file), "does not end in a channel number such as _0000; left out"});
      continue;
    }
    if (files.size() > 1) fail_twice(concat("channel ", found->second, " of case ", found->first), files[0], files[1]);
    cases[found->first][static_cast<size_t>(found->second)] = files[0];
  }
  std::map<std::string, std::vector<fs::path>> masks;
  const bool has_masks = fs::is_directory(folder / labels);
  if (has_masks) masks = files_of_ending(folder, labels, ending, source);
  std::set<std::string> found;
  for (const auto& [name, channels] : cases) found.insert(name);
  const size_t count = cases.size();
  keep_complete(cases, dataset, folder, source);
  for (const auto& [name, channels] : cases) {
    const auto mask = masks.find(name);
    if (mask != masks.end() && mask->second.size() > 1)
      fail_twice("the mask of case " + name, mask->second[0], mask->second[1]);
    SourceFile file;
    for (const auto& [channel, path] : channels) {
      SourceFile& one = channel == channels.begin()->first ? file : file.channels.emplace_back();
      one.path = path;
      one.name = name_in(folder, path);
      one.modality = channel_modality(dataset, channel);
      if (mask == masks.end()) continue;
      const fs::path below_images = path.parent_path().lexically_relative(folder / images),
                     below_labels = mask->second[0].parent_path().lexically_relative(folder / labels);
      if (below_images != below_labels && below_images != "." && below_labels != ".")
        throw Error(ExitCode::data,
                    concat(path.string(), " and the mask of its name, ", mask->second[0].string(),
                           ", lie in different subfolders"),
                    "move both into subfolders of one name, or into none");
    }
    file.patient = name;
    file.split = split;
    if (mask != masks.end()) file.mask = mask->second[0];
    source.files.push_back(std::move(file));
    if (has_masks && mask == masks.end())
      source.remarks.push_back({name_in(folder, channels.begin()->second), concat("has no mask in ", labels)});
  }
  for (const auto& [name, files] : masks) {
    if (!found.contains(name))
      source.remarks.push_back({name_in(folder, files[0]), concat("is a mask without an image in ", images)});
  }
  return count;
}

// The ending that is not named: version 1 knows .nii.gz alone; other programs write what they have.
std::string ending_in(const fs::path& folder) {
  std::set<std::string> endings;
  const Listing listing = list_folder(folder);
  for (const auto* list : {&listing.pictures, &listing.volumes}) {
    for (const fs::path& path : *list) endings.insert(ending_of(path));
  }
  return endings.size() == 1 ? *endings.begin() : ".nii.gz";
}

size_t add_nnunet(const DatasetJson& dataset, const fs::path& folder, Source& source) {
  source.layout = "nnunet";
  size_t num_training = dataset.by_case.size();
  for (const auto& entry : dataset.by_case) add_entry(dataset, entry, folder, "", source);
  for (const auto& [images, labels, split] :
       {std::tuple{"imagesTr", "labelsTr", ""}, {"imagesTs", "labelsTs", "test"}}) {
    const bool is_training = *split == '\0';
    if (!fs::is_directory(folder / images) || (is_training && !dataset.by_case.empty())) continue;
    const std::string ending = dataset.file_ending.empty() ? ending_in(folder / images) : dataset.file_ending;
    const size_t count = add_nnunet_folder(dataset, folder, images, labels, split, ending, source);
    if (is_training) num_training = count;
  }
  return num_training;
}

}  // namespace

std::optional<Source> challenge_source(const fs::path& folder) {
  const fs::path file = folder / "dataset.json";
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return std::nullopt;
  const bool has_images = fs::is_directory(folder / "imagesTr", ignored);
  if (!has_images && !lists_images(file)) return std::nullopt;
  const DatasetJson dataset = read_dataset_json(file);
  const bool is_decathlon = std::any_of(dataset.training.begin(), dataset.training.end(),
                                        [&](const auto& entry) { return is_there(folder, entry); });
  if (!is_decathlon && !has_images && dataset.by_case.empty()) return std::nullopt;
  Source source;
  if (dataset.channels.size() > 1) source.channel_names = dataset.channels;
  source.mask_names = dataset.mask_names;
  source.ignore_label = dataset.ignore_label;
  source.regions = dataset.regions;
  for (const std::string& remark : dataset.remarks) source.remarks.push_back({"dataset.json", remark});
  for (const std::string& rule : region_rules(dataset.regions)) source.remarks.push_back({"dataset.json", rule});
  auto num_training = static_cast<int64_t>(dataset.training.size());
  if (is_decathlon) {
    add_decathlon(dataset, folder, source);
  } else {
    num_training = static_cast<int64_t>(add_nnunet(dataset, folder, source));
  }
  if (dataset.num_training >= 0 && dataset.num_training != num_training)
    source.remarks.push_back({"dataset.json", concat("numTraining is ", dataset.num_training, ", but there are ",
                                                     num_training, " training cases")});
  std::sort(source.files.begin(), source.files.end(),
            [](const SourceFile& a, const SourceFile& b) { return a.name < b.name; });
  if (source.files.empty()) {
    std::vector<std::string> reasons;
    for (const SourceRemark& remark : source.refused) reasons.push_back(concat(remark.name, " ", remark.text));
    for (const SourceRemark& remark : source.remarks) reasons.push_back(concat(remark.name, " ", remark.text));
    if (reasons.size() > 3) reasons.resize(3);
    fail_file(folder, concat("its dataset.json names no image that is there", reasons.empty() ? "" : ": ",
                             join(reasons, "; ")));
  }
  return source;
}

}  // namespace vmae::io
