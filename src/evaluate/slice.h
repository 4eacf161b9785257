#pragma once
// A slice of a case as a small picture of a report: pixels square in millimetres, labels in their colours.
#include <string>
#include <vector>

#include "input.h"
#include "vmae/image/image.h"

namespace vmae::run {

struct SliceGrid {
  int64_t rows = 0, columns = 0;
  double row_mm = 1, column_mm = 1;
};
SliceGrid slice_grid_of(const std::array<int64_t, 3>& size, const std::array<double, 3>& spacing_mm, int axis);

// RGB, 0 to 255 between the slice's 1st and 99th percentile.
io::Image shown_slice(const io::Volume& volume, int axis, int64_t index);
io::Image dark_slice(const SliceGrid& grid);  // where there is no image

// PNG. labels: of the grid, outlines at full strength, insides lightly; empty: the image alone.
std::string slice_png(const SliceGrid& grid, const io::Image& image, const std::vector<uint8_t>& labels);

}  // namespace vmae::run
