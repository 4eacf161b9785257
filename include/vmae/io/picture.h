#pragma once
// PNG, JPEG, TIFF and BMP through OpenCV, 8 and 16 bit (and float TIFF), grey and colour (alpha dropped, BGR turned into RGB).
// EXIF orientation is applied. Of a TIFF with several pages the first is read. The content decides, not the extension: a JPEG named .png is read.
// A file that is cut off is an error, never half a picture; so are signed and 32-bit integer TIFFs. Every failure is Error(data) naming the file.
#include <filesystem>
#include <string>

#include "vmae/io/image.h"

namespace vmae::io {

bool is_picture(const std::filesystem::path& path);  // by extension, any case
Image read_picture(const std::filesystem::path& path);

// 8-bit PNG, grey (1 channel) or RGB (3); pixels are clamped to 0..255 and rounded.
std::string encode_png(const Image& image);

}  // namespace vmae::io
