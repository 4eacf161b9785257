#include "vmae/volume/label_values.h"

#include <algorithm>
#include <cmath>

#include "vmae/core/error.h"
#include "vmae/core/log_once.h"

namespace vmae::io {
namespace {

// Labels may have been stored with a scale factor, or as floats that are not exact:
// 1.0000153. Integers with a small factor are as exact as half a step of it.
float label_tolerance(const Volume& volume) {
  constexpr float kNear = 1e-3F, kMostSlope = 0.02F;
  const auto slope = static_cast<float>(std::abs(volume.scaling[0].slope));
  const bool is_float = volume.type == StoredType::f32 || volume.type == StoredType::f64;
  return is_float || slope > kMostSlope ? kNear : std::max(kNear, 0.51F * slope);
}

}  // namespace

std::vector<uint8_t> labels_of(const Volume& volume, const std::string& subject) {
  const std::vector<float> stored = values(volume);
  std::vector<uint8_t> labels(static_cast<size_t>(volume.size[0] * volume.size[1] * volume.size[2]));
  const auto channels = static_cast<size_t>(volume.channels);
  bool is_rounded = false;
  const float tolerance = label_tolerance(volume);
  for (size_t i = 0; i < labels.size(); ++i) {
    const float exact = stored[i * channels],
                value = std::abs(exact - std::round(exact)) <= tolerance ? std::round(exact) : exact;
    is_rounded |= value != exact;
    for (size_t c = 1; c < channels; ++c) {
      if (stored[i * channels + c] != exact)
        throw Error(ExitCode::data, subject + " is a colour picture", "write label numbers into a grey picture");
    }
    if (!(value >= 0 && value <= 255) || value != std::floor(value))
      throw Error(ExitCode::data, concat(subject, " holds the value ", value), "labels are integers from 0 to 255");
    labels[i] = static_cast<uint8_t>(value);
  }
  if (is_rounded)
    log::info_once(
        subject,
        "holds values that are nearly integers, as they come from a scale factor: they are read as those integers");
  return labels;
}

void refuse_lossy(const std::vector<uint8_t>& labels, const std::string& subject) {
  const auto odd = std::find_if(labels.begin(), labels.end(), [](uint8_t label) { return label != 0 && label != 255; });
  if (odd == labels.end()) return;
  throw Error(ExitCode::data,
              concat(subject, " is a JPEG, which does not keep numbers: it holds ", int{*odd},
                     " and other greys between 0 and 255"),
              "make label numbers of it where it was drawn (or by a threshold of your own) and save it as PNG");
}

std::string size_text(const std::array<int64_t, 3>& size) { return concat(size[0], " x ", size[1], " x ", size[2]); }

std::string place_difference(const Place& a, const Place& b, const std::string& other) {
  for (size_t axis = 0; axis < 3; ++axis) {
    const double spacing_mm = b.spacing_mm[axis];
    double cosine = 0, shift_mm = 0;
    for (size_t row = 0; row < 3; ++row) {
      cosine += b.direction[3 * row + axis] * a.direction[3 * row + axis];
      shift_mm += b.direction[3 * row + axis] * (a.origin_mm[row] - b.origin_mm[row]);
    }
    const bool is_same = std::abs(a.spacing_mm[axis] - spacing_mm) <= 0.01 * spacing_mm &&
                         std::abs(shift_mm) <= 0.1 * spacing_mm && cosine >= 0.999;
    if (is_same) continue;
    return concat("axis ", axis, ": spacing ", a.spacing_mm[axis], " mm (", other, " ", spacing_mm, "), origin ",
                  shift_mm, " mm from that of the ", other, ", cosine between the axes ", cosine);
  }
  return "";
}

}  // namespace vmae::io
