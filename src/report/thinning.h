#pragma once
#include <cstddef>
#include <vector>

#include "vmae/report/figures.h"

namespace vmae::report {

// A curve in coordinates without the points that nobody would see: what is left
// lies within a quarter of a unit of it, or, where that keeps more than `most`
// points, within twice, four times, ... that. First, last and extreme points stay.
std::vector<Point> thinned(const std::vector<Point>& curve, size_t most);

}  // namespace vmae::report
