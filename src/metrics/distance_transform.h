#pragma once
// What surface.cpp and overlap.cpp share: where a class is, its surface as a
// list of voxels, and the distance transform of one list read off at another.
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "vmae/metrics/surface.h"

namespace vmae::metrics {

// First voxel and the one behind the last, per axis. Empty as it begins.
struct Box {
  std::array<int64_t, 3> begin{INT64_MAX, INT64_MAX, INT64_MAX}, end{0, 0, 0};
  bool is_empty() const { return end[0] == 0; }
  // Voxels x_begin to x_end - 1 of a row.
  void add_run(int64_t x_begin, int64_t x_end, int64_t y, int64_t z);
};

struct Voxel {
  int32_t x, y, z;
};

// The surface (vmae/metrics/surface.h) of the class `label`, which lies within `box`, in the order of voxels.
std::vector<Voxel> surface_voxels(std::span<const uint8_t> labels, uint8_t label, const Grid& grid, const Box& box);

// For every voxel of `from` the distance to the nearest one of `to`, which is not empty. Both in the order of voxels.
std::vector<double> nearest_distances(std::span<const Voxel> from, std::span<const Voxel> to,
                                      const std::array<double, 3>& spacing_mm);

// surface_distances where the boxes of the class are known.
SurfaceDistances surface_distances_in(std::span<const uint8_t> a, const Box& a_box, std::span<const uint8_t> b,
                                      const Box& b_box, uint8_t label, const Grid& grid);

}  // namespace vmae::metrics
