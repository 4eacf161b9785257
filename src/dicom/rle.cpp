// PS3.5 annex G. 64 bytes of header: number of segments and 15 offsets, little endian; every segment is one
// byte of one sample of all pixels, most significant byte first, as PackBits: n < 128 copies n + 1 bytes, n >
// 128 repeats a byte 257 - n times, 128 does nothing. Images of one bit are one segment of packed bits. Not
// DCMTK's decoder: that of 3.6.7 reads beyond its buffer where offsets are wrong, and knows no single bits.
#include <algorithm>
#include <cstring>

#include "frames.h"
#include "vmae/core/error.h"
#include "vmae/core/text.h"

namespace vmae::io {
namespace {

constexpr size_t kHeader = 64;

uint32_t word(std::span<const uint8_t> stream, size_t index) {
  uint32_t value = 0;
  std::memcpy(&value, stream.data() + 4 * index, 4);
  return value;
}

// The first `size` bytes of one segment, each `stride` bytes after the other; false if it has fewer.
bool unpack_bits(std::span<const uint8_t> from, size_t size, uint8_t* to, size_t stride) {
  size_t done = 0;
  for (size_t i = 0; i < from.size() && done < size;) {
    const unsigned code = from[i++];
    if (code == 128) continue;
    const bool is_run = code > 128;
    const size_t length = is_run ? 257 - code : code + 1;
    if (from.size() - i < (is_run ? 1 : length)) return false;
    for (size_t k = 0; k < length && done < size; ++k) to[stride * done++] = from[is_run ? i : i + k];
    i += is_run ? 1 : length;
  }
  return done == size;
}

}  // namespace

void decode_rle(std::span<const uint8_t> stream, const PixelFormat& pixels, const std::filesystem::path& path,
                RawFrame& to) {
  const auto fail = [&] {
    fail_file(path, "its run lengths can't be decoded", "the file is probably cut off or damaged");
  };
  const auto num_pixels = static_cast<size_t>(pixels.rows * pixels.columns),
             samples = static_cast<size_t>(pixels.samples);
  const bool is_packed = pixels.bits_allocated == 1;
  const size_t bytes = is_packed ? 1 : static_cast<size_t>(pixels.bits_allocated) / 8;
  const size_t segment_bytes = is_packed ? (num_pixels + 7) / 8 : num_pixels;
  if (stream.size() < kHeader || word(stream, 0) != samples * bytes || samples * bytes > 15) fail();
  // Two bytes give 128 at most: before memory is taken.
  if (segment_bytes / 64 > stream.size()) fail();
  to.bytes.resize(segment_bytes * samples * bytes);
  to.is_by_plane = samples > 1;
  for (size_t i = 0; i < samples * bytes; ++i) {
    const size_t begin = word(stream, 1 + i), end = i + 1 < samples * bytes ? word(stream, 2 + i) : stream.size();
    if (begin < kHeader || end < begin || end > stream.size()) fail();
    uint8_t* const plane = to.bytes.data() + segment_bytes * bytes * (i / bytes) + (bytes - 1 - i % bytes);
    if (!unpack_bits(stream.subspan(begin, end - begin), segment_bytes, plane, bytes)) fail();
  }
}

}  // namespace vmae::io
