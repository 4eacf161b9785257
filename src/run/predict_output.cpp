#include "predict_output.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "vmae/core/atomic_file.h"
#include "vmae/core/text.h"
#include "vmae/core/version.h"
#include "vmae/io/file_name.h"
#include "vmae/io/picture.h"
#include "vmae/io/write_dicom_seg.h"
#include "vmae/io/write_labels.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

bool is_picture_case(const io::SourceFile& file, const data::Case& one) {
  if (file.prepared_case >= 0) return one.volume.size[2] == 1 && one.axis == 2;
  return file.series.empty() && io::is_picture(file.path) && one.volume.size[2] == 1;
}

// A TIFF of several pages.
bool is_stack(const io::SourceFile& file) { return file.prepared_case < 0 && file.series.empty() && io::is_picture(file.path); }

std::string volume_ending(const io::SourceFile& file) {
  const std::string ending = file.prepared_case >= 0 ? "" : io::ending_of(file.path);
  if (ending.ends_with(".nhdr") || ending.ends_with(".nrrd")) return ".nrrd";
  if (ending == ".mhd") return ".mha";
  if (is_stack(file)) return ending;
  return ending == ".nii" || ending == ".mha" ? ending : ".nii.gz";
}

}  // namespace

fs::path write_labels(const fs::path& stem, const io::SourceFile& file, const data::Case& one, std::span<const uint8_t> classes, const ModelCard& card) {
  const auto with = [&](const std::string& ending) { return fs::path(stem.string() + ending); };
  const auto& size = one.volume.size;
  fs::create_directories(stem.parent_path());
  if (!file.series.empty()) {
    io::write_dicom_seg(with(".dcm"), file.series, one.volume, classes, {card.class_names, "vmae", version(), "vmae segmentation"}, file.time_point);
    return with(".dcm");
  }
  std::vector<uint8_t> labels(classes.begin(), classes.end());
  for (uint8_t& label : labels) label = label == 0 || card.label_values.empty() ? label : static_cast<uint8_t>(card.label_values[label - 1]);
  if (is_picture_case(file, one)) {
    io::write_label_png(with(".png"), size[1], size[0], labels);
    return with(".png");
  }
  if (is_stack(file)) {
    io::write_label_stack(with(volume_ending(file)), size, io::stack_spacing_mm(file.path), labels);
    return with(volume_ending(file));
  }
  io::write_label_volume(with(volume_ending(file)), file, one.volume, labels);
  return with(volume_ending(file));
}

void write_probabilities(const fs::path& stem, const io::SourceFile& file, const data::Case& one, std::span<const float> values) {
  fs::create_directories(stem.parent_path());
  if (!is_picture_case(file, one) && is_stack(file))
    return io::write_float_stack(stem.string() + volume_ending(file), one.volume.size, io::stack_spacing_mm(file.path), values);
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
