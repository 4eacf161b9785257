#pragma once
// The layouts that find_source knows, one function each.
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vmae/sources/source.h"

namespace vmae::io {

bool is_image_file(const std::filesystem::path& path);  // by name: a picture or volume

// No column, or finding of a prepared dataset, has this name. all: those that there are.
[[noreturn]] void fail_no_finding(const std::string& where, const std::string& name,
                                  const std::vector<std::string>& all);

bool is_table_file(const std::filesystem::path& path);  // by name: .csv, .tsv
Source manifest_source(const std::filesystem::path& manifest, const std::vector<std::string>& findings = {});
// its only table with an image column
std::optional<std::filesystem::path> manifest_in(const std::filesystem::path& folder);
// Its tables that name image files in a column that is not called so: whoever wrote them means them to be read.
std::vector<SourceRemark> unused_tables(const std::filesystem::path& folder);

// nnU-Net, Decathlon: where there is a dataset.json
std::optional<Source> challenge_source(const std::filesystem::path& folder);
std::optional<Source> image_mask_source(const std::filesystem::path& folder);  // images beside labels or masks
std::optional<Source> class_source(const std::filesystem::path& folder, const Listing& listing, bool is_forced);
// Layouts dicom and files. is_forced: all files are images, whatever they are called; else tree.h.
Source dicom_and_files(const std::filesystem::path& folder, const Listing& listing, bool is_forced);

// DICOM files as series with their masks, added to `source`. Names are relative to `folder`.
void add_dicom(const std::vector<std::filesystem::path>& files, const std::filesystem::path& folder, Source& source);

}  // namespace vmae::io
