// 3D Slicer's segmentations (https://slicer.readthedocs.io/en/latest/user_guide/modules/segmentations.html): NRRD
// whose first axis is the layers, with the key/value pairs Segment0_Name, Segment0_LabelValue, Segment0_Layer, ...
#include "mask_volume.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <vector>

#include "vmae/core/error.h"
#include "vmae/core/log_once.h"
#include "vmae/image/file_name.h"
#include "vmae/volume/volume.h"
#include "vmae/volume/volume_file.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostChannels = 255;
constexpr float kNear = 1e-3F;  // of an integer: numbers may be stored with a scale factor
constexpr const char* kOneVolume = "write one 3D volume of label numbers";

[[noreturn]] void fail_mask_volume(const fs::path& mask, const std::string& what,
                                   const std::string& hint = kOneVolume) {
  fail_file(mask, what, hint);
}

bool is_near(float value, float integer) { return std::abs(value - integer) <= kNear; }

// Channels put together, one after the other.
class Channels {
 public:
  explicit Channels(const Volume& like) : volume_(like) {
    volume_.channels = 1;
    volume_.type = StoredType::u8;
    volume_.scaling = {{}};
    volume_.stored.assign(static_cast<size_t>(volume_.num_values()), std::byte{0});
  }

  // All channels of `part`. What is wrong with them in words, or "".
  std::string add(const Volume& part) {
    const std::vector<float> stored = values(part);
    const auto channels = static_cast<size_t>(part.channels);
    for (size_t c = 0; c < channels; ++c, ++count_) {
      for (size_t i = 0; i < volume_.stored.size(); ++i) {
        const float value = stored[i * channels + c];
        if (is_near(value, 0)) continue;
        if (set_ == 0) set_ = is_near(value, 255) ? 255.0F : 1.0F;
        if (!is_near(value, set_)) return concat("channel ", count_, " holds the value ", value);
        std::byte& label = volume_.stored[i];
        if (label != std::byte{0})
          return concat("channels ", std::to_integer<int>(label) - 1, " and ", count_, " overlap");
        label = static_cast<std::byte>(count_ + 1);
        ++num_set_;
      }
    }
    return "";
  }

  bool is_one_hot() const { return num_set_ == volume_.stored.size(); }
  int64_t count() const { return count_; }

  // Channel 0 is the background if every voxel is in some channel.
  MaskVolume take() {
    if (!is_one_hot()) return {std::move(volume_), MaskForm::channels};
    for (std::byte& label : volume_.stored) label = static_cast<std::byte>(std::to_integer<int>(label) - 1);
    return {std::move(volume_), MaskForm::one_hot};
  }

 private:
  Volume volume_;
  int64_t count_ = 0;
  float set_ = 0;
  size_t num_set_ = 0;
};

void say(const fs::path& mask, const MaskVolume& read, int64_t num_channels) {
  if (read.form == MaskForm::one_hot) {
    log::info_once(mask.string(), concat("is one-hot with ", num_channels,
                                         " channels: channel 0 is the background, channel k is class k"));
  } else {
    log::info_once(
        mask.string(),
        concat("has ", num_channels,
               " channels and voxels that are in none: there is no channel of background, channel k is class k + 1"));
  }
}

// All volumes of a 4-D file, or the values of a voxel.
MaskVolume from_channels(VolumeFile& file, int64_t first, int64_t last, const fs::path& mask) {
  const int64_t num_channels = (last - first + 1) * file.values_per_voxel();
  const std::string found = file.values_per_voxel() > 1 ? concat("has ", num_channels, " values per voxel")
                                                        : concat("holds ", num_channels, " volumes");
  if (num_channels > kMostChannels)
    fail_mask_volume(mask, concat(found, ", more than there can be classes (", kMostChannels, ")"));
  Volume part = file.read(first);
  Channels channels(part);
  for (int64_t number = first;; part = file.read(++number)) {
    if (const std::string problem = channels.add(part); !problem.empty()) {
      fail_mask_volume(
          mask, concat(found, " where one label map is meant, and they are not one channel per class: ", problem));
    }
    if (number == last) break;
  }
  MaskVolume read = channels.take();
  say(mask, read, num_channels);
  return read;
}

// Whether the volumes of a 4-D file are one-hot, background included; stops at the first that shows that they are not.
bool is_one_hot(VolumeFile& file) {
  const int64_t num_volumes = file.header().num_time_points;
  if (num_volumes > kMostChannels) return false;
  Volume part = file.read(0);
  Channels channels(part);
  for (int64_t number = 0; channels.add(part).empty(); part = file.read(number)) {
    if (++number == num_volumes) return channels.is_one_hot();
  }
  return false;
}

struct Segment {
  std::string name;
  int64_t layer = -1, value = -1;
};

int64_t number_in(const std::string& text) {
  const bool is_number = !text.empty() && text.size() <= 6 &&
                         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  return is_number ? std::stoll(text) : -1;
}

