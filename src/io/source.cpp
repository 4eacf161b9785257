// Which layout a source has. Files are listed in an order that depends on their names only, never on the file system or the locale.
#include "vmae/io/source.h"

#include <algorithm>

#include "source_layouts.h"
#include "vmae/core/error.h"
#include "vmae/core/path_problem.h"
#include "vmae/io/dicom.h"
#include "vmae/io/picture.h"
#include "vmae/io/prepared.h"
#include "vmae/io/volume.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKnownFiles = "pictures (.png, .jpg, .jpeg, .tif, .tiff, .bmp), volumes (.nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd) and DICOM";

[[noreturn]] void fail_empty(const fs::path& folder, const Listing& listing) {
  std::vector<std::string> found;
  for (const auto& [extension, count] : listing.other_extensions) found.push_back(concat(count, " ", extension.empty() ? "without extension" : extension));
  throw Error(ExitCode::data, concat(folder.string(), " holds no images; found: ", found.empty() ? "nothing" : join(found, ", ")),
              concat("known are ", kKnownFiles));
}

template <class T>
T require(std::optional<T> found, const fs::path& folder, const std::string& layout) {
  if (!found)
    throw Error(ExitCode::data, concat(folder.string(), " has not the layout ", layout), "use layout auto, or see docs/data.md for what the layouts are");
  return *std::move(found);
}

Source folder_source(const fs::path& folder, const std::string& layout) {
  const bool is_auto = layout == "auto";
  if (is_auto || layout == "nnunet" || layout == "decathlon") {
    auto found = challenge_source(folder);
    if (!is_auto) return require(std::move(found), folder, layout);
    if (found) return *std::move(found);
  }
  if (is_auto || layout == "manifest") {
    const auto manifest = manifest_in(folder);
    if (!is_auto) return manifest_source(require(manifest, folder, layout));
    if (manifest) return manifest_source(*manifest);
  }
  if (is_auto || layout == "image_mask_folders") {
    auto found = image_mask_source(folder);
    if (!is_auto) return require(std::move(found), folder, layout);
    if (found) return *std::move(found);
  }
  Listing listing = list_folder(folder);
  if (listing.is_empty()) fail_empty(folder, listing);
  if (is_auto || layout == "class_folders") {
    auto found = class_source(folder, listing, /*is_forced=*/!is_auto);
    if (!is_auto) return require(std::move(found), folder, layout);
    if (found) return *std::move(found);
  }
  if (layout == "dicom") listing.pictures.clear(), listing.volumes.clear();
  if (layout == "files") listing.dicom.clear();
  if (listing.is_empty()) fail_empty(folder, listing);
  return dicom_and_files(folder, listing);
}

Source prepared_source(const fs::path& path) {
  const PreparedDataset dataset(path);
  Source source;
  source.layout = "prepared";
  source.label_names = dataset.info().label_names;
  source.is_multi_label = dataset.info().is_multi_label;
  source.mask_names = dataset.info().mask_names;
  for (int64_t number = 0; number < dataset.info().num_cases; ++number) {
    PreparedCase one = dataset.read_case(number);
    if (one.num_items == 0) continue;
    SourceFile file;
    file.path = path;
    file.name = std::move(one.name);
    file.patient = std::move(one.patient);
    file.split = std::move(one.split);
    file.fold = one.fold;
    file.modality = std::move(one.modality);
    file.labels = std::move(one.labels);
    file.prepared_case = number;
    source.files.push_back(std::move(file));
  }
  return source;
}

}  // namespace

bool is_image_file(const fs::path& path) { return is_picture(path) || is_volume(path); }

Source find_source(const fs::path& source, const std::string& layout) {
  std::error_code ignored;
  if (const std::string problem = path_problem(source); !problem.empty())
    throw Error(ExitCode::data, concat(source.string(), " ", problem), "give a manifest CSV, a folder or an image file");
  // A plan without an index: a dataset that is not finished, which the reader says.
  if (is_prepared(source) || fs::exists(source / "plan.json", ignored)) return prepared_source(source);
  if (fs::is_directory(source, ignored)) {
    try {
      return folder_source(source, layout);
    } catch (const fs::filesystem_error& error) {
      throw Error(ExitCode::data, concat("can't list ", error.path1().string(), ": ", error.code().message()));
    }
  }
  const std::string name = source.filename().string();
  Source single;
  single.layout = "files";
  if (is_image_file(source)) {
    single.files = {{source, name, name, ""}};
    return single;
  }
  const std::string extension = to_lower(source.extension().string());
  if (extension == ".csv" || extension == ".tsv" || extension == ".txt") return manifest_source(source);
  if (is_dicom(source)) {
    single.layout = "dicom";
    add_dicom({source}, source.parent_path(), single);
    if (single.files.empty()) {
      throw Error(ExitCode::data, concat(source.string(), ": ", single.refused.empty() ? "holds no image" : single.refused[0].text));
    }
    return single;
  }
  throw Error(ExitCode::data, source.string() + " is neither a manifest (.csv, .tsv) nor an image", concat("known are ", kKnownFiles));
}

std::vector<SourceFile> list_source(const fs::path& source) { return find_source(source).files; }

}  // namespace vmae::io
