#include "vmae/image/file_name.h"

#include <array>

#include "vmae/core/text.h"

namespace vmae::io {
namespace {

struct Known {
  std::string_view ending;
  FileKind kind;
};

// Longer ones before those that they end in.
constexpr std::array<Known, 17> kKnown{{{".nii.gz", FileKind::volume},
                                        {".nii", FileKind::volume},
                                        {".seg.nrrd", FileKind::volume},
                                        {".nrrd", FileKind::volume},
                                        {".seg.nhdr", FileKind::volume},
                                        {".nhdr", FileKind::volume},
                                        {".mha", FileKind::volume},
                                        {".mhd", FileKind::volume},
                                        {".png", FileKind::picture},
                                        {".jpg", FileKind::picture},
                                        {".jpeg", FileKind::picture},
                                        {".tif", FileKind::picture},
                                        {".tiff", FileKind::picture},
                                        {".bmp", FileKind::picture},
                                        {".dcm", FileKind::dicom},
                                        {".dicom", FileKind::dicom},
                                        {".ima", FileKind::dicom}}};

}  // namespace

std::string without_ending(std::string_view name, std::string_view ending) {
  if (name.size() <= ending.size() || ending.empty()) return "";
  const std::string_view stem = name.substr(0, name.size() - ending.size());
  if (to_lower(name.substr(stem.size())) != to_lower(ending) || stem.ends_with('/')) return "";
  return std::string(stem);
}

FileName take_apart(std::string_view name) {
  for (const Known& known : kKnown) {
    if (std::string stem = without_ending(name, known.ending); !stem.empty())
      return {std::move(stem), std::string(known.ending), known.kind};
  }
  return {std::string(name), "", FileKind::other};
}

FileKind kind_of(const std::filesystem::path& path) { return take_apart(path.filename().string()).kind; }
std::string stem_of(const std::filesystem::path& path) { return take_apart(path.filename().string()).stem; }
std::string ending_of(const std::filesystem::path& path) { return take_apart(path.filename().string()).ending; }

bool is_of_pair(const std::filesystem::path& path) {
  const std::string name = to_lower(path.filename().string());
  return name.ends_with(".hdr") || name.ends_with(".img") || name.ends_with(".hdr.gz") || name.ends_with(".img.gz");
}

}  // namespace vmae::io
