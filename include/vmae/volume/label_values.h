#pragma once
// What masks (read_image.h) and label maps (label_map.h) share: values into labels, and where two grids differ.
#include <array>
#include <string>
#include <vector>

#include "vmae/image/image.h"

namespace vmae::io {

// The numbers of a volume with equal channels, as they are (label_meaning.h
// says what they mean). Throws Error(data) "SUBJECT holds the value 0.5".
std::vector<uint8_t> labels_of(const Volume& volume, const std::string& subject);

// A JPEG changes numbers by a few when it is written. Throws Error(data) unless its labels are 0 and 255 alone.
void refuse_lossy(const std::vector<uint8_t>& labels, const std::string& subject);

std::string size_text(const std::array<int64_t, 3>& size);  // "64 x 64 x 20"

struct Place {
  std::array<double, 3> spacing_mm, origin_mm;
  std::array<double, 9> direction;
};

// The first axis along which `a` lies elsewhere than `b`, in words ("axis 2: spacing
// 1 mm (image 3), ...", with `other` for the image), or "": spacing more than 1 %,
// origin more than a tenth of a voxel of `b`, direction more than 2.5 degrees.
std::string place_difference(const Place& a, const Place& b, const std::string& other);

}  // namespace vmae::io
