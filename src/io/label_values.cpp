#include "label_values.h"

#include <algorithm>
#include <cmath>

#include "vmae/core/error.h"

namespace vmae::io {
std::vector<uint8_t> labels_of(const Volume& volume, bool is_picture, const std::string& subject) {
  const std::vector<float> stored = values(volume);
  std::vector<uint8_t> labels(static_cast<size_t>(volume.size[0] * volume.size[1] * volume.size[2]));
  const auto channels = static_cast<size_t>(volume.channels);
  float largest = 0;
  bool is_binary = true;
  for (size_t i = 0; i < labels.size(); ++i) {
    const float value = stored[i * channels];
    for (size_t c = 1; c < channels; ++c) {
      if (stored[i * channels + c] != value) throw Error(ExitCode::data, subject + " is a colour picture", "write label numbers into a grey picture");
    }
    if (!(value >= 0 && value <= 255) || value != std::floor(value))
      throw Error(ExitCode::data, concat(subject, " holds the value ", value), "labels are integers from 0 to 255");
    largest = std::max(largest, value);
    labels[i] = static_cast<uint8_t>(value);
  }
  for (const uint8_t label : labels) is_binary &= label == 0 || static_cast<float>(label) == largest;
  if (is_picture && is_binary && largest == 255) std::replace(labels.begin(), labels.end(), uint8_t{255}, uint8_t{1});
  return labels;
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
    const bool is_same = std::abs(a.spacing_mm[axis] - spacing_mm) <= 0.01 * spacing_mm && std::abs(shift_mm) <= 0.1 * spacing_mm && cosine >= 0.999;
    if (is_same) continue;
    return concat("axis ", axis, ": spacing ", a.spacing_mm[axis], " mm (", other, " ", spacing_mm, "), origin ", shift_mm, " mm from that of the ", other,
                  ", cosine between the axes ", cosine);
  }
  return "";
}

}  // namespace vmae::io
