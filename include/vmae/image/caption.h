#pragma once
#include <cstdint>
#include <string>

#include "vmae/image/image.h"

namespace vmae::io {

// Black text into an image of 0..255, its baseline beginning at (x, y).
// Of letters outside of ASCII, which the font lacks, each becomes a ?.
void write_caption(Image& image, int64_t x, int64_t y, const std::string& text);
int64_t caption_width(const std::string& text);                   // in pixels
std::string cut_caption(const std::string& text, int64_t width);  // in the middle, where it is wider

}  // namespace vmae::io
