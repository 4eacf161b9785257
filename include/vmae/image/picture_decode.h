#pragma once
// Pictures as their files store them, one decoder per format. What the numbers mean (palettes, few bits,
// orientation) is decided in picture.cpp, alike for all. Bytes are strangers': check_picture
// (picture_check.h) has passed them. Errors are Error(data) with what is wrong, without the file's name.
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "vmae/image/image.h"

namespace vmae::io {

using Palette = std::vector<std::array<uint8_t, 3>>;  // RGB

struct Raster {
  int64_t height = 0, width = 0, channels = 1;  // 1: grey or palette indices; 3: RGB
  StoredType type = StoredType::u8;
  std::vector<std::byte> bytes;    // height * width * channels samples of `type`, row by row, channel fastest
  int64_t bits = 8;                // of a sample in the file; fewer than 8 are stored one to a byte, as they are
  double stored_max = 255;         // as Image
  Palette palette{};               // not empty: the samples are indices
  int64_t orientation = 1;         // 1 to 8, as EXIF and TIFF have it: what is to be done to see it upright
  bool is_lossy = false;           // JPEG: neighbouring values run into each other
  std::vector<uint8_t> opacity{};  // per pixel, where the file has alpha: 0 clear, 2 opaque, 1 between
  // was stored with white as 0 in more than one bit; the samples are turned round already
  bool is_inverted = false;
};

[[noreturn]] void fail_picture(const std::string& what, const std::string& hint = "");

Raster decode_png(std::string_view bytes);
Palette png_palette(std::string_view bytes);  // of its header; empty: it has none
Raster decode_jpeg(std::string_view bytes);
Raster decode_bmp(std::string_view bytes);

// `bytes` has alpha as one more sample than channels: it becomes `opacity`.
void split_alpha(Raster& raster);

// Four samples a pixel become three, as Pillow converts them. is_inverted: 0 is all of an ink.
void cmyk_to_rgb(Raster& raster, bool is_inverted);

// 8 bits a sample, 1 or 3 channels.
std::string encode_png_bytes(const unsigned char* pixels, int64_t height, int64_t width, int64_t channels);

// EXIF's orientation (tag 0x0112 of the first directory); 1 where there is none. `exif` begins with its TIFF header.
int64_t exif_orientation(std::string_view exif);

bool is_tiff(std::string_view bytes);

// A TIFF whose pages are slices, without its pixels. Pages that
// are marked as smaller copies or masks of others do not count.
struct TiffStack {
  int64_t num_pages = 0, num_skipped = 0;
  int64_t num_below = 0;                      // pages below others (SubIFDs)
  int64_t width = 0, height = 0;              // upright
  int64_t bits = 8;                           // of a sample of the first page
  Palette palette{};                          // of the first page; empty: it has none
  std::array<double, 3> spacing_mm{0, 0, 0};  // of ImageJ's description; 0: not known
};
TiffStack read_tiff_header(const std::string& path);  // reads no more of the file than it must
// Calls `use` for each page that counts, in their order.
TiffStack decode_tiff(std::string_view bytes, const std::function<void(const TiffStack&, Raster&&)>& use);

// A stack of pages, compressed; spacing_mm as ImageJ writes it, 0: not known. u8 and f32.
std::string encode_tiff(const std::array<int64_t, 3>& size, StoredType type, const std::byte* values,
                        const std::array<double, 3>& spacing_mm);

}  // namespace vmae::io
