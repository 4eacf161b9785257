// Folders without a description: images beside masks, a folder per class, a tree of DICOM files, or just files.
#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "source_layouts.h"
#include "vmae/core/error.h"
#include "vmae/io/dicom.h"
#include "vmae/io/picture.h"
#include "vmae/io/volume.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxClasses = 20, kMinPerClass = 10;

struct Walk {
  Listing listing;
  std::set<fs::path> visited;

  void enter(const fs::path& folder) {
    std::error_code unresolved;
    if (!visited.insert(fs::canonical(folder, unresolved)).second) return;
    std::vector<fs::path> entries;
    std::error_code problem;
    for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end; entry.increment(problem)) entries.push_back(entry->path());
    if (problem) listing.unreadable.push_back(folder);
    std::sort(entries.begin(), entries.end());
    for (const fs::path& entry : entries) {
      std::error_code ignored;
      if (entry.filename().string().starts_with(".")) continue;
      // Pipes and devices would keep a reader waiting for ever.
      if (fs::exists(entry, ignored) && !fs::is_regular_file(entry, ignored) && !fs::is_directory(entry, ignored)) continue;
      if (fs::is_directory(entry, ignored)) {
        enter(entry);
      } else if (is_picture(entry)) {
        listing.pictures.push_back(entry);  // a dangling link too: reading it will say so
      } else if (is_volume(entry)) {
        listing.volumes.push_back(entry);
      } else if (is_dicom(entry) || to_lower(entry.extension().string()) == ".dcm") {
        listing.dicom.push_back(entry);  // one that is damaged is to be reported, so the name counts too
      } else {
        ++listing.other_extensions[to_lower(entry.extension().string())];
      }
    }
  }
};

std::string name_in(const fs::path& folder, const fs::path& path) { return path.lexically_relative(folder).generic_string(); }

void sort_by_name(std::vector<SourceFile>& files) {
  std::sort(files.begin(), files.end(), [](const SourceFile& a, const SourceFile& b) { return a.name < b.name; });
}

SourceFile plain_file(const fs::path& path, const fs::path& folder) {
  const std::string name = name_in(folder, path);
  return {path, name, name, ""};
}

// "case_001.nii.gz" -> "case_001"
std::string stem_of(const fs::path& path) {
  std::string name = path.filename().string();
  if (to_lower(name).ends_with(".nii.gz")) name.resize(name.size() - 7);
  return fs::path(name).stem().string();
}

bool looks_like_a_class(const std::string& name) {
  const auto digits = std::count_if(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c); });
  const auto letters = std::count_if(name.begin(), name.end(), [](unsigned char c) { return std::isalpha(c); });
  return letters > digits || name.size() == 1;  // "0", "1": classes by number
}

}  // namespace

Listing list_folder(const fs::path& folder) {
  Walk walk;
  walk.enter(folder);
  return std::move(walk.listing);
}

std::optional<Source> image_mask_source(const fs::path& folder) {
  std::error_code ignored;
  const auto first_of = [&](std::initializer_list<const char*> names) -> std::optional<fs::path> {
    for (const char* name : names) {
      if (fs::is_directory(folder / name, ignored)) return folder / name;
    }
    return std::nullopt;
  };
  const auto images = first_of({"images", "image"}), masks = first_of({"labels", "masks", "label", "mask"});
  if (!images || !masks) return std::nullopt;
  const Listing listing = list_folder(*images), mask_listing = list_folder(*masks);
  if (listing.pictures.empty() && listing.volumes.empty()) return std::nullopt;  // DICOM series know their masks by themselves

  std::map<std::string, fs::path> mask_of;  // by path below the folder, without extension
  for (const auto* list : {&mask_listing.pictures, &mask_listing.volumes}) {
    for (const fs::path& mask : *list) mask_of[(name_in(*masks, mask.parent_path()) / fs::path(stem_of(mask))).generic_string()] = mask;
  }
  Source source;
  source.layout = "image_mask_folders";
  for (const auto* list : {&listing.pictures, &listing.volumes}) {
    for (const fs::path& image : *list) {
      SourceFile file = plain_file(image, folder);
      const auto mask = mask_of.find((name_in(*images, image.parent_path()) / fs::path(stem_of(image))).generic_string());
      if (mask != mask_of.end()) {
        file.mask = mask->second;
      } else {
        source.remarks.push_back({file.name, "has no mask of the same name"});
      }
      source.files.push_back(std::move(file));
    }
  }
  sort_by_name(source.files);
  return source;
}

