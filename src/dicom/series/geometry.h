#pragma once
// Slices in space: their order along the normal, and the grid they make.
#include <array>
#include <string>
#include <vector>

#include "../header.h"

namespace vmae::io {

bool is_parallel(const DicomPlane& a, const DicomPlane& b);  // same directions of rows and columns, to 0.001

// Indices of `frames` sorted along the normal; as they are if
// some have no plane, they are not parallel, or positions repeat.
std::vector<size_t> frame_order(const std::vector<DicomFrame>& frames);

// Whether all planes are known, parallel, and at different places along their normal.
bool lie_apart(const std::vector<DicomFrame>& frames);

// Steps from slice to slice, all above 0, against the usual one.
struct Steps {
  double usual = 0;
  // slices missing, the steps that they are missing in, steps that fit nowhere
  int64_t num_missing = 0, num_gaps = 0, num_uneven = 0;
};
// `tolerance`: of a step that counts as the usual one, as a part of it
Steps judge_steps(const std::vector<double>& steps, double tolerance);

struct Grid {
  std::array<double, 3> spacing_mm{1, 1, 1}, origin_mm{0, 0, 0};
  std::array<double, 9> direction{1, 0, 0, 0, 1, 0, 0, 0, 1};
  std::vector<std::string> remarks;  // missing slices, uneven spacing, gantry tilt, mixed geometry, repeated positions
};

// Of frames in the order of z. The third axis is the normal, towards later slices.
Grid grid_of(const std::vector<DicomFrame>& frames, std::optional<double> slice_step_mm);

}  // namespace vmae::io
