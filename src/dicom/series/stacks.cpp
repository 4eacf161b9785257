#include "stacks.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "geometry.h"
#include "interleave.h"
#include "vmae/core/error.h"

namespace vmae::io {
namespace {

using Parts = std::map<Values, std::vector<size_t>, ValueOrder>;  // numbers of slices in `sorted`

class Splitter {
 public:
  Splitter(const std::vector<StackSlice>& sorted, const std::vector<std::string>& key_names)
      : sorted_(sorted), key_names_(key_names) {
    for (const auto& place : by_place(sorted)) {
      fullest_ = std::max(fullest_, place.size());
      place_of_.insert(place_of_.end(), place.size(), num_places_++);
    }
  }
  size_t fullest() const { return fullest_; }

  // The first key that makes as many volumes as must be, else the first
  // keys that do it together. A key that makes too many takes no part.
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
      const bool is_alone =
          std::any_of(parts.begin(), parts.end(), [](const auto& part) { return part.second.size() < 2; });
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
      return std::adjacent_find(part.second.begin(), part.second.end(),
                                [&](size_t a, size_t b) { return place_of_[a] == place_of_[b]; }) != part.second.end();
    });
  }

  ToldApart told(const Parts& parts, const std::vector<size_t>& keys) const {
    ToldApart result;
    for (const auto& [values, part] : parts) {
      std::vector<size_t>& volume = result.volumes.emplace_back();
      for (const size_t i : part) volume.push_back(sorted_[i].index);
    }
    for (const size_t key : keys) result.by.push_back(key_names_[key]);
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

// Frames in planes of one direction and pixel spacing each, or all together
// where the file only counts their places, or where they lie apart.
std::vector<std::vector<StackSlice>> stacks_of(const DicomHeader& header, bool has_planes) {
  std::vector<std::vector<StackSlice>> stacks;
  std::vector<const DicomFrame*> first;
  const bool is_one = !has_planes || lie_apart(header.frames);
  for (size_t i = 0; i < header.frames.size(); ++i) {
    const DicomFrame& frame = header.frames[i];
    size_t at = 0;
    while (at < stacks.size() && !is_one &&
           !(is_parallel(*first[at]->plane, *frame.plane) && have_equal_spacing(*first[at], frame)))
      ++at;
    if (at == stacks.size()) {
      stacks.emplace_back();
      first.push_back(&frame);
    }
    const double place = has_planes ? dot(frame.plane->position, first[at]->plane->normal()) : *frame.place_index;
    stacks[at].push_back({i, place, &frame.keys});
  }
  for (std::vector<StackSlice>& stack : stacks)
    std::stable_sort(stack.begin(), stack.end(), [](const auto& a, const auto& b) { return a.place < b.place; });
  return stacks;
}

FrameVolume film(const std::vector<StackSlice>& stack) {
  FrameVolume volume;
  for (const StackSlice& slice : stack) volume.frames.push_back(slice.index);
  if (stack.size() > 1)
    volume.remarks.push_back(
        concat("its ", stack.size(),
               " frames lie at one place, as those of a film: they are slices in the order of the file"));
  return volume;
}

// How far slices of one place may lie apart. Wider than kSamePlace only where
// most of the small steps can't be those of a stack of very thin slices.
double same_place(const std::vector<StackSlice>& sorted) {
  constexpr double kRounding = 0.02;
  std::vector<double> steps;
  for (size_t i = 1; i < sorted.size(); ++i) {
    if (const double step = sorted[i].place - sorted[i - 1].place; step > kSamePlace) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  const auto first = std::upper_bound(steps.begin(), steps.end(), kRounding);
  const auto num_wide = steps.end() - first;
  if (num_wide == 0 || num_wide * 3 < static_cast<std::ptrdiff_t>(steps.size())) return kSamePlace;
  return std::clamp(*(first + num_wide / 2) / 10, kSamePlace, kRounding);
}

// Each of the volumes that is several which lie between each other.
ToldApart without_interleaving(const ToldApart& told, const std::vector<StackSlice>& sorted,
                               const std::vector<std::string>& key_names) {
  std::map<size_t, const StackSlice*> by_index;
  for (const StackSlice& slice : sorted) by_index[slice.index] = &slice;
  std::vector<std::vector<StackSlice>> open;
  for (const std::vector<size_t>& volume : told.volumes) {
    std::vector<StackSlice>& slices = open.emplace_back();
    for (const size_t index : volume) slices.push_back(*by_index.at(index));
  }
  ToldApart result;
  result.by = told.by;
  std::reverse(open.begin(), open.end());
  while (!open.empty()) {
    const std::vector<StackSlice> slices = std::move(open.back());
    open.pop_back();
    Interleaved one = tell_interleaved(slices, key_names);
    if (one.volumes.size() > 1) {
      if (told.by.empty() && told.volumes.size() > 1 && result.share_places)
        result.by.emplace_back("the order of the images");
      result.share_places = false;
      if (std::find(result.by.begin(), result.by.end(), one.by) == result.by.end()) result.by.push_back(one.by);
      open.insert(open.end(), one.volumes.rbegin(), one.volumes.rend());
      continue;
    }
    std::vector<size_t>& volume = result.volumes.emplace_back();
    for (const StackSlice& slice : slices) volume.push_back(slice.index);
    result.alternates.push_back(one.alternates);
  }
  return result;
}

bool is_lower_value(const std::string& a, const std::string& b) {
  const auto left = parse_number(a), right = parse_number(b);
  return left && right && *left != *right ? *left < *right : a < b;
}

}  // namespace

bool ValueOrder::operator()(const Values& a, const Values& b) const {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), is_lower_value);
}

