// Folders without a description: images beside masks, a folder per class, a tree of DICOM files, or just files.
#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "layouts.h"
#include "mask_pairs.h"
#include "tree.h"
#include "unnamed_label_maps.h"
#include "vmae/cases/class_names.h"
#include "vmae/cases/time_points.h"
#include "vmae/core/error.h"
#include "vmae/dicom/group.h"
#include "vmae/dicom/kinds.h"
#include "vmae/image/file_name.h"
#include "vmae/image/modality_code.h"
#include "vmae/image/picture.h"
#include "vmae/sources/patients.h"
#include "vmae/volume/volume.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxClasses = 20, kMinPerClass = 10;

struct Walk {
  Listing listing;
  std::set<fs::path> visited;

  void enter(const fs::path& folder) {
    std::error_code unresolved;
    const fs::path canonical = fs::canonical(folder, unresolved);
    if (!visited.insert(unresolved ? folder : canonical).second) return;
    std::vector<fs::path> entries;
    std::error_code problem;
    for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end; entry.increment(problem))
      entries.push_back(entry->path());
    if (problem) listing.unreadable.push_back(folder);
    std::sort(entries.begin(), entries.end());
    for (const fs::path& entry : entries) {
      std::error_code ignored;
      const std::string name = entry.filename().string();
      // hidden; thumbnails of a Synology disk; what macOS adds to archives
      if (name.starts_with('.') || name == "@eaDir" || name == "__MACOSX") continue;
      // Pipes and devices would keep a reader waiting for ever.
      if (fs::exists(entry, ignored) && !fs::is_regular_file(entry, ignored) && !fs::is_directory(entry, ignored))
        continue;
      if (fs::is_directory(entry, ignored)) {
        enter(entry);
      } else if (is_picture(entry)) {
        listing.pictures.push_back(entry);  // a dangling link too: reading it will say so
      } else if (is_volume(entry)) {
        listing.volumes.push_back(entry);
      } else if (is_dicom(entry) || ending_of(entry) == ".dcm") {
        listing.dicom.push_back(entry);  // one that is damaged is to be reported, so the name counts too
      } else {
        ++listing.other_extensions[to_lower(entry.extension().string())];
        listing.num_of_pairs += is_of_pair(entry) ? 1 : 0;
      }
    }
  }
};

std::string path_in(const fs::path& folder, const fs::path& path) {
  return path.lexically_relative(folder).generic_string();
}

void sort_by_name(std::vector<SourceFile>& files) {
  std::sort(files.begin(), files.end(), [](const SourceFile& a, const SourceFile& b) { return a.name < b.name; });
}

SourceFile plain_file(const fs::path& path, const fs::path& folder) {
  const std::string name = path_in(folder, path);
  return {path, name, name, ""};
}

bool looks_like_a_class(const std::string& name) {
  const auto digits = std::count_if(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c); });
  const auto letters = std::count_if(name.begin(), name.end(), [](unsigned char c) { return std::isalpha(c); });
  if (seems_to_name_patients(name)) return false;
  return letters > digits || name.size() == 1;  // "0", "1": classes by number
}

}  // namespace

Listing list_folder(const fs::path& folder) {
  Walk walk;
  walk.enter(folder);
  return std::move(walk.listing);
}

