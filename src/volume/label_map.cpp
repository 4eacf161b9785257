// A label map is put onto another grid voxel by voxel, never resampled:
// axes may be exchanged and flipped, and it may cover a part only.
#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "vmae/core/error.h"
#include "vmae/volume/label_map.h"
#include "vmae/volume/label_values.h"
#include "vmae/volume/nifti_geometry.h"

namespace vmae::io {
namespace {

constexpr double kOffGrid = 0.1;     // of a voxel, at every corner
constexpr int64_t kMostGrowth = 16;  // voxels of a common grid, per voxel of the two

// Voxel i of `map` lies at voxel first + i[k] * step[k] along axis[k], for its axes k.
struct Fit {
  std::array<size_t, 3> axis{};
  std::array<int64_t, 3> first{}, step{};
  std::array<int64_t, 3> low{}, high{};  // the voxels of the reference that it covers, both included

  bool lies_in(const std::array<int64_t, 3>& size) const {
    for (size_t i = 0; i < 3; ++i) {
      if (low[i] < 0 || high[i] >= size[i]) return false;
    }
    return true;
  }
};

double along(const LabelMap& reference, size_t axis, const std::array<double, 3>& way_mm) {
  double mm = 0;
  for (size_t row = 0; row < 3; ++row) mm += reference.direction[3 * row + axis] * way_mm[row];
  return mm / reference.spacing_mm[axis];
}

// How the voxels of `map` fall on those of the infinite grid of `reference`,
// if they do. The step along an axis of length 1 means nothing.
std::optional<Fit> fit(const LabelMap& map, const LabelMap& reference) {
  Fit found;
  std::array<double, 3> corner{};  // voxel 0 of `map`
  std::array<std::array<double, 3>, 3> steps{};
  for (size_t i = 0; i < 3; ++i) corner[i] = map.origin_mm[i] - reference.origin_mm[i];
  corner = {along(reference, 0, corner), along(reference, 1, corner), along(reference, 2, corner)};
  std::array<bool, 3> is_taken{};
  std::array<double, 3> worst{};
  for (const bool is_long : {true, false}) {
    for (size_t k = 0; k < 3; ++k) {
      if ((map.size[k] > 1) != is_long) continue;
      for (size_t i = 0; i < 3; ++i) {
        steps[k][i] = along(reference, i,
                            {map.direction[k] * map.spacing_mm[k], map.direction[3 + k] * map.spacing_mm[k],
                             map.direction[6 + k] * map.spacing_mm[k]});
      }
      size_t best = 3;
      for (size_t i = 0; i < 3; ++i) {
        if (!is_taken[i] && (best == 3 || std::abs(steps[k][i]) > std::abs(steps[k][best]))) best = i;
      }
      is_taken[best] = true;
      found.axis[k] = best;
      found.step[k] = steps[k][best] < 0 ? -1 : 1;
      for (size_t i = 0; i < 3; ++i) {
        const double exact = i == best ? static_cast<double>(found.step[k]) : 0;
        worst[i] += std::abs(steps[k][i] - exact) * static_cast<double>(map.size[k] - 1);
      }
    }
  }
  for (size_t i = 0; i < 3; ++i) {
    if (!(std::abs(corner[i] - std::round(corner[i])) + worst[i] <= kOffGrid) || std::abs(corner[i]) > 1e6) return {};
    found.first[i] = static_cast<int64_t>(std::round(corner[i]));
  }
  for (size_t k = 0; k < 3; ++k) {
    const size_t i = found.axis[k];
    const int64_t last = found.first[i] + found.step[k] * (map.size[k] - 1);
    found.low[i] = std::min(found.first[i], last);
    found.high[i] = std::max(found.first[i], last);
  }
  return found;
}

int64_t num_voxels(const std::array<int64_t, 3>& size) { return size[0] * size[1] * size[2]; }

// `map` where `placed` says, on a grid of that size and place.
LabelMap put_into(const LabelMap& map, const Fit& placed, LabelMap grid) {
  grid.names = map.names;
  grid.labels.assign(static_cast<size_t>(num_voxels(grid.size)), 0);
  const std::array<int64_t, 3> strides{1, grid.size[0], grid.size[0] * grid.size[1]};
  int64_t corner = 0;
  std::array<int64_t, 3> step{};
  for (size_t k = 0; k < 3; ++k) {
    corner += placed.first[k] * strides[k];
    step[k] = placed.step[k] * strides[placed.axis[k]];
  }
  size_t from = 0;
  for (int64_t z = 0; z < map.size[2]; ++z) {
    for (int64_t y = 0; y < map.size[1]; ++y) {
      int64_t to = corner + z * step[2] + y * step[1];
      for (int64_t x = 0; x < map.size[0]; ++x, to += step[0])
        grid.labels[static_cast<size_t>(to)] = map.labels[from++];
    }
  }
  return grid;
}

// The grid of a map, without its labels.
LabelMap grid_of(const LabelMap& map) {
  return {.size = map.size,
          .spacing_mm = map.spacing_mm,
          .origin_mm = map.origin_mm,
          .direction = map.direction,
          .has_millimetres = map.has_millimetres,
          .labels = {}};
}

[[noreturn]] void fail_grids(const std::string& difference) {
  throw Error(ExitCode::data, difference, "resample one on the other's grid");
}

}  // namespace

std::string grid_difference(const LabelMap& a, const LabelMap& b) {
  if (a.size != b.size) return concat(size_text(a.size), " voxels against ", size_text(b.size));
  if (!a.has_millimetres || !b.has_millimetres) return "";
  const std::string difference =
      place_difference({a.spacing_mm, a.origin_mm, a.direction}, {b.spacing_mm, b.origin_mm, b.direction}, "other");
  if (difference.empty()) return "";
  std::string text = "they lie apart along " + difference;
  for (const LabelMap* map : {&a, &b}) {
    const std::string conflict = nifti_conflict(map->file, map->file.string());
    text += conflict.empty() ? "" : "; " + conflict;
  }
  return text;
}

LabelMap onto_grid(const LabelMap& map, const LabelMap& reference) {
  const std::string difference = grid_difference(map, reference);
  if (difference.empty()) return map;
  if (map.has_millimetres && reference.has_millimetres) {
    const std::optional<Fit> placed = fit(map, reference);
    if (placed && placed->lies_in(reference.size)) return put_into(map, *placed, grid_of(reference));
  }
  fail_grids(difference);
}

std::pair<LabelMap, LabelMap> onto_common_grid(LabelMap map, LabelMap reference) {
  const std::string difference = grid_difference(map, reference);
  if (difference.empty()) return {std::move(map), std::move(reference)};
  const std::optional<Fit> placed =
      map.has_millimetres && reference.has_millimetres ? fit(map, reference) : std::nullopt;
  if (!placed) {
    // A single slice of which the thickness is known, not the step.
    if (!map.has_millimetres || !reference.has_millimetres || !fit(reference, map)) fail_grids(difference);
    auto [of_reference, of_map] = onto_common_grid(std::move(reference), std::move(map));
    return {std::move(of_map), std::move(of_reference)};
  }
  LabelMap grid = grid_of(reference);
  std::array<int64_t, 3> shift{};  // of the reference in the grid
  for (size_t i = 0; i < 3; ++i) {
    shift[i] = std::max<int64_t>(0, -placed->low[i]);
    grid.size[i] = std::max(reference.size[i], placed->high[i] + 1) + shift[i];
    for (size_t row = 0; row < 3; ++row)
      grid.origin_mm[row] -= static_cast<double>(shift[i]) * reference.spacing_mm[i] * reference.direction[3 * row + i];
  }
  const double most =
      static_cast<double>(kMostGrowth) * static_cast<double>(num_voxels(map.size) + num_voxels(reference.size));
  if (static_cast<double>(grid.size[0]) * static_cast<double>(grid.size[1]) * static_cast<double>(grid.size[2]) > most)
    fail_grids(difference + "; they are far from each other");
  Fit of_map = *placed;
  for (size_t i = 0; i < 3; ++i) of_map.first[i] += shift[i];
  LabelMap moved = put_into(map, of_map, grid);
  if (grid.size == reference.size) return {std::move(moved), std::move(reference)};
  const Fit of_reference{.axis = {0, 1, 2}, .first = shift, .step = {1, 1, 1}};
  return {std::move(moved), put_into(reference, of_reference, std::move(grid))};
}

}  // namespace vmae::io
