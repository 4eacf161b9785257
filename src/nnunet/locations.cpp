// Where each class lies in a case: nnU-Net's _sample_foreground_locations.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "vmae/core/error.h"
#include "vmae/nnunet/numpy.h"
#include "vmae/nnunet/preprocessed_file.h"

namespace vmae::nnunet {
namespace {

constexpr uint32_t kLocationSeed = 1234;
constexpr size_t kFewestLocations = 10000;
constexpr double kLocationShare = 0.01;

// The values of each list, in the order in which their voxels follow each other.
std::vector<std::vector<int64_t>> values_of_lists(const Labels& labels) {
  std::vector<std::vector<int64_t>> lists;
  std::set<int64_t> annotated{-1, 0};
  for (const LabelEntry& entry : labels.foreground) {
    lists.push_back(entry.values);
    annotated.insert(entry.values.begin(), entry.values.end());
  }
  if (labels.has_ignore) lists.emplace_back(annotated.begin(), annotated.end());
  return lists;
}

// Of each value that a list asks for: the places of its voxels, ascending.
std::map<int64_t, std::vector<uint32_t>> places_of_values(const std::vector<int16_t>& labels,
                                                          const std::vector<std::vector<int64_t>>& lists) {
  std::map<int64_t, std::vector<uint32_t>> places;
  for (const std::vector<int64_t>& values : lists) {
    for (const int64_t value : values) places[value];
  }
  constexpr int64_t kLowest = INT16_MIN, kNumValues = 1 << 16;
  std::vector<std::vector<uint32_t>*> by_value(kNumValues, nullptr);
  for (auto& [value, list] : places) by_value[static_cast<size_t>(value - kLowest)] = &list;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (auto* list = by_value[static_cast<size_t>(labels[i] - kLowest)]) list->push_back(static_cast<uint32_t>(i));
  }
  return places;
}

Voxel voxel_at(uint32_t place, const std::array<int64_t, 3>& shape) {
  const int64_t row = place / shape[2];
  return {static_cast<int32_t>(row / shape[1]), static_cast<int32_t>(row % shape[1]),
          static_cast<int32_t>(place % shape[2])};
}

}  // namespace

Locations sample_locations(const PreprocessedCase& made, const Labels& labels) {
  if (made.labels.size() >= UINT32_MAX)
    throw Error(ExitCode::data, concat("a case of ", made.labels.size(), " voxels after resampling; meant are fewer ",
                                       "than ", UINT32_MAX));
  const auto lists = values_of_lists(labels);
  const auto places = places_of_values(made.labels, lists);
  RandomState random(kLocationSeed);
  Locations locations;
  for (const std::vector<int64_t>& values : lists) {
    std::vector<size_t> ends;  // of each value's voxels among those of the list
    for (const int64_t value : values) ends.push_back((ends.empty() ? 0 : ends.back()) + places.at(value).size());
    const size_t total = ends.back();
    const auto share = static_cast<size_t>(std::ceil(static_cast<double>(total) * kLocationShare));
    std::vector<Voxel>& drawn = locations.emplace_back();
    if (total == 0) continue;  // nothing is drawn
    for (const uint32_t index :
         random.draw_different(static_cast<uint32_t>(total), std::max(std::min(kFewestLocations, total), share))) {
      const auto which = static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), index) - ends.begin());
      const size_t before = which == 0 ? 0 : ends[which - 1];
      drawn.push_back(voxel_at(places.at(values[which])[index - before], made.shape));
    }
  }
  return locations;
}

}  // namespace vmae::nnunet
