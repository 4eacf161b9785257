#pragma once
// One whole case, by the rules that its slices are made by: what prediction reads, and what a dataset of files keeps.
#include <string>

#include "vmae/data/intensity.h"
#include "vmae/io/image.h"
#include "vmae/io/source.h"

namespace vmae::data {

struct Case {
  io::Volume volume;
  IntensityRange range;  // of the whole volume
  int axis = 2;          // that slices are perpendicular to: 0 x, 1 y, 2 z
};

// A picture, a volume, a series, or a case of a prepared dataset. Throws Error(data) naming the file: unreadable, NaN or infinite values.
Case read_case(const io::SourceFile& file, const ImageOptions& image);

IntensityRange range_of(const io::Volume& volume, const ImageOptions& image);  // throws Error(data) naming no file

}  // namespace vmae::data
