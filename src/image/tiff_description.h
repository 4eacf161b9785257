#pragma once
// What the program that wrote a TIFF says of its pages, in the tag ImageDescription: ImageJ, OME, tifffile.
#include <array>
#include <cstdint>
#include <string>

namespace vmae::io {

struct PageShape {
  int64_t width = 0, height = 0, samples = 1;
  bool is_separate = false;  // samples lie in planes of their own
};

// Throws Error(data) for pages that are not slices of one image one after the other: several
// images, channels, time points, and pages that only the program itself can find. num_shaped:
// pages with a description of tifffile, which stands on the first page of each array.
void check_meaning(const std::string& description, const PageShape& page, int64_t num_pages, int64_t num_shaped);

// Size of a pixel and of the step between slices, where ImageJ wrote all
// of it; else 0. Resolutions as the tags have them, 0 where there is none.
std::array<double, 3> imagej_spacing_mm(const std::string& description, double pixels_per_unit_x,
                                        double pixels_per_unit_y);

}  // namespace vmae::io
