#pragma once
// Which numbers become 0 and 1: by the options, and for `auto` by what kind of image it is.
#include <string>
#include <vector>

#include "vmae/data/image_options.h"
#include "vmae/image/image.h"

namespace vmae::data {

// value -> (value - low) / (high - low), clamped to [0, 1] unless the intensity is zscore (low =
// mean, high = mean + standard deviation). A constant image (low == high) becomes 0 everywhere.
struct IntensityRange {
  double low = 0.0, high = 1.0;
  bool clamp = true;
  bool per_slice = false;  // minmax: low and high are those of each slice
};

enum class IntensityRule : uint8_t { stored, minmax, percentile, window, zscore, suv };

constexpr double kSoftTissueWindow[2] = {-160.0, 240.0};  // HU; what CT gets under auto without data.window

// What is known of an image before its pixels are.
struct ImageKind {
  std::string modality{};  // DICOM's code, "" if not known
  io::Units units = io::Units::raw;
  double stored_max = 0.0;  // as in io::Image
};

// The same, if an image that does not say its modality is said to be of this one: a CT without a stored range is in HU.
ImageKind known_as(ImageKind kind, const std::string& modality);

// The rule for an image: data.intensity, or if that is auto: HU: window; SUV: suv; MR, and PET without SUV: percentile;
// else stored where the file has a stored range (X-ray, ultrasound, photographs), percentile where it has none.
IntensityRule intensity_rule(const ImageOptions& options, const ImageKind& kind);

// The range for a whole picture or volume, from all of its values. Percentiles interpolate linearly (as numpy does)
// between the sorted values; of more than a million values an evenly spread million is taken, always the same.
// Throws Error(data) if a value is NaN or infinite, or if `stored` is asked of a file without a stored range.
IntensityRange intensity_range(const std::vector<float>& values, const ImageKind& kind, const ImageOptions& options);

// The range where the rule needs no values (stored, minmax, window, suv). Throws as above.
IntensityRange fixed_range(IntensityRule rule, double stored_max, const ImageOptions& options);
bool needs_values(IntensityRule rule);

}  // namespace vmae::data
