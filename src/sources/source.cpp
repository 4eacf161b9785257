// Which layout a source has. Files are listed in an order that depends
// on their names only, never on the file system or the locale.
#include "vmae/sources/source.h"

#include <algorithm>
#include <map>
#include <set>

#include "layouts.h"
#include "mask_pairs.h"
#include "vmae/cases/channels.h"
#include "vmae/cases/class_names.h"
#include "vmae/core/error.h"
#include "vmae/core/path_problem.h"
#include "vmae/core/utf8_text.h"
#include "vmae/dicom/kinds.h"
#include "vmae/image/file_name.h"
#include "vmae/image/picture.h"
#include "vmae/prepared/prepared.h"
#include "vmae/sources/patients.h"
#include "vmae/volume/volume.h"
#include "vmae/volume/volume_data.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKnownFiles =
    "pictures (.png, .jpg, .jpeg, .tif, .tiff, .bmp), volumes (.nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd) and DICOM";

[[noreturn]] void fail_empty(const fs::path& folder, const Listing& listing) {
  std::vector<std::string> found;
  for (const auto& [extension, count] : listing.other_extensions)
    found.push_back(concat(count, " ", extension.empty() ? "without extension" : extension));
  throw NoImages(
      ExitCode::data,
      concat(folder.string(), " holds no images; found: ", found.empty() ? "nothing" : join(found, ", ")),
      concat("known are ", kKnownFiles, listing.num_of_pairs > 0 ? concat("; of .hdr and .img, ", kPairHint) : ""));
}

template <class T>
T require(std::optional<T> found, const fs::path& folder, const std::string& layout) {
  if (!found)
    throw Error(ExitCode::data, concat(folder.string(), " has not the layout ", layout),
                "use layout auto, or see docs/data.md for what the layouts are");
  return *std::move(found);
}

