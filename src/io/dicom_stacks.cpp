#include "dicom_stacks.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "dicom_geometry.h"
#include "vmae/core/error.h"

namespace vmae::io {
namespace {

using Values = std::vector<std::string>;

// Values of keys in order: numbers by value, others as text.
struct ValueOrder {
  static bool is_less(const std::string& a, const std::string& b) {
    const auto left = parse_number(a), right = parse_number(b);
    return left && right && *left != *right ? *left < *right : a < b;
  }
  bool operator()(const Values& a, const Values& b) const { return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), is_less); }
};

using Parts = std::map<Values, std::vector<size_t>, ValueOrder>;  // numbers of slices in `sorted`

class Splitter {
 public:
  Splitter(const std::vector<StackSlice>& sorted, const std::vector<std::string>& key_names) : sorted_(sorted), key_names_(key_names) {
    for (const auto& place : by_place(sorted)) {
      fullest_ = std::max(fullest_, place.size());
      place_of_.insert(place_of_.end(), place.size(), num_places_++);
    }
  }
  size_t fullest() const { return fullest_; }

  // The first key that makes as many volumes as must be, else the first keys that do it together. A key that makes too many takes no part.
  ToldApart exactly() const {
    for (size_t key = 0; key < key_names_.size(); ++key) {
      const Parts parts = by({key});
      if (parts.size() == fullest_ && !repeats(parts)) return told(parts, {key});
    }
    std::vector<size_t> used;
    size_t num_parts = 1;
    for (size_t key = 0; key < key_names_.size(); ++key) {
      std::vector<size_t> more = used;
      more.push_back(key);
      const Parts parts = by(more);
      if (parts.size() > fullest_ || parts.size() == num_parts) continue;
      used = std::move(more);
      num_parts = parts.size();
      if (num_parts == fullest_ && !repeats(parts)) return told(parts, used);
    }
    return {};
  }

  // Overlapping stacks: more volumes than slices at any place, none of them a slice alone.
  ToldApart loosely() const {
    for (size_t key = 0; key < key_names_.size(); ++key) {
      const Parts parts = by({key});
      const bool is_alone = std::any_of(parts.begin(), parts.end(), [](const auto& part) { return part.second.size() < 2; });
      if (parts.size() > 1 && !is_alone && !repeats(parts)) return told(parts, {key});
    }
    return {};
  }

  ToldApart by_turn() const {
    ToldApart result;
    result.volumes.resize(fullest_);
    for (auto& place : by_place(sorted_)) {
      std::sort(place.begin(), place.end(), [](const StackSlice& a, const StackSlice& b) { return a.index < b.index; });
      for (size_t i = 0; i < place.size(); ++i) result.volumes[i].push_back(place[i].index);
    }
    return result;
  }

 private:
  Parts by(const std::vector<size_t>& keys) const {
    Parts parts;
    for (size_t i = 0; i < sorted_.size(); ++i) {
      Values values;
      for (const size_t key : keys) values.push_back(key < sorted_[i].keys->size() ? (*sorted_[i].keys)[key] : "");
      parts[values].push_back(i);
    }
    return parts;
  }

  bool repeats(const Parts& parts) const {
    return std::any_of(parts.begin(), parts.end(), [&](const auto& part) {
      return std::adjacent_find(part.second.begin(), part.second.end(), [&](size_t a, size_t b) { return place_of_[a] == place_of_[b]; }) != part.second.end();
    });
  }

  ToldApart told(const Parts& parts, const std::vector<size_t>& keys) const {
    ToldApart result;
    for (const auto& [values, part] : parts) {
      std::vector<size_t>& volume = result.volumes.emplace_back();
      for (const size_t i : part) volume.push_back(sorted_[i].index);
    }
    for (const size_t key : keys) result.by += (result.by.empty() ? "" : " and ") + key_names_[key];
    return result;
  }

  const std::vector<StackSlice>& sorted_;
  const std::vector<std::string>& key_names_;
  std::vector<size_t> place_of_;
  size_t num_places_ = 0, fullest_ = 0;
};

std::vector<size_t> in_order(size_t count) {
  std::vector<size_t> order(count);
  for (size_t i = 0; i < count; ++i) order[i] = i;
  return order;
}

// Frames in planes of one direction and pixel spacing each, or all together where the file only counts their places.
std::vector<std::vector<StackSlice>> stacks_of(const DicomHeader& header, bool has_planes) {
  std::vector<std::vector<StackSlice>> stacks;
  std::vector<const DicomFrame*> first;
  for (size_t i = 0; i < header.frames.size(); ++i) {
    const DicomFrame& frame = header.frames[i];
    size_t at = 0;
    while (at < stacks.size() && has_planes && !(is_parallel(*first[at]->plane, *frame.plane) && have_equal_spacing(*first[at], frame))) ++at;
    if (at == stacks.size()) {
      stacks.emplace_back();
      first.push_back(&frame);
    }
    const double place = has_planes ? dot(frame.plane->position, first[at]->plane->normal()) : *frame.place_index;
    stacks[at].push_back({i, place, &frame.keys});
  }
  for (std::vector<StackSlice>& stack : stacks) std::stable_sort(stack.begin(), stack.end(), [](const auto& a, const auto& b) { return a.place < b.place; });
  return stacks;
}

