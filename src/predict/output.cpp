#include "output.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "vmae/cases/write_labels.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/spread.h"
#include "vmae/core/text.h"
#include "vmae/core/version.h"
#include "vmae/dicom/seg_write.h"
#include "vmae/image/file_name.h"
#include "vmae/image/picture.h"
#include "vmae/pictures/class_colours.h"
#include "vmae/pictures/contact_sheet.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

bool is_picture_case(const io::SourceFile& file, const data::Case& one) {
  if (file.prepared_case >= 0) return one.volume.size[2] == 1 && one.axis == 2;
  return file.series.empty() && io::is_picture(file.path) && one.volume.size[2] == 1;
}

// A TIFF of several pages.
bool is_stack(const io::SourceFile& file) {
  return file.prepared_case < 0 && file.series.empty() && io::is_picture(file.path);
}

std::string volume_ending(const io::SourceFile& file) {
  const std::string ending = file.prepared_case >= 0 ? "" : io::ending_of(file.path);
  if (ending.ends_with(".nhdr") || ending.ends_with(".nrrd")) return ".nrrd";
  if (ending == ".mhd") return ".mha";
  if (is_stack(file)) return ending;
  return ending == ".nii" || ending == ".mha" ? ending : ".nii.gz";
}

}  // namespace

fs::path write_labels(const fs::path& stem, const io::SourceFile& file, const data::Case& one,
                      std::span<const uint8_t> classes, const ModelCard& card) {
  const auto with = [&](const std::string& ending) { return fs::path(stem.string() + ending); };
  const auto& size = one.volume.size;
  fs::create_directories(stem.parent_path());
  if (!file.series.empty()) {
    io::write_dicom_seg(with(".dcm"), file.series, one.volume, classes,
                        {card.class_names, "vmae", version(), "vmae segmentation"}, file.time_point);
    return with(".dcm");
  }
  std::vector<uint8_t> labels(classes.begin(), classes.end());
  for (uint8_t& label : labels)
    label = label == 0 || card.label_values.empty() ? label : static_cast<uint8_t>(card.label_values[label - 1]);
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

fs::path write_probabilities(const fs::path& stem, const io::SourceFile& file, const data::Case& one,
                             std::span<const float> values) {
  fs::create_directories(stem.parent_path());
  if (!is_picture_case(file, one) && is_stack(file)) {
    io::write_float_stack(stem.string() + volume_ending(file), one.volume.size, io::stack_spacing_mm(file.path),
                          values);
    return stem.string() + volume_ending(file);
  }
  if (!is_picture_case(file, one)) {
    io::write_float_volume(stem.string() + ".nii.gz", file, one.volume, values);
    return stem.string() + ".nii.gz";
  }
  io::Image image{one.volume.size[1], one.volume.size[0], 1, {values.begin(), values.end()}, 255.0};
  for (float& value : image.pixels) value *= 255.0F;
  write_file_atomically(stem.string() + ".png", io::encode_png(image));
  return stem.string() + ".png";
}

fs::path write_overlay(const fs::path& stem, const data::Case& one, std::span<const uint8_t> classes,
                       const ModelCard& card) {
  constexpr int64_t kMostSlices = 12, kTilePx = 240, kLargestPx = 1024;
  const std::vector<uint8_t> map(classes.begin(), classes.end());
  const auto axis = static_cast<size_t>(one.axis);
  const size_t columns = io::column_axis(one.axis), rows = io::row_axis(one.axis);
  const auto labels_of = [&](int64_t slice) { return io::slice_of(map, one.volume.size, one.axis, slice); };
  const int64_t depth = one.volume.size[axis];
  std::vector<int64_t> all(static_cast<size_t>(depth)), with_foreground;
  std::iota(all.begin(), all.end(), int64_t{0});
  std::copy_if(all.begin(), all.end(), std::back_inserter(with_foreground), [&](int64_t slice) {
    const std::vector<uint8_t> labels = labels_of(slice);
    return std::any_of(labels.begin(), labels.end(), [](uint8_t label) { return label != 0; });
  });
  const std::vector<int64_t>& candidates = with_foreground.empty() ? all : with_foreground;
  std::vector<Tile> tiles;
  std::set<uint8_t> seen;
  for (const int64_t place : evenly_spread(std::ssize(candidates), kMostSlices)) {
    const int64_t slice = candidates[static_cast<size_t>(place)];
    tiles.push_back({io::slice_of(one.volume, one.axis, slice), labels_of(slice), one.range,
                     one.volume.spacing_mm[rows] / one.volume.spacing_mm[columns],
                     depth == 1 ? "" : concat(io::axis_name(axis), ' ', slice)});
    seen.insert(tiles.back().mask.begin(), tiles.back().mask.end());
  }
  const int64_t side = std::max(one.volume.size[rows], one.volume.size[columns]);
  io::Image sheet =
      contact_sheet(tiles, {.tile_px = depth == 1 ? std::clamp(side, kTilePx, kLargestPx) : kTilePx, .tint = 0.25F});
  draw_legend(sheet, legend_of(seen, card.class_names));
  fs::create_directories(stem.parent_path());
  write_file_atomically(stem.string() + ".png", io::encode_png(sheet));
  return stem.string() + ".png";
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

std::vector<std::string> probability_file_names(const ModelCard& card) {
  return class_file_names(card.region_names.empty() ? card.class_names : card.region_names);
}

}  // namespace vmae::run