Source folder_source(const fs::path& folder, const std::string& layout, const std::vector<std::string>& findings) {
  const bool is_auto = layout == "auto";
  if (is_auto || layout == "nnunet" || layout == "decathlon") {
    auto found = challenge_source(folder);
    if (!is_auto) return require(std::move(found), folder, layout);
    if (found) return *std::move(found);
  }
  if (is_auto || layout == "manifest") {
    const auto manifest = manifest_in(folder);
    if (!is_auto) return manifest_source(require(manifest, folder, layout), findings);
    if (manifest) {
      Source source = manifest_source(*manifest, findings);
      const bool says_more =
          !source.label_names.empty() ||
          std::any_of(source.files.begin(), source.files.end(), [](const SourceFile& file) {
            return !file.mask.empty() || !file.split.empty() || file.fold >= 0 || file.patient != file.name;
          });
      auto folders = says_more ? std::nullopt : image_mask_source(folder);
      if (!folders) return source;
      folders->remarks.push_back(
          {manifest->filename().string(),
           "names images, but neither masks, labels, patients nor parts: the folders of masks count"});
      return *std::move(folders);
    }
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
  if (layout == "dicom") {
    listing.pictures.clear();
    listing.volumes.clear();
  }
  if (layout == "files") listing.dicom.clear();
  if (listing.is_empty()) fail_empty(folder, listing);
  return dicom_and_files(folder, listing, /*is_forced=*/!is_auto);
}

Source prepared_source(const fs::path& path) {
  const PreparedDataset dataset(path);
  Source source;
  source.layout = "prepared";
  source.label_names = dataset.info().label_names;
  source.is_multi_label = dataset.info().is_multi_label;
  source.mask_names = dataset.info().mask_names;
  source.ignore_label = dataset.info().ignore_label;
  source.regions = dataset.info().regions;
  for (size_t i = 0; i < source.mask_names.size(); ++i) {  // gaps
    if (source.mask_names[i].empty()) source.mask_names[i] = nameless_label(static_cast<int64_t>(i) + 1);
  }
  source.channel_names = dataset.info().channel_names;
  bool is_said = true;
  std::set<std::string> patients;
  const auto file_of = [&](int64_t number, PreparedCase one) {
    SourceFile file;
    file.path = path;
    file.name = std::move(one.name);
    file.patient = std::move(one.patient);
    file.split = std::move(one.split);
    file.fold = one.fold;
    file.modality = std::move(one.modality);
    file.labels = std::move(one.labels);
    file.prepared_case = number;
    file.is_patient_known = one.is_patient_known.value_or(true);
    return file;
  };
  for (int64_t number = 0; number < dataset.info().num_cases; ++number) {
    const PreparedCase one = dataset.read_case(number);
    if (one.num_items == 0 || one.channel_of >= 0) continue;
    SourceFile file = file_of(number, one);
    std::string problem;
    for (const int64_t channel : one.channels) {
      if (channel <= number || channel >= dataset.info().num_cases)
        fail_file(path, concat("case ", one.name, " has a channel that is no case of the dataset"));
      PreparedCase other = dataset.read_case(channel);
      if (other.num_items == 0) problem = "a channel of it could not be prepared";
      if (other.num_items > 0 && (other.num_items != one.num_items || other.size != one.size))
        problem = "its channels have not the same slices";
      file.channels.push_back(file_of(channel, std::move(other)));
    }
    is_said &= one.is_patient_known.has_value();
    patients.insert(file.patient);
    if (problem.empty()) {
      source.files.push_back(std::move(file));
    } else {
      source.refused.push_back({file.name, problem});
    }
  }
  // Older datasets do not say it: names and patients are both hashes, and patients known where one has several cases.
  const std::string& layout = dataset.info().layout;
  const bool knows = layout != "nnunet" && layout != "decathlon" && patients.size() < source.files.size();
  for (SourceFile& file : source.files) file.is_patient_known = is_said ? file.is_patient_known : knows;
  return source;
}

// Names go into JSON and CSV, so they are UTF-8, whatever bytes the files' names are. Paths stay as they are.
void make_names_utf8(Source& source) {
  size_t count = 0;
  std::string first;
  for (SourceFile& file : source.files) {
    for (SourceFile& channel : file.channels) channel.name = escaped_utf8(channel.name);
    if (is_utf8(file.name) && is_utf8(file.patient)) continue;
    const bool is_unknown = file.patient == file.name;
    file.name = escaped_utf8(file.name);
    file.patient = is_unknown ? file.name : escaped_utf8(file.patient);
    first = count++ == 0 ? file.name : first;
  }
  for (auto* list : {&source.refused, &source.remarks}) {
    for (SourceRemark& remark : *list) remark = {escaped_utf8(remark.name), escaped_utf8(remark.text)};
  }
  for (std::string& name : source.label_names) name = escaped_utf8(name);
  if (count > 0)
    source.remarks.push_back(
        {first, concat("has a name that is not UTF-8", count > 1 ? concat(" (and ", count - 1, " more)") : "",
                       ": each such byte is written as %XX")});
}

// Voxels of two images, or masks, in one file: one of the headers was copied and still points to the other's.
void check_voxel_files(const Source& source) {
  std::map<std::string, fs::path> header_of;  // by file and the place in it
  for (const SourceFile& file : single_channels(source.files)) {
    for (const fs::path* path : {&file.path, &file.mask}) {
      for (const fs::path& voxels : voxel_files(*path)) {
        const auto [first, is_new] = header_of.emplace(concat(voxels.string(), '\n', voxel_offset(*path)), *path);
        if (!is_new && first->second != *path)
          throw Error(ExitCode::data,
                      concat(first->second.string(), " and ", path->string(), " both have their voxels in ",
                             voxels.filename().string()),
                      "correct the name of the data file in one of the headers");
      }
    }
  }
}

// What holds for every layout.
Source finished(Source source) {
  check_voxel_files(source);
  if (source.layout != "prepared") {
    for (SourceFile& file : source.files) file.is_patient_known = knows_patient(file, source.layout);
  }
  make_names_utf8(source);
  check_one_to_one(source);
  if (std::string note = patients_note(source); !note.empty()) source.remarks.push_back({"", std::move(note)});
  return source;
}

}  // namespace

