// A key tells volumes apart where each of its values has an even stack of slices and these lie between
// those of other values. Where they follow each other (table positions, values that count slices), the key
// changes along one volume. Two volumes that lie half a step apart look like one of half the step whose odd
// and even slices were acquired one after the other: if all slices together are even, what was measured
// decides (time point, echo, stack), and not when or how (acquisition number, clock, order of the images).
#include "interleave.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "geometry.h"

namespace vmae::io {
namespace {

constexpr double kEvenAlone = 0.05, kEvenTogether = 0.1;  // parts of a step

using Keys = std::vector<size_t>;  // numbers of keys

const std::string& value_of(const StackSlice& slice, size_t key) {
  static const std::string kNone;
  return key < slice.keys->size() ? (*slice.keys)[key] : kNone;
}

// Keys that may differ within a volume: they say when and how a slice was acquired or stored, not what it shows.
bool may_differ_within(const std::string& key_name) {
  static const std::set<std::string> kNames{"AcquisitionNumber",
                                            "FrameAcquisitionNumber",
                                            "TriggerTime",
                                            "RepetitionTime",
                                            "ImageType",
                                            "FrameType",
                                            "FrameReferenceTime",
                                            "FrameReferenceDateTime",
                                            "FrameAcquisitionDateTime",
                                            "AcquisitionDateTime",
                                            "AcquisitionTime",
                                            "ContentTime",
                                            "pixel format"};
  return kNames.contains(key_name);
}

std::vector<double> steps_of(const std::vector<StackSlice>& slices) {
  std::vector<double> steps;
  for (size_t i = 1; i < slices.size(); ++i) steps.push_back(slices[i].place - slices[i - 1].place);
  return steps;
}

// The usual step, if the others are multiples of it and there are `present` slices or more for each that is missing.
std::optional<double> even_step(const std::vector<StackSlice>& slices, double tolerance, int64_t present) {
  if (slices.size() < 2) return {};
  const Steps steps = judge_steps(steps_of(slices), tolerance);
  if (steps.num_uneven > 0 || steps.num_missing * present > static_cast<int64_t>(slices.size())) return {};
  return steps.usual;
}

class Interleaving {
 public:
  explicit Interleaving(const std::vector<StackSlice>& sorted)
      : sorted_(sorted), even_together_(even_step(sorted, kEvenTogether, 4)) {}

  // The volumes that these keys make, or, if they take turns along one that is even as a whole, that one.
  std::vector<std::vector<StackSlice>> by(const Keys& keys, bool may_differ, bool& alternates) const {
    std::map<Values, std::vector<StackSlice>, ValueOrder> parts;
    size_t num_runs = 0;
    Values last;
    for (const StackSlice& slice : sorted_) {
      Values values;
      for (const size_t key : keys) values.push_back(value_of(slice, key));
      if (num_runs == 0 || values != last) ++num_runs;
      parts[values].push_back(slice);
      last = std::move(values);
    }
    if (parts.size() < 2 || num_runs == parts.size()) return {};
    std::vector<std::vector<StackSlice>> volumes;
    for (auto& [values, part] : parts) volumes.push_back(std::move(part));
    const std::optional<double> step = common_step(volumes);
    if (!step) return {};
    if (!even_together_) return volumes;
    // slices of one value lie side by side
    if (*step < (1 - kEvenTogether) * static_cast<double>(volumes.size()) * *even_together_) return {};
    alternates = may_differ;
    return may_differ ? std::vector<std::vector<StackSlice>>{} : volumes;
  }

 private:
  static std::optional<double> common_step(const std::vector<std::vector<StackSlice>>& volumes) {
    std::optional<double> common;
    for (const std::vector<StackSlice>& volume : volumes) {
      const std::optional<double> step = even_step(volume, kEvenAlone, 2);
      if (!step || (common && std::abs(*step - *common) > kEvenAlone * *common)) return {};
      if (!common) common = step;
    }
    return common;
  }

  const std::vector<StackSlice>& sorted_;
  std::optional<double> even_together_;
};

// Keys that differ, each by itself; then in twos those that say what was measured.
std::vector<Keys> candidates(const std::vector<StackSlice>& sorted, const std::vector<std::string>& key_names) {
  std::vector<Keys> result;
  for (size_t key = 0; key < key_names.size(); ++key) {
    const auto differs = [&](const StackSlice& slice) { return value_of(slice, key) != value_of(sorted[0], key); };
    if (std::any_of(sorted.begin(), sorted.end(), differs)) result.push_back({key});
  }
  const size_t num_single = result.size();
  for (size_t i = 0; i < num_single; ++i) {
    for (size_t j = i + 1; j < num_single; ++j) {
      const size_t a = result[i][0], b = result[j][0];
      if (!may_differ_within(key_names[a]) && !may_differ_within(key_names[b])) result.push_back({a, b});
    }
  }
  return result;
}

// Whether the images, in their order, run along the axis several
// times, each time past the places between those of the other times.
bool runs_several_times(const std::vector<StackSlice>& sorted) {
  std::vector<std::pair<size_t, size_t>> in_order;  // index, number of the place
  for (size_t i = 0; i < sorted.size(); ++i) in_order.emplace_back(sorted[i].index, i);
  std::sort(in_order.begin(), in_order.end());
  const auto step = [&](size_t i) {
    return static_cast<std::ptrdiff_t>(in_order[i].second) - static_cast<std::ptrdiff_t>(in_order[i - 1].second);
  };
  const std::ptrdiff_t stride = in_order.size() > 1 ? step(1) : 0;
  if (std::abs(stride) < 2 || in_order.size() < 3 * static_cast<size_t>(std::abs(stride))) return false;
  std::ptrdiff_t num_runs = 1;
  for (size_t i = 1; i < in_order.size(); ++i) num_runs += step(i) != stride;
  return num_runs == std::abs(stride);
}

}  // namespace

Interleaved tell_interleaved(const std::vector<StackSlice>& sorted, const std::vector<std::string>& key_names) {
  Interleaved result;
  if (sorted.size() > 3) {
    const Interleaving interleaving(sorted);
    for (const Keys& keys : candidates(sorted, key_names)) {
      bool alternates = false;
      auto volumes = interleaving.by(keys, may_differ_within(key_names[keys[0]]), alternates);
      if (alternates && result.alternates.empty()) result.alternates = "slices of different " + key_names[keys[0]];
      // as few as can be
      if (volumes.empty() || (!result.volumes.empty() && volumes.size() >= result.volumes.size())) continue;
      result.volumes = std::move(volumes);
      result.by = key_names[keys[0]] + (keys.size() > 1 ? " and " + key_names[keys[1]] : "");
    }
  }
  if (result.volumes.empty()) {
    if (result.alternates.empty() && runs_several_times(sorted)) result.alternates = "earlier and later images";
    result.volumes = {sorted};
  } else {
    result.alternates.clear();
  }
  return result;
}

}  // namespace vmae::io
