#pragma once
// Where images come from: a manifest CSV, or a folder searched recursively. Gives a list of files; slices are counted later, by data/.
// DICOM series and prepared datasets are the next kinds of source: they add a case to list_source, nothing else changes.
#include <filesystem>
#include <string>
#include <vector>

namespace vmae::io {

struct SourceFile {
  std::filesystem::path path;  // absolute, or relative to the working folder as the user's own path was
  std::string name;            // relative to the manifest or the folder, for messages and sample ids
  std::string patient;         // from the manifest; else the name. Never written anywhere as such
  std::string split;           // from the manifest ("train", "val", "test"), or ""
};

// Manifest: CSV with a header line (RFC 4180 quoting, comma or semicolon or tab, UTF-8 with or without BOM), column `image`
// (also accepted: image_path, path, file, filename), optional `patient`, `split` (train, val, test or empty);
// other columns (mask, label, fold, modality ...) are left to later commands. Paths relative to the CSV.
// Folder: every picture and volume below it, hidden files and symlink loops skipped, sorted by name so that the order does not depend on the file system.
// A single picture or volume file is a source of one.
// Throws Error(data) with what was found where it is empty, has no image column, or names a file twice.
// A missing file is not an error here: it is quarantined when it is read.
std::vector<SourceFile> list_source(const std::filesystem::path& source);

}  // namespace vmae::io