namespace {

// The first of `names` that is a folder here; a further one is told of.
std::optional<fs::path> first_folder(const fs::path& folder, const std::vector<const char*>& names, const char* what,
                                     std::vector<SourceRemark>& remarks) {
  std::optional<fs::path> first;
  std::error_code ignored;
  for (const char* name : names) {
    if (!fs::is_directory(folder / name, ignored)) continue;
    if (first) {
      remarks.push_back({name, concat("is not used: ", what, " are taken from ", first->filename().string())});
    } else {
      first = folder / name;
    }
  }
  return first;
}

void refuse_unreadable(const Listing& listing, const fs::path& folder, Source& source) {
  for (const fs::path& unreadable : listing.unreadable)
    source.refused.push_back({path_in(folder, unreadable), "the folder can't be listed"});
}

std::vector<fs::path> both(const Listing& listing) {
  std::vector<fs::path> files = listing.pictures;
  files.insert(files.end(), listing.volumes.begin(), listing.volumes.end());
  return files;
}

// Pictures in formats that are not read must not make a class or a dataset smaller without a word.
void note_other_pictures(const Listing& listing, Source& source) {
  static const std::set<std::string> kOther{".webp", ".jfif", ".gif", ".heic", ".heif", ".avif",
                                            ".jp2",  ".ppm",  ".pgm", ".mgz",  ".mnc"};
  std::vector<std::string> texts;
  for (const auto& [extension, count] : listing.other_extensions) {
    if (kOther.contains(extension)) texts.push_back(concat(count, " ", extension));
  }
  if (!texts.empty())
    source.remarks.push_back({"", concat("files of formats that are not read are passed over: ", join(texts, ", "))});
  if (listing.num_of_pairs > 0) {
    source.remarks.push_back({"", concat(listing.num_of_pairs, listing.num_of_pairs == 1 ? " file" : " files",
                                         " of pairs of .hdr and .img (Analyze 7.5, or NIfTI in two files) ",
                                         listing.num_of_pairs == 1 ? "is" : "are", " passed over: ", kPairHint)});
  }
}

// Where files are images because somebody said so, the user is to hear which are named as masks.
void note_likely_masks(const std::vector<fs::path>& files, const fs::path& folder, Source& source) {
  const std::map<std::string, fs::path> by_stem = index_by_stem(files);
  size_t num_beside = 0, num_below = 0, num_named = 0;
  std::string beside, below, named;
  for (const fs::path& path : files) {
    const std::string name = path_in(folder, path);
    const std::string stem = take_apart(name).stem;
    if (is_named_as_mask_of(path, by_stem)) {
      beside = num_beside++ == 0 ? name : beside;
    } else if (std::any_of(mask_suffixes().begin(), mask_suffixes().end(),
                           [&](const auto& suffix) { return !without_ending(stem, suffix).empty(); })) {
      named = num_named++ == 0 ? name : named;  // B01_seg beside B01_t1
    }
    const fs::path folders = fs::path(name).parent_path();
    if (std::any_of(folders.begin(), folders.end(), [](const fs::path& part) { return is_mask_folder(part.string()); }))
      below = num_below++ == 0 ? name : below;
  }
  constexpr const char* kAdvice =
      "taken for images, as nothing here says which masks belong to which images (layouts: images beside labels or "
      "masks, manifest)";
  const auto more = [](size_t count) { return count > 1 ? concat(" (and ", count - 1, " more)") : std::string(); };
  if (num_beside > 0)
    source.remarks.push_back(
        {beside, concat("is named as the mask of the file beside it", more(num_beside), ": ", kAdvice)});
  if (num_named > 0 && num_named < files.size())
    source.remarks.push_back({named, concat("is named as a mask", more(num_named), ": ", kAdvice)});
  if (num_below > 0 && num_below < files.size())
    source.remarks.push_back(
        {below, concat("lies in a folder that is named as one of masks", more(num_below), ": ", kAdvice)});
}

}  // namespace

std::optional<Source> image_mask_source(const fs::path& folder) {
  Source source;
  source.layout = "image_mask_folders";
  const auto images = first_folder(folder, {"images", "image"}, "images", source.remarks);
  const auto masks = first_folder(folder, {"labels", "masks", "label", "mask"}, "masks", source.remarks);
  if (!images || !masks) return std::nullopt;
  const Listing listing = list_folder(*images), mask_listing = list_folder(*masks);
  // DICOM series know their masks by themselves
  if (listing.pictures.empty() && listing.volumes.empty()) return std::nullopt;
  const MaskPairs pairs = pair_by_name(both(listing), *images, both(mask_listing), *masks);
  for (const fs::path& image : both(listing)) {
    SourceFile file = plain_file(image, folder);
    const auto mask = pairs.mask_of.find(image);
    if (mask != pairs.mask_of.end()) {
      file.mask = mask->second;
    } else {
      source.remarks.push_back({file.name, "has no mask of the same name"});
    }
    source.files.push_back(std::move(file));
  }
  for (const fs::path& mask : pairs.without_image)
    source.remarks.push_back({path_in(folder, mask), "is a mask without an image of the same name"});
  for (const auto& [list, path] : {std::pair{&listing, &*images}, {&mask_listing, &*masks}}) {
    refuse_unreadable(*list, folder, source);
    if (!list->dicom.empty())
      source.remarks.push_back(
          {path_in(folder, *path), concat("holds ", list->dicom.size(),
                                          " DICOM files, which are left out: they can't be paired by their names")});
  }
  note_other_pictures(listing, source);
  sort_by_name(source.files);
  settle_patients(source);
  return source;
}