std::optional<Source> class_source(const fs::path& folder, const Listing& listing, bool is_forced) {
  if (listing.pictures.empty() || (!is_forced && (!listing.volumes.empty() || !listing.dicom.empty()))) return std::nullopt;
  std::set<std::string> names;
  for (const fs::path& picture : listing.pictures) {
    const fs::path relative = picture.lexically_relative(folder);
    if (std::distance(relative.begin(), relative.end()) != 2) return std::nullopt;
    names.insert(relative.begin()->string());
  }
  if (names.size() < 2) return std::nullopt;
  if (!is_forced && (names.size() > kMaxClasses || listing.pictures.size() < kMinPerClass * names.size())) return std::nullopt;
  if (!is_forced && !std::all_of(names.begin(), names.end(), looks_like_a_class)) return std::nullopt;
  Source source;
  source.layout = "class_folders";
  source.label_names.assign(names.begin(), names.end());
  for (const fs::path& picture : listing.pictures) {
    SourceFile file = plain_file(picture, folder);
    file.labels.assign(names.size(), 0.0F);
    const auto found = names.find(picture.parent_path().filename().string());
    file.labels[static_cast<size_t>(std::distance(names.begin(), found))] = 1.0F;
    source.files.push_back(std::move(file));
  }
  sort_by_name(source.files);
  return source;
}

void add_dicom(const std::vector<fs::path>& files, const fs::path& folder, Source& source) {
  const DicomTree tree = group_dicom(files);
  source.identifying = tree.identifying;
  for (const DicomRefusal& refusal : tree.refused) source.refused.push_back({name_in(folder, refusal.path), refusal.reason});
  std::map<size_t, std::string> ambiguous;  // which of several of its series
  for (const DicomSeries& series : tree.series) {
    SourceFile file = plain_file(*std::min_element(series.files.begin(), series.files.end()), folder);
    file.path = series.files.front();
    file.series = series.files;
    file.modality = dicom_modality(series.modality);
    // A file without PatientID is told apart by its series.
    file.patient = series.patient.empty() ? "series " + series.series_uid : "dicom " + series.patient;
    if (series.num_volumes > 1) {  // of one file
      file.time_point = series.volume;
      file.name += concat("#t", series.volume);
    }
    // What the others hold would be background, or another reader's opinion.
    if (series.masks.size() == 1) file.mask = tree.masks[series.masks[0]].path;
    if (series.masks.size() > 1) {
      for (size_t i = 0; i < series.masks.size(); ++i) ambiguous[series.masks[i]] = concat(i + 1, " of ", series.masks.size());
      source.remarks.push_back(
          {file.name, concat("has ", series.masks.size(), " RTSTRUCT or SEG objects (remarks name them): which one is its mask can't be told, so ",
                             "none is used; leave one in the folder, or name it in a manifest's column mask")});
    }
    for (const std::string& remark : series.remarks) source.remarks.push_back({file.name, remark});
    source.files.push_back(std::move(file));
  }
  for (size_t i = 0; i < tree.masks.size(); ++i) {
    const std::string name = name_in(folder, tree.masks[i].path);
    if (!tree.masks[i].problem.empty()) source.remarks.push_back({name, tree.masks[i].problem});
    if (const auto found = ambiguous.find(i); found != ambiguous.end())
      source.remarks.push_back({name, concat("is not used: it is ", found->second, " RTSTRUCT or SEG objects of a series")});
  }
}

Source dicom_and_files(const fs::path& folder, const Listing& listing) {
  Source source;
  source.layout = listing.dicom.empty() ? "files" : "dicom";
  if (!listing.dicom.empty()) add_dicom(listing.dicom, folder, source);
  for (const fs::path& unreadable : listing.unreadable) source.refused.push_back({name_in(folder, unreadable), "the folder can't be listed"});
  for (const auto* list : {&listing.pictures, &listing.volumes}) {
    for (const fs::path& path : *list) source.files.push_back(plain_file(path, folder));
  }
  sort_by_name(source.files);
  if (source.files.empty()) {
    throw Error(ExitCode::data, concat(folder.string(), " holds no image that can be used; ", source.refused.size(), " DICOM files were refused",
                                       source.refused.empty() ? "" : ", the first because: " + source.refused[0].text));
  }
  return source;
}

}  // namespace vmae::io