bool is_image_file(const fs::path& path) { return is_picture(path) || is_volume(path); }

namespace {

// Those of a prepared dataset, in the order in which they are named.
void choose_findings(Source& source, const std::vector<std::string>& findings, const fs::path& path) {
  const std::vector<std::string> all = source.label_names;
  if (source.layout == "prepared" && !source.is_multi_label && !all.empty()) {
    std::vector<std::string> own = label_columns(PreparedDataset(path).info());
    if (own.empty()) own = {"label", "class"};
    const bool is_own = findings.size() == 1 && std::any_of(own.begin(), own.end(), [&](const auto& name) {
                          return to_lower(name) == to_lower(findings[0]);
                        });
    if (is_own) return;
    throw Error(
        ExitCode::usage,
        concat("data.findings = [", join(findings, ", "), "]: ", path.string(), " was prepared with the classes of ",
               own.size() > 1 ? "the column label, or of its folders" : "the column " + own[0]),
        "leave data.findings out, or prepare the dataset with prepare.findings");
  }
  if (!source.is_multi_label)
    throw Error(ExitCode::usage,
                concat("data.findings: ", path.string(), " has no findings",
                       all.empty() ? "" : concat(", but classes: ", join(all, ", "))),
                "findings are columns of a manifest, or were when the dataset was prepared; leave data.findings out");
  std::vector<size_t> places;
  for (const std::string& name : findings) {
    const auto found = std::find(all.begin(), all.end(), name);
    if (found == all.end()) fail_no_finding(path.string(), name, all);
    places.push_back(static_cast<size_t>(found - all.begin()));
  }
  source.label_names = findings;
  for (SourceFile& file : source.files) {
    if (file.labels.empty()) continue;
    std::vector<float> labels;
    for (const size_t place : places) labels.push_back(file.labels.at(place));
    file.labels = std::move(labels);
  }
}

Source read_source(const fs::path& source, const std::string& layout, const std::vector<std::string>& findings) {
  std::error_code ignored;
  if (const std::string problem = path_problem(source); !problem.empty())
    throw Error(ExitCode::data, concat(source.string(), " ", problem),
                "give a manifest CSV, a folder or an image file");
  // A plan without an index: a dataset that is not finished, which the reader says.
  if (is_prepared(source) || fs::exists(source / "plan.json", ignored)) return prepared_source(source);
  if (fs::is_directory(source, ignored)) {
    try {
      Source found = folder_source(source, layout, findings);
      if (found.layout != "manifest") {
        for (SourceRemark& remark : unused_tables(source)) found.remarks.push_back(std::move(remark));
      }
      return found;
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
  if (is_table_file(source) || !without_ending(name, ".txt").empty()) return manifest_source(source, findings);
  if (is_dicom(source)) {
    single.layout = "dicom";
    add_dicom({source}, source.parent_path(), single);
    if (single.files.empty()) {
      fail_file(source, single.refused.empty() ? "holds no image" : single.refused[0].text);
    }
    return single;
  }
  if (is_of_pair(source)) throw Error(ExitCode::data, concat(source.string(), " ", kPairProblem), kPairHint);
  throw Error(ExitCode::data, source.string() + " is neither a manifest (.csv, .tsv) nor an image",
              concat("known are ", kKnownFiles));
}

}  // namespace

Source find_source(const fs::path& path, const std::string& layout, const std::vector<std::string>& findings) {
  Source source = read_source(path, layout, findings);
  if (!findings.empty() && source.layout != "manifest") choose_findings(source, findings, path);
  return finished(std::move(source));
}

std::vector<SourceFile> list_source(const fs::path& source) { return find_source(source).files; }

}  // namespace vmae::io
