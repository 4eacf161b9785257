// Lists files in an order that depends on their names only, never on the file system or the locale.
#include "vmae/io/source.h"

#include <algorithm>
#include <map>
#include <set>

#include "vmae/core/error.h"
#include "vmae/io/csv.h"
#include "vmae/io/picture.h"
#include "vmae/io/volume.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kImageColumns{"image", "image_path", "path", "file", "filename"};
constexpr const char* kKnownFiles = "pictures (.png, .jpg, .jpeg, .tif, .tiff, .bmp) and volumes (.nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd)";

bool is_image(const fs::path& path) { return is_picture(path) || is_volume(path); }

std::vector<SourceFile> list_manifest(const fs::path& manifest) {
  const Csv csv = read_csv(manifest);
  const auto image = csv.column(kImageColumns);
  if (!image) {
    throw Error(ExitCode::data, concat(manifest.string(), ":1: no column for the images; its columns are: ", join(csv.columns, ", ")),
                concat("name the column with the paths `image` (or ", join({kImageColumns.begin() + 1, kImageColumns.end()}, ", "), ")"));
  }
  const auto patient = csv.column({"patient"}), split = csv.column({"split"});
  const fs::path folder = manifest.has_parent_path() ? manifest.parent_path() : ".";
  std::vector<SourceFile> files;
  std::map<std::string, int64_t> line_of;
  for (const CsvRow& row : csv.rows) {
    const std::string& cell = row.fields[*image];
    if (cell.empty()) throw Error(ExitCode::data, concat(manifest.string(), ":", row.line, ": no image is named"));
    SourceFile file;
    file.path = (folder / cell).lexically_normal();
    file.name = fs::path(cell).is_absolute() ? fs::absolute(file.path).lexically_relative(fs::absolute(folder).lexically_normal()).generic_string()
                                             : fs::path(cell).lexically_normal().generic_string();
    const auto [first, is_new] = line_of.emplace(file.name, row.line);
    if (!is_new) throw Error(ExitCode::data, concat(manifest.string(), ":", row.line, ": names ", cell, " a second time; the first is line ", first->second));
    file.patient = patient && !row.fields[*patient].empty() ? row.fields[*patient] : file.name;
    if (split) file.split = to_lower(row.fields[*split]);
    if (!file.split.empty() && file.split != "train" && file.split != "val" && file.split != "test") {
      throw Error(ExitCode::data, concat(manifest.string(), ":", row.line, ": split is '", row.fields[*split], "'; allowed: train, val, test, or empty"));
    }
    files.push_back(std::move(file));
  }
  if (files.empty()) throw Error(ExitCode::data, manifest.string() + " has a header, but no rows");
  return files;
}

// What a folder holds, gathered by a walk that enters every real folder once.
struct Listing {
  std::vector<fs::path> images;
  std::map<std::string, int64_t> other_extensions;
  std::set<fs::path> visited;

  void walk(const fs::path& folder) {
    if (!visited.insert(fs::canonical(folder)).second) return;
    std::vector<fs::path> entries;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) entries.push_back(entry.path());
    std::sort(entries.begin(), entries.end());
    for (const fs::path& entry : entries) {
      std::error_code ignored;
      if (entry.filename().string().starts_with(".")) continue;
      if (fs::is_directory(entry, ignored)) {
        walk(entry);
      } else if (is_image(entry)) {
        images.push_back(entry);  // a dangling link too: reading it will say so
      } else {
        ++other_extensions[to_lower(entry.extension().string())];
      }
    }
  }
};

std::vector<SourceFile> list_folder(const fs::path& folder) {
  Listing listing;
  try {
    listing.walk(folder);
  } catch (const fs::filesystem_error& error) {
    throw Error(ExitCode::data, concat("can't list ", error.path1().string(), ": ", error.code().message()));
  }
  std::vector<SourceFile> files;
  for (const fs::path& path : listing.images) {
    const std::string name = path.lexically_relative(folder).generic_string();
    files.push_back({path, name, name, ""});
  }
  std::sort(files.begin(), files.end(), [](const SourceFile& a, const SourceFile& b) { return a.name < b.name; });
  if (files.empty()) {
    std::vector<std::string> found;
    for (const auto& [extension, count] : listing.other_extensions) found.push_back(concat(count, " ", extension.empty() ? "without extension" : extension));
    throw Error(ExitCode::data, concat(folder.string(), " holds no images; found: ", found.empty() ? "nothing" : join(found, ", ")),
                concat("known are ", kKnownFiles));
  }
  return files;
}

}  // namespace

std::vector<SourceFile> list_source(const fs::path& source) {
  std::error_code ignored;
  if (!fs::exists(source, ignored)) throw Error(ExitCode::data, source.string() + " does not exist", "give a manifest CSV, a folder or an image file");
  if (fs::is_directory(source, ignored)) return list_folder(source);
  const std::string name = source.filename().string();
  if (is_image(source)) return {{source, name, name, ""}};
  const std::string extension = to_lower(source.extension().string());
  if (extension == ".csv" || extension == ".tsv" || extension == ".txt") return list_manifest(source);
  throw Error(ExitCode::data, source.string() + " is neither a manifest (.csv, .tsv) nor an image", concat("known are ", kKnownFiles));
}

}  // namespace vmae::io
