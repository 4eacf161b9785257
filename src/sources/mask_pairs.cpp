#include "mask_pairs.h"

#include <algorithm>
#include <cmath>

#include "vmae/cases/channels.h"
#include "vmae/core/error.h"
#include "vmae/image/file_name.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

using Group = std::map<std::string, std::vector<fs::path>>;  // by path below the folder, without ending

Group by_stem(const std::vector<fs::path>& files, const fs::path& folder) {
  Group group;
  for (const fs::path& file : files)
    group[take_apart(file.lexically_relative(folder).generic_string()).stem].push_back(file);
  return group;
}

std::string names_of(const std::vector<fs::path>& files) {
  std::vector<std::string> names;
  for (const fs::path& file : files) names.push_back(file.string());
  return join(names, ", ");
}

// The masks in the order of the images, where each has exactly one of its own file name.
std::vector<fs::path> of_equal_names(const std::vector<fs::path>& images, const std::vector<fs::path>& masks) {
  std::vector<fs::path> found;
  if (images.size() != masks.size()) return found;
  for (const fs::path& image : images) {
    const auto mask = std::find_if(masks.begin(), masks.end(),
                                   [&](const fs::path& one) { return one.filename() == image.filename(); });
    if (mask == masks.end()) return {};
    found.push_back(*mask);
  }
  return found;
}

}  // namespace

MaskPairs pair_by_name(const std::vector<fs::path>& images, const fs::path& image_folder,
                       const std::vector<fs::path>& masks, const fs::path& mask_folder) {
  const Group image_groups = by_stem(images, image_folder);
  MaskPairs pairs;
  for (const auto& [stem, found] : by_stem(masks, mask_folder)) {
    const auto group = image_groups.find(stem);
    if (group == image_groups.end()) {
      pairs.without_image.insert(pairs.without_image.end(), found.begin(), found.end());
      continue;
    }
    const std::vector<fs::path> ordered =
        found.size() == 1 && group->second.size() == 1 ? found : of_equal_names(group->second, found);
    if (ordered.empty())
      throw Error(ExitCode::data,
                  concat("which mask belongs to which image can't be told, as two have the name ", stem, ": images ",
                         names_of(group->second), "; masks ", names_of(found)),
                  "keep one image and one mask of each name, or name the pairs in a manifest (columns image and mask)");
    for (size_t i = 0; i < ordered.size(); ++i) pairs.mask_of[group->second[i]] = ordered[i];
  }
  return pairs;
}

namespace {

// Under two paths (links, another way of writing it) one file, with masks or labels that differ.
void check_real_files(const Source& source) {
  const bool is_paired = std::any_of(source.files.begin(), source.files.end(),
                                     [](const SourceFile& file) { return !file.mask.empty() || !file.labels.empty(); });
  if (!is_paired || source.layout == "prepared") return;  // without, resolving a million paths would be for nothing
  std::map<fs::path, fs::path> folders;                   // resolved once each
  const auto real = [&](const fs::path& path) {
    std::error_code problem;
    const fs::path plain = path.lexically_normal();
    if (path.empty() || !plain.has_filename() || fs::is_symlink(path, problem))
      return fs::weakly_canonical(path, problem);
    const auto [folder, is_new] = folders.emplace(plain.parent_path(), fs::path());
    if (is_new) folder->second = fs::weakly_canonical(plain.has_parent_path() ? plain.parent_path() : ".", problem);
    return folder->second / plain.filename();
  };
  std::map<std::pair<fs::path, int64_t>, const SourceFile*> by_file;
  const std::vector<SourceFile> images = single_channels(source.files);
  for (const SourceFile& file : images) {
    const auto [first, is_new] = by_file.emplace(std::pair(real(file.path), file.time_point), &file);
    if (is_new) continue;
    const SourceFile& other = *first->second;
    const auto says_nothing = [](const SourceFile& one) { return one.mask.empty() && one.labels.empty(); };
    if (says_nothing(file) || says_nothing(other)) continue;
    const bool is_same_label =
        std::equal(file.labels.begin(), file.labels.end(), other.labels.begin(), other.labels.end(),
                   [](float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); });
    if (real(file.mask) == real(other.mask) && is_same_label && file.split == other.split) continue;
    throw Error(ExitCode::data,
                concat(other.name, " and ", file.name, " are one file, but have different masks, labels or splits"),
                "keep one of them");
  }
}

}  // namespace

void check_one_to_one(const Source& source) {
  std::map<std::string, const SourceFile*> by_name;
  std::map<fs::path, const SourceFile*> by_path, by_mask;
  const std::vector<SourceFile> images = single_channels(source.files);
  for (const SourceFile& file : images) {
    const auto [first, is_new] = by_name.emplace(file.name, &file);
    if (!is_new)
      throw Error(ExitCode::data,
                  concat("two images have the name ", file.name, ": ", first->second->path.string(), " and ",
                         file.path.string()),
                  "list each image once");
    by_path.emplace(file.path.lexically_normal(), &file);
  }
  for (const SourceFile& file : images) {
    if (file.mask.empty() || !file.series.empty()) continue;  // parts of a DICOM series share its mask
    const fs::path mask = file.mask.lexically_normal();
    if (const auto image = by_path.find(mask); image != by_path.end())
      throw Error(ExitCode::data,
                  concat(file.mask.string(), " is the mask of ", file.name, " and an image too, ", image->second->name),
                  "a file is an image or a mask: correct the list");
    const auto [first, is_new] = by_mask.emplace(mask, &file);
    if (!is_new && first->second->patient != file.patient)
      throw Error(
          ExitCode::data,
          concat("two images have the same mask, ", file.mask.string(), ": ", first->second->name, " and ", file.name),
          "every image has a mask of its own; several images of one patient (channels) may share one where a column "
          "`patient` says so");
  }
  check_real_files(source);
}

}  // namespace vmae::io
