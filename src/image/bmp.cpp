// BMP: 1, 4 and 8 bit with a palette, 16, 24 and 32 bit colour, run lengths (RLE4, RLE8), bit fields.
// Microsoft, "Bitmap Storage", BITMAPINFOHEADER to BITMAPV5HEADER and OS/2's BITMAPCOREHEADER.
#include <algorithm>
#include <bit>

#include "vmae/core/text.h"
#include "vmae/image/picture_decode.h"

namespace vmae::io {
namespace {

struct Header {
  int64_t width = 0, height = 0, bits = 0;
  bool is_top_down = false, is_old = false;
  uint64_t compression = 0;  // 0 none, 1 RLE8, 2 RLE4, 3 bit fields, 6 with alpha
  size_t palette_at = 0, pixels_at = 0;
  std::array<uint32_t, 3> masks{};
};

uint64_t number(std::string_view bytes, size_t at, size_t size) {
  if (at > bytes.size() || size > bytes.size() - at) fail_picture("is cut off: a BMP shorter than its header says");
  uint64_t value = 0;
  for (size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

Header read_header(std::string_view bytes) {
  Header header;
  const size_t size = number(bytes, 14, 4);
  header.pixels_at = number(bytes, 10, 4);
  header.is_old = size == 12;
  if (!header.is_old && size < 40) fail_picture("is a BMP of a kind that is not known");
  if (header.is_old) {
    header.width = static_cast<int64_t>(number(bytes, 18, 2));
    header.height = static_cast<int64_t>(number(bytes, 20, 2));
    header.bits = static_cast<int64_t>(number(bytes, 24, 2));
  } else {
    header.width = static_cast<int32_t>(number(bytes, 18, 4));
    header.height = static_cast<int32_t>(number(bytes, 22, 4));
    header.bits = static_cast<int64_t>(number(bytes, 28, 2));
    header.compression = number(bytes, 30, 4);
  }
  header.is_top_down = header.height < 0;
  header.height = std::abs(header.height);
  header.palette_at = 14 + size;
  const bool is_known =
      header.compression == 0 || (header.compression == 1 && header.bits == 8) ||
      (header.compression == 2 && header.bits == 4) ||
      ((header.compression == 3 || header.compression == 6) && (header.bits == 16 || header.bits == 32));
  const auto known_bits = {1, 4, 8, 16, 24, 32};
  if (!is_known || header.width <= 0 ||
      std::find(known_bits.begin(), known_bits.end(), header.bits) == known_bits.end())
    fail_picture(
        concat("is a BMP of ", header.bits, " bits and compression ", header.compression, ", which is not read"));
  if (header.bits == 16) header.masks = {0x7C00, 0x3E0, 0x1F};
  if (header.bits == 32) header.masks = {0xFF0000, 0xFF00, 0xFF};
  // right behind the first 40 bytes, whatever the header's size
  if (header.compression == 3 || header.compression == 6) {
    for (size_t i = 0; i < 3; ++i) header.masks[i] = static_cast<uint32_t>(number(bytes, 54 + 4 * i, 4));
    if (size == 40) header.palette_at += header.compression == 3 ? 12 : 16;
  }
  return header;
}

Palette read_palette(std::string_view bytes, const Header& header) {
  const size_t entry = header.is_old ? 3 : 4;
  size_t count = header.is_old ? 0 : number(bytes, 46, 4);
  const size_t most = size_t{1} << header.bits;
  if (count == 0 || count > most) count = most;
  if (header.pixels_at >= header.palette_at) count = std::min(count, (header.pixels_at - header.palette_at) / entry);
  Palette palette;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t bgr = number(bytes, header.palette_at + i * entry, 3);
    palette.push_back({static_cast<uint8_t>(bgr >> 16), static_cast<uint8_t>(bgr >> 8), static_cast<uint8_t>(bgr)});
  }
  if (palette.empty()) fail_picture("is damaged: a BMP without its palette");
  return palette;
}

// Indices from the bottom row up. What the runs leave out stays 0.
void read_runs(std::string_view bytes, const Header& header, std::vector<std::byte>& indices) {
  const bool is_nibbles = header.bits == 4;
  size_t at = header.pixels_at;
  int64_t x = 0, y = 0;
  const auto put = [&](uint64_t index) {
    if (y >= header.height) fail_picture("is damaged: a BMP with more rows than it says");
    if (x < header.width)
      indices[static_cast<size_t>((header.height - 1 - y) * header.width + x)] = static_cast<std::byte>(index);
    ++x;  // runs may end beyond the side
  };
  const auto index_in = [&](uint64_t byte, uint64_t i) {
    if (!is_nibbles) return byte;
    return i % 2 == 0 ? byte >> 4 : byte & 15;
  };
  for (;;) {
    const uint64_t count = number(bytes, at, 1), value = number(bytes, at + 1, 1);
    at += 2;
    if (count > 0) {
      for (uint64_t i = 0; i < count; ++i) put(index_in(value, i));
    } else if (value == 0) {
      x = 0;
      ++y;
    } else if (value == 1) {
      return;
    } else if (value == 2) {
      x += static_cast<int64_t>(number(bytes, at, 1));
      y += static_cast<int64_t>(number(bytes, at + 1, 1));
      at += 2;
    } else {
      const size_t length = is_nibbles ? (value + 1) / 2 : value;
      for (uint64_t i = 0; i < value; ++i) {
        const uint64_t byte = number(bytes, at + (is_nibbles ? i / 2 : i), 1);
        put(index_in(byte, i));
      }
      at += length + length % 2;
    }
  }
}

// A field of a pixel, spread over all of 0 to 255.
std::byte field(uint32_t pixel, uint32_t mask) {
  if (mask == 0) return std::byte{0};
  const uint64_t largest = mask >> std::countr_zero(mask), value = (pixel & mask) >> std::countr_zero(mask);
  return static_cast<std::byte>(value * 255 / largest);
}

}  // namespace

Raster decode_bmp(std::string_view bytes) {
  const Header header = read_header(bytes);
  Raster raster;
  raster.width = header.width;
  raster.height = header.height;
  if (header.bits <= 8) {
    raster.palette = read_palette(bytes, header);
    raster.bits = header.bits;
  }
  raster.channels = header.bits <= 8 ? 1 : 3;
  const auto row_bytes = static_cast<size_t>((header.width * header.bits + 31) / 32 * 4);
  const bool has_runs = header.compression == 1 || header.compression == 2;
  if (!has_runs && (header.pixels_at > bytes.size() ||
                    row_bytes * static_cast<size_t>(header.height) > bytes.size() - header.pixels_at))
    fail_picture("is cut off: a BMP shorter than its header says");
  raster.bytes.resize(static_cast<size_t>(header.width * header.height * raster.channels));
  if (has_runs) {
    read_runs(bytes, header, raster.bytes);
    return raster;
  }
  std::byte* to = raster.bytes.data();
  for (int64_t row = 0; row < header.height; ++row) {
    const auto* from = reinterpret_cast<const unsigned char*>(bytes.data()) + header.pixels_at +
                       static_cast<size_t>(header.is_top_down ? row : header.height - 1 - row) * row_bytes;
    for (int64_t x = 0; x < header.width; ++x) {
      if (header.bits <= 8) {
        const int64_t per_byte = 8 / header.bits, shift = 8 - header.bits * (x % per_byte + 1);
        *to++ = static_cast<std::byte>((from[x / per_byte] >> shift) & ((1 << header.bits) - 1));
      } else if (header.bits == 24) {
        for (int c = 2; c >= 0; --c) *to++ = static_cast<std::byte>(from[3 * x + c]);
      } else {
        uint32_t pixel = 0;
        for (int64_t i = header.bits / 8; i-- > 0;) pixel = pixel << 8 | from[x * header.bits / 8 + i];
        for (const uint32_t mask : header.masks) *to++ = field(pixel, mask);
      }
    }
  }
  return raster;
}

}  // namespace vmae::io
