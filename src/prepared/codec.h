#pragma once
// Lossless compression of one slice: each row minus the row above (wrapping integers),
// bytes of equal weight together, then Zstandard. Smooth images and those with few of
// their 16 bits in use shrink well, and undoing it is additions of whole rows.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace vmae::io {

struct PixelLayout {
  size_t num_rows = 0, row_values = 0;  // values in a row: width * channels
  size_t value_bytes = 1;               // 1, 2, 4 or 8
  size_t bytes() const { return num_rows * row_values * value_bytes; }
};

enum class Filter : uint8_t { none = 0, up = 1 };

// The shorter of both filters; `pixels` has layout.bytes() bytes.
struct Compressed {
  Filter filter;
  std::string bytes;
};
Compressed compress(std::span<const std::byte> pixels, const PixelLayout& layout);
std::string compress_mask(std::span<const std::byte> mask);  // Filter::none

// Inverse, into layout.bytes() bytes. Throws Error(data) where the bytes are not of that
// size once unpacked. Thread-safe; allocates only at a thread's first and largest calls.
void decompress(std::string_view bytes, Filter filter, const PixelLayout& layout, std::byte* pixels);

}  // namespace vmae::io
