#include "tree.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "vmae/cases/channels.h"
#include "vmae/cases/read_image.h"
#include "vmae/core/error.h"
#include "vmae/core/text.h"
#include "vmae/image/file_name.h"
#include "vmae/sources/patients.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

const std::set<std::string> kMaskFolders{"label", "labels",       "labelstr",      "labelsts",    "mask",
                                         "masks", "segmentation", "segmentations", "groundtruth", "ground_truth"};
const std::set<std::string> kImageFolders{"image", "images", "imagestr", "imagests"};
const std::set<std::string> kMaskNames{"seg",    "segmentation", "mask",        "masks",       "label",
                                       "labels", "gt",           "groundtruth", "ground_truth"};
const std::set<std::string> kModalities{"t1",  "t1c",   "t1ce", "t1gd", "t1w", "t1n", "t1post", "t2",  "t2w",
                                        "t2f", "flair", "adc",  "dwi",  "swi", "dce", "pd",     "pdw", "ct",
                                        "cta", "cect",  "ncct", "mr",   "mri", "mra", "pet",    "suv", "us"};
// Folders with such names and a number are parts of a dataset, or classes.
const std::set<std::string> kParts{
    "train",  "training", "val",    "valid",   "validation", "test",   "testing", "fold",    "site",    "center",
    "centre", "hospital", "batch",  "part",    "set",        "split",  "class",   "grade",   "group",   "task",
    "data",   "dataset",  "cohort", "scanner", "vendor",     "device", "year",    "image",   "images",  "slice",
    "slices", "stage",    "type",   "level",   "run",        "exp",    "v",       "version", "release", "birads",
    "kl",     "tirads",   "score",  "label",   "labels",     "mask",   "masks",   "folder"};
const std::set<std::string> kPatientWords{"p", "pat", "pt", "sub", "subj", "case", "patient", "subject", "participant"};

// A file, taken apart once.
struct Entry {
  SourceFile* file;
  std::vector<std::string> folders;  // as written
  std::string folder, stem;          // the folders joined; in lower case
  bool is_mask = false;
  std::string unit{};            // the folder, or common beginning, of its patient; "": not known
  std::vector<Entry*> images{};  // of a mask
  std::string doubt{};           // why a mask has no image
};

std::string joined(const std::vector<std::string>& folders, size_t count) {
  return join({folders.begin(), folders.begin() + static_cast<std::ptrdiff_t>(count)}, "/");
}

bool lies_in(const std::string& folder, const std::string& outer) {
  return outer.empty() || folder == outer || folder.starts_with(outer + "/");
}

std::string without_mask_suffix(const std::string& stem) {
  for (const std::string& suffix : mask_suffixes()) {
    if (std::string rest = without_ending(stem, suffix); !rest.empty()) return rest;
  }
  return "";
}

// "p1_t1" -> "p1"; "" where the name does not end in a modality.
std::string without_modality(const std::string& stem) {
  const size_t at = stem.find_last_of("_-. ");
  return at != std::string::npos && at > 0 && kModalities.contains(stem.substr(at + 1)) ? stem.substr(0, at) : "";
}

std::string without_channel(const std::string& stem) {
  const auto found = case_and_channel(stem);
  return found ? found->first : stem;
}

std::string first_word(const std::string& name) {
  const auto is_letter = [](unsigned char c) { return std::isalpha(c) != 0; };
  const auto begin = std::find_if(name.begin(), name.end(), is_letter);
  return to_lower(std::string(begin, std::find_if_not(begin, name.end(), is_letter)));
}

bool has_digit(const std::string& name) { return name.find_first_of("0123456789") != std::string::npos; }

// "p190", "sub-01", "BraTS20_Training_001", "0042"; not "T1", "fold0", "1" (a class by its number), "glioma".
bool may_name_a_patient(const std::string& name) {
  const std::string lower = to_lower(name);
  if (name.size() < 2 || kMaskFolders.contains(lower) || kImageFolders.contains(lower) || kModalities.contains(lower))
    return false;
  return (has_digit(name) || seems_to_name_patients(name)) && !kParts.contains(first_word(name));
}

