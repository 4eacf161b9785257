#pragma once
// Inputs for what is written back: made-up label maps, and NIfTI files whose geometry is easy to lose.
#include <algorithm>
#include <cmath>

#include "support/images.h"
#include "vmae/image/image.h"

namespace vmae::test {

// Blobs of labels 1 ... num_classes on background; the first
// and the last slice are empty where there are more than two.
inline std::vector<uint8_t> made_up_labels(const io::Volume& image, int num_classes) {
  std::vector<uint8_t> labels(static_cast<size_t>(image.size[0] * image.size[1] * image.size[2]), 0);
  for (int64_t z = 0, i = 0; z < image.size[2]; ++z) {
    const bool is_empty = image.size[2] > 2 && (z == 0 || z + 1 == image.size[2]);
    for (int64_t y = 0; y < image.size[1]; ++y) {
      for (int64_t x = 0; x < image.size[0]; ++x, ++i) {
        const int64_t patch = 3 * x / image.size[0] + 2 * (5 * y / image.size[1]) + z;
        if (!is_empty)
          labels[static_cast<size_t>(i)] = static_cast<uint8_t>((patch + x % 2 * (y % 2)) % (num_classes + 1));
      }
    }
  }
  return labels;
}

struct NiftiCase {
  std::string name, bytes;
  std::string little_endian;  // its header, for comparing
  int64_t time_point = 0;
};

// Other byte order: of the header's fields that are set below, and of 16-bit voxels.
inline std::string swapped(std::string bytes) {
  const auto swap = [&](size_t at, size_t width, size_t count) {
    for (size_t i = 0; i < count; ++i)
      std::reverse(bytes.begin() + static_cast<long>(at + i * width),
                   bytes.begin() + static_cast<long>(at + (i + 1) * width));
  };
  swap(0, 4, 1);
  swap(40, 2, 8);
  swap(68, 2, 3);
  swap(76, 4, 11);
  swap(252, 2, 2);
  swap(256, 4, 18);
  swap(352, 2, (bytes.size() - 352) / 2);
  return bytes;
}

inline std::vector<NiftiCase> nifti_cases() {
  const std::vector<int16_t> size{5, 4, 3};
  const auto with = [](std::string bytes, int16_t qform, int16_t sform, const std::vector<float>& quaternion,
                       const std::vector<float>& matrix, float handedness) {
    put<float>(bytes, 76, handedness);
    put<int16_t>(bytes, 252, qform);
    put<int16_t>(bytes, 254, sform);
    for (size_t i = 0; i < quaternion.size(); ++i) put<float>(bytes, 256 + 4 * i, quaternion[i]);
    for (size_t i = 0; i < matrix.size(); ++i) put<float>(bytes, 280 + 4 * i, matrix[i]);
    bytes.replace(4, 5, "Zebed");  // data_type, db_name, descrip, aux_file, intent_name
    bytes.replace(14, 7, "Zebedee");
    bytes.replace(148, 7, "Zebedee");
    bytes.replace(228, 7, "Zebedee");
    bytes.replace(328, 7, "Zebedee");
    put<float>(bytes, 124, 400);  // cal_max
    return bytes;
  };
  const std::string volume = nifti<int16_t>(size, ramp<int16_t>(60), {{0.7F, 0.9F, 2.2F}});
  const std::vector<float> turned{0.1F, 0.2F, 0.3F, -10.1F, 20.2F, 30.3F};
  // Columns of 0.7, 0.9 and 2.2 mm, turned about z by 0.3.
  const float c = std::cos(0.3F), s = std::sin(0.3F);
  const std::vector<float> rotated{-0.7F * c, 0.9F * s, 0, 11.25F, -0.7F * s, -0.9F * c, 0, -7.125F, 0, 0, 2.2F, 3.3F};
  std::vector<float> sheared = rotated;
  sheared[2] = 0.8F;  // a tilted gantry
  const std::string qform_only = with(volume, 1, 0, turned, {}, -1), both = with(volume, 1, 2, turned, rotated, 1),
                    tilted = with(volume, 1, 4, turned, sheared, 1), sform_only = with(volume, 0, 3, {}, rotated, 0),
                    neither = with(volume, 0, 0, {}, {}, 1);
  std::string times =
      with(nifti<int16_t>({5, 4, 3, 2}, ramp<int16_t>(120), {{0.7F, 0.9F, 2.2F}}), 1, 2, turned, rotated, 1);
  times[123] = 2 + 8;  // millimetres, seconds
  put<float>(times, 92, 2.5F);
  std::string flat = with(nifti<int16_t>({5, 4}, ramp<int16_t>(20), {{0.7F, 0.9F, 1}}), 1, 0, turned, {}, 1);
  return {{"qform", qform_only, qform_only}, {"both", both, both},          {"sheared", tilted, tilted},
          {"sform", sform_only, sform_only}, {"neither", neither, neither}, {"big_endian", swapped(both), both},
          {"times", times, times, 1},        {"flat", flat, flat}};
}

}  // namespace vmae::test