FrameVolume film(const std::vector<StackSlice>& stack) {
  FrameVolume volume;
  for (const StackSlice& slice : stack) volume.frames.push_back(slice.index);
  if (stack.size() > 1)
    volume.remarks.push_back(concat("its ", stack.size(), " frames lie at one place, as those of a film: they are slices in the order of the file"));
  return volume;
}

}  // namespace

std::vector<std::vector<StackSlice>> by_place(const std::vector<StackSlice>& sorted) {
  std::vector<std::vector<StackSlice>> places;
  for (const StackSlice& slice : sorted) {
    if (places.empty() || slice.place - places.back()[0].place > kSamePlace) places.emplace_back();
    places.back().push_back(slice);
  }
  return places;
}

ToldApart tell_apart(const std::vector<StackSlice>& sorted, const std::vector<std::string>& key_names, bool needs_key) {
  const Splitter splitter(sorted, key_names);
  if (splitter.fullest() < 2) return splitter.by_turn();
  if (ToldApart exact = splitter.exactly(); !exact.volumes.empty()) return exact;
  if (ToldApart loose = splitter.loosely(); !loose.volumes.empty()) return loose;
  return needs_key ? ToldApart{} : splitter.by_turn();
}

std::string volume_remark(size_t index, size_t count, const std::string& by) {
  return concat("volume ", index + 1, " of ", count, " at the same place, told apart by ", by.empty() ? "nothing but the order of the images" : by);
}

bool have_equal_spacing(const DicomFrame& a, const DicomFrame& b) {
  for (size_t i = 0; i < 2; ++i) {
    if (std::abs(a.spacing_mm[i] - b.spacing_mm[i]) > 1e-3 * a.spacing_mm[i]) return false;
  }
  return true;
}

std::vector<FrameVolume> frame_volumes(const DicomHeader& header) {
  const std::vector<DicomFrame>& frames = header.frames;
  const auto num_planes = std::count_if(frames.begin(), frames.end(), [](const DicomFrame& frame) { return frame.plane.has_value(); });
  const bool has_planes = num_planes == static_cast<std::ptrdiff_t>(frames.size());
  if (frames.size() < 2) return {{in_order(frames.size()), {}}};
  if (lie_apart(frames)) return {{frame_order(frames), {}}};
  if (!has_planes && !std::all_of(frames.begin(), frames.end(), [](const DicomFrame& frame) { return frame.place_index.has_value(); })) {
    FrameVolume one{in_order(frames.size()), {}};
    if (num_planes > 0) one.remarks.push_back("only some of its frames say where they lie: they are slices in the order of the file");
    return {one};
  }
  std::vector<FrameVolume> volumes;
  const std::vector<std::vector<StackSlice>> stacks = stacks_of(header, has_planes);
  for (const std::vector<StackSlice>& stack : stacks) {
    const size_t first = volumes.size();
    if (by_place(stack).size() == 1) {
      volumes.push_back(film(stack));
    } else {
      const ToldApart told = tell_apart(stack, header.key_names);
      for (size_t i = 0; i < told.volumes.size(); ++i) {
        volumes.push_back({told.volumes[i], {}});
        if (told.volumes.size() > 1) volumes.back().remarks.push_back(volume_remark(i, told.volumes.size(), told.by));
      }
    }
    if (stacks.size() == 1) continue;
    for (size_t i = first; i < volumes.size(); ++i)
      volumes[i].remarks.push_back(concat("mixed geometry: the file falls apart into ", stacks.size(), " stacks of different direction or spacing"));
  }
  return volumes;
}

std::vector<size_t> frames_of(const DicomHeader& header, std::optional<int64_t> volume, const std::filesystem::path& path) {
  std::vector<FrameVolume> volumes = frame_volumes(header);
  if (volumes.size() == 1) return std::move(volumes[0].frames);
  if (!volume) {
    fail_dicom(path, concat("holds ", volumes.size(), " volumes where one is meant (", volumes[0].remarks.empty() ? "" : volumes[0].remarks[0], ")"),
               "give the folder that it lies in, where each becomes an image of its own");
  }
  if (*volume < 0 || *volume >= static_cast<int64_t>(volumes.size())) fail_dicom(path, concat("has no volume ", *volume, ": it holds ", volumes.size()));
  return std::move(volumes[static_cast<size_t>(*volume)].frames);
}

void add_slices(const DicomHeader& header, const std::vector<size_t>& frames, std::vector<SourceSlice>& slices) {
  for (const size_t i : frames)
    slices.push_back({header.sop_class, header.sop_instance_uid, header.frames.size() > 1 ? static_cast<int64_t>(i) + 1 : 0, header.frames[i]});
}

std::vector<std::string> references_to(const SourceSlice& slice) {
  if (slice.frame_number > 0) return {image_reference(slice.sop_instance, slice.frame_number)};
  return {slice.sop_instance, image_reference(slice.sop_instance, 1)};
}

std::vector<SourceSlice> source_slices(const std::vector<std::filesystem::path>& files, std::optional<int64_t> volume) {
  std::vector<SourceSlice> slices;
  for (const std::filesystem::path& path : files) {
    const DicomHeader header = read_dicom_header(open_dicom(path));
    add_slices(header, frames_of(header, volume, path), slices);
  }
  return slices;
}

bool lie_apart(const std::vector<SourceSlice>& slices) {
  std::vector<DicomFrame> frames;
  for (const SourceSlice& slice : slices) frames.push_back(slice.frame);
  return lie_apart(frames);
}

}  // namespace vmae::io