std::vector<Entry> take_apart(std::vector<SourceFile>& files) {
  std::vector<Entry> entries;
  for (SourceFile& file : files) {
    const fs::path name = file.name;
    Entry entry{&file, {}, "", ""};
    for (const fs::path& part : name.parent_path()) entry.folders.push_back(part.string());
    entry.folder = joined(entry.folders, entry.folders.size());
    entry.stem = to_lower(stem_of(name));
    if (file.series.empty()) {
      const bool is_below = std::any_of(entry.folders.begin(), entry.folders.end(), is_mask_folder);
      entry.is_mask = is_below || ending_of(name).starts_with(".seg.") || kMaskNames.contains(entry.stem) ||
                      !without_mask_suffix(entry.stem).empty();
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

// Patients' folders: the outermost whose name may be a patient's, as
// most of those beside it, where what lies in them speaks for it too.
void find_patient_folders(std::vector<Entry>& entries) {
  std::map<std::string, std::set<std::string>> beside;  // names of folders by the folder that they lie in
  for (const Entry& entry : entries) {
    for (size_t depth = 0; depth < entry.folders.size(); ++depth)
      beside[joined(entry.folders, depth)].insert(entry.folders[depth]);
  }
  const auto are_patients = [&](const std::string& outer) {
    const std::set<std::string>& names = beside[outer];
    return 5 * std::count_if(names.begin(), names.end(), may_name_a_patient) >= 4 * std::ssize(names);
  };
  std::map<std::string, std::vector<Entry*>> groups;
  std::map<std::string, std::string> name_of;  // of each group
  for (Entry& entry : entries) {
    for (size_t depth = 0; depth < entry.folders.size(); ++depth) {
      if (!may_name_a_patient(entry.folders[depth]) || !are_patients(joined(entry.folders, depth))) continue;
      const std::string key = joined(entry.folders, depth + 1);
      groups[key].push_back(&entry);
      name_of[key] = entry.folders[depth];
      break;
    }
  }
  if (groups.empty()) return;
  size_t num_files = 0, num_repeated = 0, num_telling = 0, num_masks = 0;
  std::map<std::string, std::set<std::string>> groups_of;  // by what a file is called beside the patient's name
  const auto rest_of = [&](const std::string& key, const Entry& entry) {
    const std::string name = to_lower(name_of[key]);
    return entry.stem.starts_with(name) ? entry.stem.substr(name.size()) : entry.stem;
  };
  for (const auto& [key, group] : groups) {
    for (const Entry* entry : group) groups_of[rest_of(key, *entry)].insert(key);
  }
  bool are_named = true;
  for (const auto& [key, group] : groups) {
    are_named &= kPatientWords.contains(first_word(name_of[key]));
    for (const Entry* entry : group) {
      const std::string rest = rest_of(key, *entry);
      const std::string word = rest.substr(std::min(rest.find_first_not_of("_-. "), rest.size()));
      ++num_files;
      num_repeated += groups_of[rest].size() > 1 ? 1 : 0;
      num_telling += entry->is_mask || kModalities.contains(word) || !without_modality(entry->stem).empty() ? 1 : 0;
      num_masks += kMaskNames.contains(word) ? 1 : 0;
    }
  }
  constexpr size_t kFew = 8;
  const bool is_few = groups.size() > 1 && num_files <= kFew * groups.size(),
             repeats = groups.size() > 1 && 2 * num_repeated >= num_files;
  if (!are_named && !is_few && !repeats && num_telling < num_files && num_masks == 0) return;
  for (const auto& [key, group] : groups) {
    for (Entry* entry : group) entry->unit = key;
  }
}

// Whatever it is called: a folder of a few files with one that is called "seg" or "mask".
void find_case_folders(std::vector<Entry>& entries) {
  constexpr size_t kMost = 12;
  std::map<std::string, std::vector<Entry*>> by_folder;
  for (Entry& entry : entries) {
    if (entry.unit.empty() && !entry.folder.empty()) by_folder[entry.folder].push_back(&entry);
  }
  for (const auto& [folder, group] : by_folder) {
    const auto num_masks =
        std::count_if(group.begin(), group.end(), [](const Entry* entry) { return kMaskNames.contains(entry->stem); });
    const bool is_below = is_mask_folder(group.front()->folders.back());
    if (num_masks == 0 || num_masks == std::ssize(group) || group.size() > kMost || is_below) continue;
    for (Entry* entry : group) entry->unit = folder;
  }
}

// "p1_t1" and "p1_t2" in one folder, "t1/p1" and "t2/p1".
void find_common_names(std::vector<Entry>& entries) {
  std::map<std::string, std::vector<Entry*>> groups;
  std::map<std::string, std::set<std::string>> modalities;
  for (Entry& entry : entries) {
    if (!entry.unit.empty() || !entry.file->series.empty()) continue;
    std::vector<std::string> folders;
    std::string said;
    for (const std::string& folder : entry.folders) {
      const std::string lower = to_lower(folder);
      if (kModalities.contains(lower)) said += lower + " ";
      if (!kModalities.contains(lower) && !kMaskFolders.contains(lower) && !kImageFolders.contains(lower))
        folders.push_back(folder);
    }
    std::string base = entry.stem;
    if (entry.is_mask && !without_mask_suffix(base).empty()) base = without_mask_suffix(base);
    if (const std::string shorter = without_modality(base); !shorter.empty()) {
      said += base.substr(shorter.size());
      base = shorter;
    }
    folders.push_back(base);
    const std::string key = join(folders, "/");
    groups[key].push_back(&entry);
    if (!entry.is_mask && !said.empty()) modalities[key].insert(said);
  }
  for (const auto& [key, group] : groups) {
    const auto known = modalities.find(key);
    if (known == modalities.end()) continue;
    const bool has_masks = std::any_of(group.begin(), group.end(), [](const Entry* entry) { return entry->is_mask; });
    if (known->second.size() < 2 && !has_masks) continue;
    for (Entry* entry : group) entry->unit = key;
  }
}

std::string mask_base(const Entry& mask) {
  const std::string rest = without_mask_suffix(mask.stem);
  return rest.empty() ? mask.stem : rest;
}

// What lies beside a mask and has its name without what makes it one; or in `images` beside its `labels`.
std::vector<Entry*> images_of_its_name(const Entry& mask, const std::map<std::string, std::vector<Entry*>>& images_in) {
  std::vector<Entry*> found;
  const auto in = [&](const std::string& folder) {
    const auto there = images_in.find(folder);
    return there == images_in.end() ? std::vector<Entry*>{} : there->second;
  };
  const std::string base = mask_base(mask);
  for (Entry* image : in(mask.folder)) {
    if (image->stem == base) found.push_back(image);
  }
  if (!found.empty()) return found;
  for (size_t depth = 0; depth < mask.folders.size(); ++depth) {
    if (!is_mask_folder(mask.folders[depth])) continue;
    for (const auto& [folder, images] : images_in) {
      const Entry& first = *images.front();
      if (first.folders.size() != mask.folders.size() || !kImageFolders.contains(to_lower(first.folders[depth])))
        continue;
      bool is_alike = true;
      for (size_t i = 0; i < mask.folders.size(); ++i) is_alike &= i == depth || first.folders[i] == mask.folders[i];
      if (!is_alike) continue;
      for (Entry* image : images) {
        if (image->stem == mask.stem || image->stem == base) found.push_back(image);
      }
      if (!found.empty()) continue;
      for (Entry* image : images) {
        if (without_channel(image->stem) == mask.stem) found.push_back(image);
      }
    }
  }
  return found;
}

bool are_channels(const std::vector<Entry*>& images) {
  return std::all_of(images.begin(), images.end(),
                     [](const Entry* image) { return without_channel(image->stem) != image->stem; });
}

void pair_by_names(std::vector<Entry>& entries) {
  std::map<std::string, std::vector<Entry*>> images_in;
  for (Entry& entry : entries) {
    if (!entry.is_mask && entry.file->series.empty()) images_in[entry.folder].push_back(&entry);
  }
  for (Entry& mask : entries) {
    if (!mask.is_mask) continue;
    std::vector<Entry*> found = images_of_its_name(mask, images_in);
    if (found.size() > 1 && !are_channels(found)) {
      mask.doubt = concat(found.size(), " images have its name");
      continue;
    }
    if (found.size() > 1) {
      for (Entry* image : found)
        image->unit = image->unit.empty() ? image->folder + "/" + without_channel(image->stem) : image->unit;
    }
    mask.images = std::move(found);
  }
}

// What is left belongs to the images of its patient: those of its own folder, or of the nearest around it that has any.
void pair_by_patients(std::vector<Entry>& entries) {
  std::map<std::string, std::vector<Entry*>> units;
  for (Entry& entry : entries) {
    if (!entry.unit.empty()) units[entry.unit].push_back(&entry);
  }
  for (auto& [unit, group] : units) {
    std::vector<Entry*> open;
    for (Entry* entry : group) {
      if (entry->is_mask && entry->images.empty() && entry->doubt.empty()) open.push_back(entry);
    }
    for (Entry* mask : open) {
      for (size_t depth = mask->folders.size();; --depth) {
        const std::string outer = joined(mask->folders, depth);
        std::vector<Entry*> images;
        size_t num_masks = 0;
        for (Entry* entry : group) {
          if (!lies_in(entry->folder, outer)) continue;
          if (!entry->is_mask) images.push_back(entry);
        }
        for (const Entry* other : open) num_masks += lies_in(other->folder, outer) ? 1 : 0;
        if (!images.empty() && num_masks == 1) mask->images = images;
        if (!images.empty() && num_masks > 1)
          mask->doubt = concat("is one of ", num_masks, " of its patient: which belongs to which image can't be told");
        if (!images.empty() || depth == 0) break;
      }
    }
  }
}

// One image beside one mask that is called so, in the outermost folder.
void pair_the_only_ones(std::vector<Entry>& entries) {
  std::vector<Entry*> masks, images;
  for (Entry& entry : entries) {
    if (entry.unit.empty() && entry.folder.empty()) (entry.is_mask ? masks : images).push_back(&entry);
  }
  if (masks.size() == 1 && images.size() == 1 && masks[0]->images.empty() && masks[0]->doubt.empty() &&
      kMaskNames.contains(masks[0]->stem))
    masks[0]->images = std::move(images);
}

std::optional<std::array<int64_t, 3>> size_of(const SourceFile& file) {
  try {
    const auto header = read_image_header(file);
    return header ? std::optional(header->size) : std::nullopt;
  } catch (const Error&) {  // reading it will say so
    return std::nullopt;
  }
}

// Of several images of a patient those that a mask was drawn on have its size.
void keep_those_of_its_size(Entry& mask, Source& source) {
  if (mask.images.size() < 2) return;
  const auto own = size_of(*mask.file);
  if (!own) return;
  std::erase_if(mask.images, [&](const Entry* image) {
    const auto size = size_of(*image->file);
    const bool is_other = size && *size != *own;
    if (is_other)
      source.remarks.push_back(
          {image->file->name, "has another size than the label map of its patient, which is no mask of it"});
    return is_other;
  });
  if (mask.images.empty()) mask.doubt = "each image of its patient has another size";
}

// "t1" of "p1/T1", "p1_t1" and "t1/p1"; "" where nothing names a sequence or modality.
std::string modality_word(const Entry& entry) {
  if (kModalities.contains(entry.stem)) return entry.stem;
  if (const std::string base = without_modality(entry.stem); !base.empty()) return entry.stem.substr(base.size() + 1);
  for (auto folder = entry.folders.rbegin(); folder != entry.folders.rend(); ++folder) {
    if (kModalities.contains(to_lower(*folder))) return to_lower(*folder);
  }
  return "";
}

// Images of several kinds that all patients have may be meant
// as channels of one input, which files by themselves are not.
void tell_of_channels(const std::map<std::string, std::vector<const Entry*>>& by_unit, Source& source) {
  std::map<std::set<std::string>, int64_t> counts;  // patients by the kinds of image that they have
  for (const auto& [unit, images] : by_unit) {
    std::set<std::string> words;
    for (const Entry* image : images) words.insert(modality_word(*image));
    if (words.size() == images.size() && !words.contains("")) ++counts[words];
  }
  const auto most =
      std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most == counts.end() || most->first.size() < 2 || most->second < 2 || 2 * most->second < std::ssize(by_unit))
    return;
  std::vector<std::string> words(most->first.begin(), most->first.end()), columns;
  for (const std::string& word : words) columns.push_back("image:" + word);
  source.remarks.push_back({"", concat(most->second, " patients have an image each of ", join(words, ", "),
                                       ": taken one by one. To give them to the network together, as channels of one "
                                       "input: a manifest with the columns ",
                                       join(columns, ", "))});
}

void take_patients(const std::vector<Entry>& entries, Source& source) {
  std::map<std::string, std::vector<const Entry*>> by_unit;
  for (const Entry& entry : entries) {
    if (entry.unit.empty() || entry.is_mask || !entry.file->series.empty()) continue;
    std::vector<std::string> parts;  // "images/p1" is p1
    for (const fs::path& part : fs::path(entry.unit)) {
      if (!kImageFolders.contains(to_lower(part.string()))) parts.push_back(part.string());
    }
    entry.file->patient = join(parts, "/");
    by_unit[entry.unit].push_back(&entry);
  }
  if (by_unit.empty()) return;
  source.remarks.push_back(
      {"", concat("files of one folder, or of one name, are taken as of one patient: ", by_unit.size(),
                  by_unit.size() == 1 ? " patient" : " patients", " (a manifest's column patient says otherwise)")});
  tell_of_channels(by_unit, source);
}

}  // namespace

const std::vector<std::string>& mask_suffixes() {
  static const std::vector<std::string> kSuffixes{"_mask",         "-mask",  "_masks",  "_seg", "-seg",
                                                  "_segmentation", "_label", "_labels", "_gt"};
  return kSuffixes;
}

bool is_mask_folder(const std::string& name) { return kMaskFolders.contains(to_lower(name)); }

std::map<std::string, fs::path> index_by_stem(const std::vector<fs::path>& files) {
  std::map<std::string, fs::path> by_stem;
  for (const fs::path& path : files) {
    const FileName name = take_apart(path.generic_string());
    if (!name.ending.starts_with(".seg.")) by_stem.emplace(name.stem, path);
  }
  return by_stem;
}

std::optional<fs::path> is_named_as_mask_of(const fs::path& path, const std::map<std::string, fs::path>& by_stem) {
  const FileName name = take_apart(path.generic_string());
  const auto other = [&](const std::string& stem) -> std::optional<fs::path> {
    const auto found = by_stem.find(stem);
    return found == by_stem.end() || found->second == path ? std::nullopt : std::optional(found->second);
  };
  if (name.ending.starts_with(".seg.")) return other(name.stem);
  for (const std::string& suffix : mask_suffixes()) {
    if (const std::string stem = without_ending(name.stem, suffix); !stem.empty()) return other(stem);
  }
  return std::nullopt;
}

void settle_patients(Source& source) {
  std::vector<Entry> entries = take_apart(source.files);
  find_patient_folders(entries);
  find_common_names(entries);
  take_patients(entries, source);
}

void settle_tree(Source& source) {
  std::vector<Entry> entries = take_apart(source.files);
  const auto num_masks =
      std::count_if(entries.begin(), entries.end(), [](const Entry& entry) { return entry.is_mask; });
  if (num_masks == std::ssize(entries)) return;  // label maps alone, which somebody wants to look at or to evaluate
  find_patient_folders(entries);
  find_case_folders(entries);
  find_common_names(entries);
  pair_by_names(entries);
  pair_by_patients(entries);
  pair_the_only_ones(entries);

  std::map<SourceFile*, std::vector<Entry*>> masks_of;
  for (Entry& entry : entries) {
    if (!entry.is_mask) continue;
    keep_those_of_its_size(entry, source);
    for (const Entry* image : entry.images) masks_of[image->file].push_back(&entry);
  }
  for (auto& [image, masks] : masks_of) {
    if (masks.size() == 1 && image->mask.empty()) {
      image->mask = masks[0]->file->path;
      continue;
    }
    for (Entry* mask : masks)
      mask->doubt =
          image->mask.empty() ? concat("is one of ", masks.size(), " of one image") : "its image has a mask already";
  }
  size_t num_used = 0;
  std::string first;
  std::set<const SourceFile*> masks;
  for (const Entry& entry : entries) {
    if (!entry.is_mask) continue;
    masks.insert(entry.file);
    const bool is_used = std::any_of(entry.images.begin(), entry.images.end(),
                                     [&](const Entry* image) { return image->file->mask == entry.file->path; });
    if (is_used) {
      first = num_used++ == 0 ? entry.file->name : first;
    } else {
      source.remarks.push_back(
          {entry.file->name, concat("is left out: it is named as a label map, and ",
                                    entry.doubt.empty() ? "no image belongs to it" : entry.doubt)});
    }
  }
  if (num_used > 0)
    source.remarks.push_back(
        {first, concat("is a label map, by its name", num_used > 1 ? concat(" (and ", num_used - 1, " more)") : "",
                       ": the mask of the image that it belongs to, and no image")});
  take_patients(entries, source);
  std::vector<SourceFile> images;
  for (SourceFile& file : source.files) {
    if (!masks.contains(&file)) images.push_back(std::move(file));
  }
  source.files = std::move(images);
}

}  // namespace vmae::io
