#pragma once
// Trees of files that nothing describes: which are label maps, of
// which images, and whose folders they lie in; by their names.
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vmae/sources/source.h"

namespace vmae::io {

// The suffixes that names of masks have ("x_mask.png" of "x.png").
const std::vector<std::string>& mask_suffixes();
bool is_mask_folder(const std::string& name);  // "labels", "masks", ...

// Files by their paths without endings; 3D Slicer's ".seg.nrrd", which are masks, left out.
std::map<std::string, std::filesystem::path> index_by_stem(const std::vector<std::filesystem::path>& files);
// The file beside `path` that it is named as the mask of
// ("x_mask.png" of "x.png", "x.seg.nrrd" of "x.nrrd"); or nothing.
std::optional<std::filesystem::path> is_named_as_mask_of(const std::filesystem::path& path,
                                                         const std::map<std::string, std::filesystem::path>& by_stem);

// Patients alone, where masks are known: as settle_tree().
void settle_patients(Source& source);

// Of the files of layouts `files` and `dicom`, named relative to the folder. Patients: files in a
// patient's folder, and modalities of one name ("p1_t1" and "p1_t2", "t1/p1" and "t2/p1"), become files
// of one patient. Label maps ("seg", "mask", "x_seg", all in a folder `labels` or `masks`, ...) are no
// images: they become the masks of their images where these can be told, else they are left out, with a
// remark. Files alone that are all named as masks stay as they are. docs/prepare.md has the rules.
void settle_tree(Source& source);

}  // namespace vmae::io
