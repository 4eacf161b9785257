#include "predict_output.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "vmae/core/atomic_file.h"
#include "vmae/core/hash.h"
#include "vmae/core/version.h"
#include "vmae/io/picture.h"
#include "vmae/io/write_dicom_seg.h"
#include "vmae/io/write_labels.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

// ".nii.gz", ".png", ... in lower case.
std::string ending_of(const std::string& name) {
  const std::string lower = to_lower(name);
  return lower.ends_with(".nii.gz") ? ".nii.gz" : fs::path(lower).extension().string();
}

// "#t3", by which a time point of a 4-D file is told from the others; else "".
std::string time_suffix(const io::SourceFile& file) {
  const std::string suffix = concat("#t", file.time_point);
  return file.name.ends_with(suffix) ? suffix : "";
}

bool is_picture_case(const io::SourceFile& file, const data::Case& one) {
  if (file.prepared_case >= 0) return one.volume.size[2] == 1 && one.axis == 2;
  return file.series.empty() && io::is_picture(file.path);
}

std::string volume_ending(const io::SourceFile& file) {
  const std::string ending = file.prepared_case >= 0 ? "" : ending_of(file.path.filename().string());
  if (ending == ".nhdr") return ".nrrd";
  if (ending == ".mhd") return ".mha";
  return ending == ".nii" || ending == ".nrrd" || ending == ".mha" ? ending : ".nii.gz";
}

}  // namespace

std::string without(std::string text, const std::vector<std::string>& identifying) {
  for (const std::string& one : identifying) {
    if (one.size() < 3) continue;
    for (size_t at = to_lower(text).find(to_lower(one)); at != std::string::npos; at = to_lower(text).find(to_lower(one), at + 1))
      text.replace(at, one.size(), "*");
  }
  return text;
}

bool is_identifying(const std::string& name, const std::vector<std::string>& identifying) {
  const std::string lower = to_lower(name);
  return std::any_of(identifying.begin(), identifying.end(),
                     [&](const std::string& text) { return text.size() >= 3 && lower.find(to_lower(text)) != std::string::npos; });
}

std::vector<std::string> case_names(const std::vector<io::SourceFile>& cases, const std::vector<std::string>& identifying) {
  std::map<std::string, int64_t> series_in;  // by folder
  const auto folder_of = [](const io::SourceFile& file) { return fs::path(file.name).parent_path().generic_string(); };
  for (const io::SourceFile& file : cases) series_in[folder_of(file)] += file.series.empty() ? 0 : 1;
  const auto stem_of = [&](const io::SourceFile& file) {
    if (!file.series.empty() && !folder_of(file).empty() && series_in.at(folder_of(file)) == 1) return folder_of(file);
    const std::string time = time_suffix(file), name = file.name.substr(0, file.name.size() - time.size());
    return file.prepared_case >= 0 && !io::is_picture(name) && ending_of(name) != ".nii.gz" ? name : name.substr(0, name.size() - ending_of(name).size());
  };
  // Of a manifest whose images lie elsewhere: the folder that all of them lie in is no part of a name.
  std::optional<fs::path> common;
  for (const io::SourceFile& file : cases) {
    const fs::path path = fs::path(file.name).lexically_normal(), folder = path.parent_path();
    if (!path.is_absolute() && *path.begin() != "..") continue;
    if (!common) common = folder;
    fs::path shared;
    for (auto a = common->begin(), b = folder.begin(); a != common->end() && b != folder.end() && *a == *b; ++a, ++b) shared /= *a;
    common = shared;
  }
  const bool has_channel = std::all_of(cases.begin(), cases.end(), [&](const auto& file) { return stem_of(file).ends_with("_0000"); });
  std::vector<std::string> names;
  std::set<std::string> used;
  for (const io::SourceFile& file : cases) {
    std::string name = stem_of(file);
    if (has_channel) name.resize(name.size() - 5);
    auto path = fs::path(name).lexically_normal();
    if (common && (path.is_absolute() || *path.begin() == "..")) path = path.lexically_relative(*common);  // no ".." into other folders
    name.clear();
    for (const auto& part : path.relative_path()) {
      if (part != "..") name += (name.empty() ? "" : "/") + part.string();
    }
    if (is_identifying(name, identifying)) name = "case_" + hex(sha256(name), 6);
    if (const std::string time = time_suffix(file); !time.empty()) name += "_" + time.substr(1);
    std::string unique = name;
    for (int64_t i = 2; !used.insert(unique).second; ++i) unique = concat(name, "_", i);  // a.png and a.jpg
    names.push_back(unique);
  }
  return names;
}

fs::path write_labels(const fs::path& stem, const io::SourceFile& file, const data::Case& one, std::span<const uint8_t> labels, const ModelCard& card) {
  const auto with = [&](const std::string& ending) { return fs::path(stem.string() + ending); };
  const auto& size = one.volume.size;
  fs::create_directories(stem.parent_path());
  if (!file.series.empty()) {
    io::write_dicom_seg(with(".dcm"), file.series, one.volume, labels, {card.class_names, "vmae", version(), "vmae segmentation"});
    return with(".dcm");
  }
  if (is_picture_case(file, one)) {
    io::write_label_png(with(".png"), size[1], size[0], labels);
    return with(".png");
  }
  io::write_label_volume(with(volume_ending(file)), file, one.volume, labels);
  return with(volume_ending(file));
}

void write_probabilities(const fs::path& stem, const io::SourceFile& file, const data::Case& one, std::span<const float> values) {
  fs::create_directories(stem.parent_path());
  if (!is_picture_case(file, one)) return io::write_float_volume(stem.string() + ".nii.gz", file, one.volume, values);
  io::Image image{one.volume.size[1], one.volume.size[0], 1, {values.begin(), values.end()}, 255.0};
  for (float& value : image.pixels) value *= 255.0F;
  write_file_atomically(stem.string() + ".png", io::encode_png(image));
}

std::vector<std::string> class_file_names(const std::vector<std::string>& classes) {
  std::vector<std::string> names = classes;
  for (std::string& name : names) {
    for (char& c : name) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x80 && std::isalnum(byte) == 0 && c != '-') c = '_';
    }
  }
  if (std::set<std::string>(names.begin(), names.end()).size() == names.size()) return names;
  for (size_t i = 0; i < names.size(); ++i) names[i] = concat(i + 1, "_", names[i]);
  return names;
}

}  // namespace vmae::run
