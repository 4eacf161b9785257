#include "vmae/metrics/surface.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "distance_transform.h"
#include "vmae/core/error.h"

namespace vmae::metrics {
namespace {

double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

// As numpy.percentile: linear between the two values around rank 0.95 * (n - 1), bit for bit.
double percentile95(std::vector<double> values) {
  const double rank = 0.95 * static_cast<double>(values.size() - 1), below = std::floor(rank), share = rank - below;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(below);
  std::nth_element(values.begin(), at, values.end());
  const double low = *at, high = at + 1 == values.end() ? low : *std::min_element(at + 1, values.end());
  return share < 0.5 ? low + (high - low) * share : high - (high - low) * (1 - share);
}

Box box_of(std::span<const uint8_t> labels, uint8_t label, const Grid& grid) {
  Box box;
  const auto width = static_cast<size_t>(grid.size[0]);
  for (int64_t z = 0, row = 0; z < grid.size[2]; ++z) {
    for (int64_t y = 0; y < grid.size[1]; ++y, ++row) {
      const uint8_t* const begin = labels.data() + static_cast<size_t>(row) * width;
      const void* const first = std::memchr(begin, label, width);
      if (first == nullptr) continue;
      size_t last = width - 1;
      while (begin[last] != label) --last;
      box.add_run(static_cast<const uint8_t*>(first) - begin, static_cast<int64_t>(last) + 1, y, z);
    }
  }
  return box;
}

}  // namespace

void Box::add_run(int64_t x_begin, int64_t x_end, int64_t y, int64_t z) {
  begin = {std::min(begin[0], x_begin), std::min(begin[1], y), std::min(begin[2], z)};
  end = {std::max(end[0], x_end), std::max(end[1], y + 1), std::max(end[2], z + 1)};
}

std::vector<Voxel> surface_voxels(std::span<const uint8_t> labels, uint8_t label, const Grid& grid, const Box& box) {
  std::vector<Voxel> voxels;
  if (box.is_empty()) return voxels;
  const int64_t width = grid.size[0];
  const std::vector<uint8_t> outside(static_cast<size_t>(width), static_cast<uint8_t>(label ^ 1U));
  const auto row_at = [&](int64_t y, int64_t z) {
    const bool is_inside = y >= 0 && z >= 0 && y < grid.size[1] && z < grid.size[2];
    return is_inside ? labels.data() + width * (y + grid.size[1] * z) : outside.data();
  };
  const bool counts_x = grid.size[0] > 1, counts_y = grid.size[1] > 1, counts_z = grid.size[2] > 1,
             is_point = !counts_x && !counts_y && !counts_z;
  for (int64_t z = box.begin[2]; z < box.end[2]; ++z) {
    for (int64_t y = box.begin[1]; y < box.end[1]; ++y) {
      const uint8_t* const row = row_at(y, z);
      const std::array<const uint8_t*, 4> beside{counts_y ? row_at(y - 1, z) : row, counts_y ? row_at(y + 1, z) : row,
                                                 counts_z ? row_at(y, z - 1) : row, counts_z ? row_at(y, z + 1) : row};
      for (int64_t x = box.begin[0]; x < box.end[0]; ++x) {
        if (row[x] != label) continue;
        bool is_inner = !is_point;
        for (const uint8_t* neighbour : beside) is_inner &= neighbour[x] == label;
        if (counts_x) is_inner &= x > 0 && x + 1 < width && row[x - 1] == label && row[x + 1] == label;
        if (!is_inner) voxels.push_back({static_cast<int32_t>(x), static_cast<int32_t>(y), static_cast<int32_t>(z)});
      }
    }
  }
  return voxels;
}

SurfaceDistances surface_distances_in(std::span<const uint8_t> a, const Box& a_box, std::span<const uint8_t> b,
                                      const Box& b_box, uint8_t label, const Grid& grid) {
  const std::vector<Voxel> of_a = surface_voxels(a, label, grid, a_box), of_b = surface_voxels(b, label, grid, b_box);
  if (of_a.empty() || of_b.empty()) return {};
  return {nearest_distances(of_a, of_b, grid.spacing_mm), nearest_distances(of_b, of_a, grid.spacing_mm)};
}

SurfaceDistances surface_distances(std::span<const uint8_t> a, std::span<const uint8_t> b, uint8_t label,
                                   const Grid& grid) {
  const auto num_voxels = static_cast<size_t>(grid.num_voxels());
  if (a.size() != num_voxels || b.size() != num_voxels)
    throw Error(ExitCode::internal, "surface_distances: the label maps are not of the grid's size");
  return surface_distances_in(a, box_of(a, label, grid), b, box_of(b, label, grid), label, grid);
}

double hd95_pooled(const SurfaceDistances& distances) {
  std::vector<double> both = distances.a_to_b;
  both.insert(both.end(), distances.b_to_a.begin(), distances.b_to_a.end());
  return percentile95(std::move(both));
}

double hd95_max_directed(const SurfaceDistances& distances) {
  return std::max(percentile95(distances.a_to_b), percentile95(distances.b_to_a));
}

double average_surface_distance(const SurfaceDistances& distances) {
  return (sum(distances.a_to_b) + sum(distances.b_to_a)) /
         static_cast<double>(distances.a_to_b.size() + distances.b_to_a.size());
}

double surface_dice(const SurfaceDistances& distances, double tolerance_mm) {
  const double most = tolerance_mm * (1 + 1e-6);
  const auto num_within = [&](const std::vector<double>& list) {
    return std::count_if(list.begin(), list.end(), [&](double mm) { return mm <= most; });
  };
  return static_cast<double>(num_within(distances.a_to_b) + num_within(distances.b_to_a)) /
         static_cast<double>(distances.a_to_b.size() + distances.b_to_a.size());
}

}  // namespace vmae::metrics
