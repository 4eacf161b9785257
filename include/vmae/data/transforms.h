#pragma once
// From the pixels of a file to network input: intensity to [0, 1] -> channels -> resize -> flip -> normalise. No randomness here: the caller decides the flips.
#include <vector>

#include "vmae/data/dataset.h"
#include "vmae/io/image.h"

namespace vmae::data {

// value -> (value - low) / (high - low), clamped to [0, 1] unless the intensity is zscore (low = mean, high = mean + standard deviation).
// A constant image (low == high) becomes 0 everywhere.
struct IntensityRange {
  double low = 0.0, high = 1.0;
  bool clamp = true;
  bool per_slice = false;  // minmax: low and high are those of each slice
};

// Throws Error(usage) naming the key: percentiles, window, mean or std with a wrong number of values or in the wrong order.
void check(const ImageOptions& options);

// The range for a whole picture or volume, from all of its values. Percentiles interpolate linearly (as numpy does) between the sorted values;
// of more than a million values an evenly spread million is taken, always the same. stored_max as in io::Image.
// Throws Error(data) if a value is NaN or infinite, or if `stored` is asked of a file without a stored range.
IntensityRange intensity_range(const std::vector<float>& values, double stored_max, const ImageOptions& options);

struct Flips {
  bool horizontal = false, vertical = false;
};

// Writes the network input, (in_channels, H, W) contiguous, to `output`. Thread-safe; throws Error(data) if the channels don't fit.
void to_input(io::Image image, const IntensityRange& range, const ImageOptions& options, Flips flips, float* output);

}  // namespace vmae::data
