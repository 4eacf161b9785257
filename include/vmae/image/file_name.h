#pragma once
// File names are taken apart here and nowhere else. Only known endings are endings; every other dot
// belongs to the stem: "1.2.826.101.nii.gz" has the stem "1.2.826.101", and "IM.1.5" has no ending.
#include <filesystem>
#include <string>
#include <string_view>

namespace vmae::io {

enum class FileKind { picture, volume, dicom, other };

struct FileName {
  std::string stem;  // in front of the ending, as written; of a path with its folders
  // with its dot, in lower case; "" if it is none that is known.
  // 3D Slicer's ".seg.nrrd" is an ending: the mask of "case.nrrd"
  std::string ending;
  FileKind kind = FileKind::other;
};

// `name`: a file's name, or a path as text. Endings are known in
// any case. A name that is nothing but an ending (".png") has none.
FileName take_apart(std::string_view name);

FileKind kind_of(const std::filesystem::path& path);     // by name; is_picture, is_volume ask this
std::string stem_of(const std::filesystem::path& path);  // of the last part of the path
std::string ending_of(const std::filesystem::path& path);

// Whether a name is that of one of a pair of .hdr and .img (Analyze 7.5, or
// NIfTI in two files; also .gz), which are not read; what errors then say.
bool is_of_pair(const std::filesystem::path& path);
inline constexpr const char* kPairProblem =
    "is one of a pair of .hdr and .img (Analyze 7.5, or NIfTI in two files), which is not read";
inline constexpr const char* kPairHint =
    "convert the pair to one .nii (nibabel: nibabel.save(nibabel.load(\"NAME.img\"), \"NAME.nii\"))";

// `name` without `ending` (any case of letters), where it ends so and something is left; else "".
std::string without_ending(std::string_view name, std::string_view ending);

}  // namespace vmae::io
