// Position along the normal = position . (x cross y). Steps that are two or more times the usual one and
// nearly whole multiples of it are gaps, others uneven spacing. The usual step is the median; or the
// smallest, where all are multiples of it and no more than a third of the slices is missing. A tilted gantry
// shifts slices against each other: the angle between their normal and the line through their positions.
#include "geometry.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "vmae/core/error.h"

namespace vmae::io {
namespace {

constexpr double kSamePlace_mm = 1e-3;
constexpr double kTilt_degrees = 0.1, kEven = 0.02, kMostMissing = 1e6;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

bool have_parallel_planes(const std::vector<DicomFrame>& frames) {
  return std::all_of(frames.begin(), frames.end(), [&](const DicomFrame& frame) {
    return frame.plane && is_parallel(*frame.plane, *frames[0].plane);
  });
}

Steps steps_against(double usual, const std::vector<double>& steps, double tolerance) {
  Steps judged;
  judged.usual = usual;
  for (const double step : steps) {
    const double ratio = step / usual, nearest = std::round(ratio);
    if (nearest >= 2 && nearest < kMostMissing && std::abs(ratio - nearest) < 0.05 * nearest) {
      judged.num_missing += static_cast<int64_t>(nearest) - 1;
      ++judged.num_gaps;
    } else if (std::abs(ratio - 1) > tolerance) {
      ++judged.num_uneven;
    }
  }
  return judged;
}

void use_steps(const std::vector<double>& steps, Grid& grid) {
  const Steps judged = judge_steps(steps, kEven);
  const auto [smallest, largest] = std::minmax_element(steps.begin(), steps.end());
  if (judged.num_missing > 0)
    grid.remarks.push_back(concat(judged.num_missing, judged.num_missing == 1 ? " slice is" : " slices are",
                                  " missing, in ", judged.num_gaps, judged.num_gaps == 1 ? " gap" : " gaps"));
  if (judged.num_uneven > 0)
    grid.remarks.push_back(
        concat("uneven spacing: ", *smallest, " to ", *largest, " mm between slices, ", judged.usual, " is used"));
  // Mean of an even stack; of one with gaps, what it would be without.
  const bool is_even = judged.num_missing + judged.num_uneven == 0;
  grid.spacing_mm[2] =
      is_even ? std::accumulate(steps.begin(), steps.end(), 0.0) / static_cast<double>(steps.size()) : judged.usual;
}

}  // namespace

Steps judge_steps(const std::vector<double>& steps, double tolerance) {
  Steps judged = steps_against(median(steps), steps, tolerance);
  if (judged.num_uneven == 0) return judged;
  // Of a few steps the median may be a gap.
  const Steps by_smallest = steps_against(*std::min_element(steps.begin(), steps.end()), steps, tolerance);
  const bool is_mostly_there = by_smallest.num_missing * 2 <= static_cast<int64_t>(steps.size()) + 1;
  return by_smallest.num_uneven == 0 && is_mostly_there ? by_smallest : judged;
}

bool is_parallel(const DicomPlane& a, const DicomPlane& b) {
  for (size_t i = 0; i < 3; ++i) {
    if (std::abs(a.x[i] - b.x[i]) > 1e-3 || std::abs(a.y[i] - b.y[i]) > 1e-3) return false;
  }
  return true;
}

std::vector<size_t> frame_order(const std::vector<DicomFrame>& frames) {
  std::vector<size_t> order(frames.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (!lie_apart(frames)) return order;
  const Vec3 normal = frames[0].plane->normal();
  const auto height = [&](size_t i) { return dot(frames[i].plane->position, normal); };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return height(a) < height(b); });
  return order;
}

bool lie_apart(const std::vector<DicomFrame>& frames) {
  if (!have_parallel_planes(frames)) return false;
  const Vec3 normal = frames[0].plane->normal();
  std::vector<double> heights;
  for (const DicomFrame& frame : frames) heights.push_back(dot(frame.plane->position, normal));
  std::sort(heights.begin(), heights.end());
  return std::adjacent_find(heights.begin(), heights.end(), [](double a, double b) { return b - a < kSamePlace_mm; }) ==
         heights.end();
}

Grid grid_of(const std::vector<DicomFrame>& frames, std::optional<double> slice_step_mm) {
  Grid grid;
  grid.spacing_mm = {frames[0].spacing_mm[0], frames[0].spacing_mm[1],
                     slice_step_mm.value_or(std::max(frames[0].spacing_mm[0], frames[0].spacing_mm[1]))};
  if (!frames[0].plane) return grid;
  const DicomPlane& first = *frames[0].plane;
  grid.origin_mm = first.position;
  Vec3 normal = first.normal();
  if (std::any_of(frames.begin(), frames.end(), [](const DicomFrame& frame) { return !frame.plane; })) {
    // Some don't say where they lie, which frame_volumes says.
  } else if (!have_parallel_planes(frames)) {
    grid.remarks.push_back("mixed geometry: its frames lie in planes of different directions");
  } else if (frames.size() > 1) {
    const Vec3 way = minus(frames.back().plane->position, first.position);
    const double along = dot(way, normal), length = std::sqrt(dot(way, way));
    std::vector<double> steps;
    for (size_t i = 1; i < frames.size(); ++i)
      steps.push_back(dot(minus(frames[i].plane->position, frames[i - 1].plane->position), normal) *
                      (along < 0 ? -1 : 1));
    if (*std::min_element(steps.begin(), steps.end()) < kSamePlace_mm) {
      grid.remarks.push_back("positions repeat or go back: its frames are left in their order");
    } else {
      if (along < 0) normal = {-normal[0], -normal[1], -normal[2]};
      use_steps(steps, grid);
      const double tilt_degrees = std::acos(std::min(std::abs(along) / length, 1.0)) * 180 / std::numbers::pi;
      if (tilt_degrees > kTilt_degrees)
        grid.remarks.push_back(concat("gantry tilt of ", std::round(tilt_degrees * 10) / 10,
                                      " degrees: slices are shifted against each other"));
    }
  }
  for (size_t i = 0; i < 3; ++i) {
    grid.direction[3 * i] = first.x[i];
    grid.direction[3 * i + 1] = first.y[i];
    grid.direction[3 * i + 2] = normal[i];
  }
  return grid;
}

}  // namespace vmae::io
