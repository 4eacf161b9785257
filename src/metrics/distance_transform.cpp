// The squared distance to the nearest of a set of voxels is the minimum over z, of minima over y, of minima over x
// (Felzenszwalb and Huttenlocher 2012). No volume is ever filled: a plane of constant x moves through the box. Along
// x each row of `to` knows its voxel before and behind the plane; along y parabolas over the rows of one z make a
// lower envelope, read off at the y of this plane's voxels of `from`; along z each of those searches up and down
// until a further step alone is longer than what it has found. Planes without a voxel of `from` are passed over.
#include "distance_transform.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace vmae::metrics {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Voxels of equal y and z: `first` to `end` of the list, `next` is the first behind the plane (or the last).
struct Row {
  int32_t y;
  size_t first, end, next;
};

// Rows of equal z.
struct Slice {
  int32_t z;
  size_t first_row, end_row;
};

// Of parabolas height + (step * (y - place))^2, in the order of their places.
class LowerEnvelope {
 public:
  explicit LowerEnvelope(double step_mm) : step2_(step_mm * step_mm) {}
  void clear() { parts_.clear(); }

  void add(double height, int32_t place) {
    const double y = place, key = height / step2_ + y * y;
    double begin = -kInfinity;
    while (!parts_.empty()) {
      const Part& last = parts_.back();
      begin = (key - last.key) / (2 * (y - last.y));
      if (begin > last.begin) break;
      parts_.pop_back();
    }
    parts_.push_back({parts_.empty() ? -kInfinity : begin, y, key, height});
  }

  // Heights at y_begin, y_begin + 1, ..., one every `stride` of `to`.
  void read(int32_t y_begin, int32_t y_end, double* to, size_t stride) const {
    size_t i = 0;
    for (int32_t y = y_begin; y < y_end; ++y, to += stride) {
      while (i + 1 < parts_.size() && parts_[i + 1].begin < y) ++i;
      const double from_place = y - parts_[i].y;
      *to = parts_[i].height + step2_ * from_place * from_place;
    }
  }

 private:
  struct Part {
    double begin, y, key, height;  // the lowest from `begin` on
  };
  double step2_;
  std::vector<Part> parts_;
};

class Plane {
 public:
  Plane(std::span<const Voxel> to, const std::array<double, 3>& spacing_mm)
      : to_(to), spacing_mm_(spacing_mm), envelope_(spacing_mm[1]) {
    for (size_t i = 0; i < to.size(); ++i) {
      const bool is_new_slice = slices_.empty() || slices_.back().z != to[i].z;
      if (is_new_slice) slices_.push_back({to[i].z, rows_.size(), rows_.size()});
      if (is_new_slice || rows_.back().y != to[i].y) {
        rows_.push_back({to[i].y, i, i, i});
        slices_.back().end_row = rows_.size();
      }
      rows_.back().end = i + 1;
    }
  }

  // Planes must come in ascending order. Afterwards `distance` knows y_begin to y_end - 1.
  void move_to(int32_t x, int32_t y_begin, int32_t y_end) {
    y_begin_ = y_begin;
    heights_.resize(static_cast<size_t>(y_end - y_begin) * slices_.size());
    for (size_t s = 0; s < slices_.size(); ++s) {
      envelope_.clear();
      for (size_t r = slices_[s].first_row; r < slices_[s].end_row; ++r) envelope_.add(height(rows_[r], x), rows_[r].y);
      envelope_.read(y_begin, y_end, heights_.data() + s, slices_.size());
    }
  }

  double distance(const Voxel& voxel) const {
    const double* heights = heights_.data() + static_cast<size_t>(voxel.y - y_begin_) * slices_.size();
    const auto above = static_cast<size_t>(std::lower_bound(slices_.begin(), slices_.end(), voxel.z,
                                                            [](const Slice& slice, int32_t z) { return slice.z < z; }) -
                                           slices_.begin());
    double best = kInfinity;
    const auto is_better = [&](size_t s) {
      const double along = (slices_[s].z - voxel.z) * spacing_mm_[2];
      if (along * along >= best) return false;
      best = std::min(best, heights[s] + along * along);
      return true;
    };
    for (size_t s = above; s < slices_.size() && is_better(s); ++s) continue;
    for (size_t s = above; s > 0 && is_better(s - 1); --s) continue;
    return std::sqrt(best);
  }

 private:
  double height(Row& row, int32_t x) const {
    while (row.next + 1 < row.end && to_[row.next].x < x) ++row.next;
    int32_t steps = std::abs(to_[row.next].x - x);
    if (row.next > row.first) steps = std::min(steps, std::abs(x - to_[row.next - 1].x));
    const double mm = steps * spacing_mm_[0];
    return mm * mm;
  }

  std::span<const Voxel> to_;
  std::array<double, 3> spacing_mm_;
  std::vector<Row> rows_;
  std::vector<Slice> slices_;
  LowerEnvelope envelope_;
  int32_t y_begin_ = 0;
  std::vector<double> heights_;  // of (y, slice), slices side by side
};

}  // namespace

std::vector<double> nearest_distances(std::span<const Voxel> from, std::span<const Voxel> to,
                                      const std::array<double, 3>& spacing_mm) {
  std::vector<size_t> order(from.size());  // by x
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return from[a].x < from[b].x; });
  std::vector<double> distances(from.size());
  Plane plane(to, spacing_mm);
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    const int32_t x = from[order[begin]].x;
    int32_t y_begin = INT32_MAX, y_end = 0;
    for (; end < order.size() && from[order[end]].x == x; ++end) {
      y_begin = std::min(y_begin, from[order[end]].y);
      y_end = std::max(y_end, from[order[end]].y + 1);
    }
    plane.move_to(x, y_begin, y_end);
    for (size_t i = begin; i < end; ++i) distances[order[i]] = plane.distance(from[order[i]]);
  }
  return distances;
}

}  // namespace vmae::metrics
