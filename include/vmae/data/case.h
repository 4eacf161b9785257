#pragma once
// One whole case, by the rules that its slices are made by: what prediction reads, and what a dataset of files keeps.
#include <string>

#include "vmae/cases/source_file.h"
#include "vmae/data/intensity.h"
#include "vmae/image/image.h"

namespace vmae::data {

struct Case {
  // of several channels: float32, each of them in [0, 1] by its own rule and values (zscore: its own z-scores)
  io::Volume volume;
  IntensityRange range;  // of the whole volume
  int axis = 2;          // that slices are perpendicular to: 0 x, 1 y, 2 z
};

// A picture, a volume, a series, or a case of a prepared dataset. Throws
// Error(data) naming the file: unreadable, NaN or infinite values.
Case read_case(const io::SourceFile& file, const ImageOptions& image);

// read_case() of what is no case of a prepared dataset. axis: as an Item
// of a dataset has it; -1: as the image's header and data.slice_axis say.
Case read_file_case(const io::SourceFile& file, const ImageOptions& image, int axis = -1);

IntensityRange range_of(const io::Volume& volume, const ImageOptions& image);  // throws Error(data) naming no file

}  // namespace vmae::data