std::vector<std::vector<StackSlice>> by_place(const std::vector<StackSlice>& sorted) {
  std::vector<std::vector<StackSlice>> places;
  const double same = same_place(sorted);
  for (const StackSlice& slice : sorted) {
    if (places.empty() || slice.place - places.back()[0].place > same) places.emplace_back();
    places.back().push_back(slice);
  }
  return places;
}

ToldApart tell_apart(const std::vector<StackSlice>& sorted, const std::vector<std::string>& key_names, bool needs_key) {
  const Splitter splitter(sorted, key_names);
  ToldApart told;
  if (splitter.fullest() >= 2) told = splitter.exactly();
  if (splitter.fullest() >= 2 && told.volumes.empty()) told = splitter.loosely();
  if (told.volumes.empty() && (splitter.fullest() < 2 || !needs_key)) told = splitter.by_turn();
  return without_interleaving(told, sorted, key_names);
}

std::vector<std::string> volume_remarks(const ToldApart& told, size_t index) {
  std::vector<std::string> remarks;
  if (told.volumes.size() > 1) {
    remarks.push_back(concat("volume ", index + 1, " of ", told.volumes.size(),
                             told.share_places ? " at the same place" : " whose slices lie between each other's",
                             ", told apart by ",
                             told.by.empty() ? "nothing but the order of the images" : join(told.by, " and ")));
  }
  if (const std::string& what = told.alternates[index]; !what.empty())
    remarks.push_back(what + " take turns along it, evenly: they are kept as one volume");
  return remarks;
}

bool have_equal_spacing(const DicomFrame& a, const DicomFrame& b) {
  for (size_t i = 0; i < 2; ++i) {
    if (std::abs(a.spacing_mm[i] - b.spacing_mm[i]) > 1e-3 * a.spacing_mm[i]) return false;
  }
  return true;
}

std::vector<FrameVolume> frame_volumes(const DicomHeader& header) {
  const std::vector<DicomFrame>& frames = header.frames;
  const auto num_planes =
      std::count_if(frames.begin(), frames.end(), [](const DicomFrame& frame) { return frame.plane.has_value(); });
  const bool has_planes = num_planes == static_cast<std::ptrdiff_t>(frames.size());
  if (frames.size() < 2) return {{in_order(frames.size()), {}}};
  if (!has_planes && !std::all_of(frames.begin(), frames.end(),
                                  [](const DicomFrame& frame) { return frame.place_index.has_value(); })) {
    FrameVolume one{in_order(frames.size()), {}};
    if (num_planes > 0)
      one.remarks.push_back("only some of its frames say where they lie: they are slices in the order of the file");
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
      for (size_t i = 0; i < told.volumes.size(); ++i) volumes.push_back({told.volumes[i], volume_remarks(told, i)});
    }
    if (stacks.size() == 1) continue;
    for (size_t i = first; i < volumes.size(); ++i)
      volumes[i].remarks.push_back(concat("mixed geometry: the file falls apart into ", stacks.size(),
                                          " stacks of different direction or spacing"));
  }
  return volumes;
}

std::vector<size_t> frames_of(const DicomHeader& header, std::optional<int64_t> volume,
                              const std::filesystem::path& path) {
  std::vector<FrameVolume> volumes = frame_volumes(header);
  if (volumes.size() == 1) return std::move(volumes[0].frames);
  if (!volume) {
    fail_file(path,
              concat("holds ", volumes.size(), " volumes where one is meant (",
                     volumes[0].remarks.empty() ? "" : volumes[0].remarks[0], ")"),
              "give the folder that it lies in, where each becomes an image of its own");
  }
  if (*volume < 0 || *volume >= static_cast<int64_t>(volumes.size()))
    fail_file(path, concat("has no volume ", *volume, ": it holds ", volumes.size()));
  return std::move(volumes[static_cast<size_t>(*volume)].frames);
}

void add_slices(const DicomHeader& header, const std::vector<size_t>& frames, std::vector<SourceSlice>& slices) {
  for (const size_t i : frames)
    slices.push_back({header.sop_class, header.sop_instance_uid,
                      header.frames.size() > 1 ? static_cast<int64_t>(i) + 1 : 0, header.frames[i]});
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