std::optional<Source> class_source(const fs::path& folder, const Listing& listing, bool is_forced) {
  if (listing.pictures.empty() || (!is_forced && (!listing.volumes.empty() || !listing.dicom.empty())))
    return std::nullopt;
  std::set<std::string> names;
  for (const fs::path& picture : listing.pictures) {
    const fs::path relative = picture.lexically_relative(folder);
    if (std::distance(relative.begin(), relative.end()) != 2) return std::nullopt;
    names.insert(relative.begin()->string());
  }
  if (names.size() < 2) return std::nullopt;
  if (!is_forced && (names.size() > kMaxClasses || listing.pictures.size() < kMinPerClass * names.size()))
    return std::nullopt;
  if (!is_forced && !std::all_of(names.begin(), names.end(), looks_like_a_class)) return std::nullopt;
  const std::map<std::string, fs::path> by_stem = index_by_stem(listing.pictures);
  for (const fs::path& picture : listing.pictures) {
    if (const auto image = is_named_as_mask_of(picture, by_stem))
      throw Error(
          ExitCode::data,
          concat("folders are classes here, but ", picture.string(), " is named as the mask of ", image->string()),
          "move the masks elsewhere, or list images, masks and labels in a manifest");
  }
  Source source;
  source.layout = "class_folders";
  source.label_names.assign(names.begin(), names.end());
  for (std::string& remark : check_class_names(source.label_names, folder.string()))
    source.remarks.push_back({"", std::move(remark)});
  sort_classes(source.label_names);
  for (const fs::path& picture : listing.pictures) {
    SourceFile file = plain_file(picture, folder);
    file.labels.assign(names.size(), 0.0F);
    const auto found =
        std::find(source.label_names.begin(), source.label_names.end(), picture.parent_path().filename().string());
    file.labels[static_cast<size_t>(found - source.label_names.begin())] = 1.0F;
    source.files.push_back(std::move(file));
  }
  note_other_pictures(listing, source);
  sort_by_name(source.files);
  return source;
}

void add_dicom(const std::vector<fs::path>& files, const fs::path& folder, Source& source) {
  const DicomTree tree = group_dicom(files);
  source.identifying = tree.identifying;
  for (const DicomRefusal& refusal : tree.refused)
    source.refused.push_back({path_in(folder, refusal.path), refusal.reason});
  std::map<size_t, std::string> ambiguous;  // which of several of its series
  for (const DicomSeries& series : tree.series) {
    SourceFile file = plain_file(*std::min_element(series.files.begin(), series.files.end()), folder);
    file.path = series.files.front();
    file.series = series.files;
    file.modality = dicom_modality(series.modality);
    // A file without PatientID is told apart by its series.
    file.patient = series.patient.empty() ? "series " + series.series_uid : "dicom " + series.patient;
    if (series.num_volumes > 1) file = time_point_of(file, series.volume);  // of one file
    // What the others hold would be background, or another reader's opinion.
    if (series.masks.size() == 1) file.mask = tree.masks[series.masks[0]].path;
    if (series.masks.size() > 1) {
      for (size_t i = 0; i < series.masks.size(); ++i)
        ambiguous[series.masks[i]] = concat(i + 1, " of ", series.masks.size());
      source.remarks.push_back(
          {file.name, concat("has ", series.masks.size(),
                             " RTSTRUCT or SEG objects (remarks name them): which one is its mask can't be told, so ",
                             "none is used; leave one in the folder, or name it in a manifest's column mask")});
    }
    for (const std::string& remark : series.remarks) source.remarks.push_back({file.name, remark});
    source.files.push_back(std::move(file));
  }
  for (size_t i = 0; i < tree.masks.size(); ++i) {
    const std::string name = path_in(folder, tree.masks[i].path);
    if (!tree.masks[i].problem.empty()) source.remarks.push_back({name, tree.masks[i].problem});
    if (const auto found = ambiguous.find(i); found != ambiguous.end())
      source.remarks.push_back(
          {name, concat("is not used: it is ", found->second, " RTSTRUCT or SEG objects of a series")});
  }
}

Source dicom_and_files(const fs::path& folder, const Listing& listing, bool is_forced) {
  Source source;
  source.layout = listing.dicom.empty() ? "files" : "dicom";
  if (!listing.dicom.empty()) add_dicom(listing.dicom, folder, source);
  refuse_unreadable(listing, folder, source);
  for (const fs::path& path : both(listing)) source.files.push_back(plain_file(path, folder));
  sort_by_name(source.files);
  if (is_forced) {
    note_likely_masks(both(listing), folder, source);
  } else {
    settle_tree(source);
    tell_of_unnamed_label_maps(source);
  }
  note_other_pictures(listing, source);
  if (source.files.empty()) {
    throw NoImages(ExitCode::data,
                   concat(folder.string(), " holds no image that can be used; ", source.refused.size(),
                          " DICOM files were refused",
                          source.refused.empty() ? "" : ", the first because: " + source.refused[0].text));
  }
  return source;
}

}  // namespace vmae::io