// The segments that an NRRD's header names, by their number in it; none of other files.
std::map<int64_t, Segment> segments_of(const fs::path& mask) {
  std::map<int64_t, Segment> segments;
  std::ifstream in(mask, std::ios::binary);
  std::string line;
  constexpr int kMostLines = 10'000;
  for (int i = 0; i < kMostLines && std::getline(in, line); ++i) {
    const std::string_view text = trim(line);
    if (i == 0 && !text.starts_with("NRRD")) return {};
    if (text.empty()) break;  // then come the voxels
    const size_t mark = text.find(":="), end = text.find('_');
    if (!text.starts_with("Segment") || mark == std::string_view::npos || end == std::string_view::npos || end > mark)
      continue;
    const int64_t number = number_in(std::string(text.substr(7, end - 7)));
    const std::string_view key = text.substr(end + 1, mark - end - 1);
    const std::string value(trim(text.substr(mark + 2)));
    if (number < 0) continue;
    if (key == "Name") segments[number].name = value;
    if (key == "LabelValue") segments[number].value = number_in(value);
    if (key == "Layer") segments[number].layer = number_in(value);
  }
  return segments;
}

// "layer 0: liver 1, spleen 2; layer 1: lesion 1".
std::string layers_text(const std::map<int64_t, Segment>& segments, int64_t num_layers) {
  std::vector<std::string> layers;
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    std::vector<std::string> own;
    for (const auto& [number, segment] : segments) {
      if (segment.layer == layer) own.push_back(concat(segment.name, ' ', segment.value));
    }
    layers.push_back(concat("layer ", layer, ": ", join(own, ", ")));
  }
  return join(layers, "; ");
}

MaskVolume from_layers(VolumeFile& file, const std::map<int64_t, Segment>& segments, const fs::path& mask) {
  const int64_t num_layers = file.values_per_voxel();
  const auto refuse = [&](const char* why) {
    fail_mask_volume(
        mask, concat("holds ", num_layers, " layers of segments ", why, " (", layers_text(segments, num_layers), ")"),
        "in 3D Slicer, export the segments as one labelmap");
  };
  std::map<int64_t, int64_t> layer_of;  // by value
  for (const auto& [number, segment] : segments) {
    if (segment.layer < 0 || segment.layer >= num_layers || segment.value < 1)
      refuse("that its header does not describe");
    const auto [known, is_new] = layer_of.emplace(segment.value, segment.layer);
    if (!is_new && known->second != segment.layer) refuse("that have the same numbers");
  }
  const Volume layers = file.read(0);
  const std::vector<float> stored = values(layers);
  MaskVolume read{layers, MaskForm::layers};
  Volume& volume = read.volume;
  volume.channels = 1;
  volume.type = StoredType::u8;
  volume.scaling = {{}};
  volume.stored.assign(static_cast<size_t>(volume.num_values()), std::byte{0});
  for (size_t i = 0; i < stored.size(); ++i) {
    const float value = stored[i];
    const int64_t layer = static_cast<int64_t>(i) % num_layers;
    if (value == 0) continue;
    const auto known = value > 0 && value <= 255 ? layer_of.find(static_cast<int64_t>(value)) : layer_of.end();
    if (known == layer_of.end() || static_cast<float>(known->first) != value || known->second != layer)
      refuse(concat("and the value ", value, " in layer ", layer, ", which is none of them").c_str());
    std::byte& label = volume.stored[i / static_cast<size_t>(num_layers)];
    if (label != std::byte{0}) refuse("that overlap");
    label = static_cast<std::byte>(known->first);
  }
  log::info_once(mask.string(),
                 concat("has its segments in ", num_layers, " layers, which do not overlap: they are one label map"));
  return read;
}

MaskVolume read_beside(const fs::path& mask, const SourceFile* image) {
  VolumeFile file(mask);
  const int64_t num_volumes = file.header().num_time_points;
  if (num_volumes == 1 && file.values_per_voxel() == 1) return {file.read(0), MaskForm::labels};
  if (num_volumes == 1) {
    const std::map<int64_t, Segment> segments = segments_of(mask);
    return segments.empty() ? from_channels(file, 0, 0, mask) : from_layers(file, segments, mask);
  }
  const bool is_volume_file =
      image != nullptr && image->series.empty() && image->channels.empty() && is_volume(image->path);
  const int64_t num_time_points = is_volume_file ? read_volume_header(image->path).num_time_points : 1;
  if (num_time_points != num_volumes && (num_time_points > 1 || file.values_per_voxel() > 1)) {
    fail_mask_volume(mask, concat("holds ", num_volumes, " volumes, the image ", num_time_points),
                     "give one volume for each time point of the image, or one for all");
  }
  if (num_time_points == 1) return from_channels(file, 0, num_volumes - 1, mask);
  if (file.values_per_voxel() > 1) return from_channels(file, image->time_point, image->time_point, mask);
  if (is_one_hot(file)) return from_channels(*std::make_unique<VolumeFile>(mask), 0, num_volumes - 1, mask);
  log::info_once(mask.string(), "has as many volumes as its image has time points: each time point has its own mask");
  return {VolumeFile(mask).read(image->time_point), MaskForm::time_points};
}

}  // namespace

MaskVolume read_mask_volume(const fs::path& mask, const SourceFile& image) { return read_beside(mask, &image); }
MaskVolume read_mask_volume(const fs::path& mask) { return read_beside(mask, nullptr); }

std::map<int64_t, std::string> segment_names(const fs::path& mask) {
  const std::string ending = ending_of(mask);
  if (!ending.ends_with(".nrrd") && !ending.ends_with(".nhdr")) return {};
  std::map<int64_t, std::string> names;
  for (const auto& [number, segment] : segments_of(mask)) {
    if (segment.value < 1 || segment.value > 255 || segment.name.empty() ||
        !names.emplace(segment.value, segment.name).second)
      return {};
  }
  return names;
}

}  // namespace vmae::io
