#pragma once
// Raw frames into the numbers that a Volume stores: bits cut out and sign
// extended, palettes and YBR turned into RGB, channels side by side.
#include <array>
#include <vector>

#include "frames.h"
#include "vmae/image/image.h"

namespace vmae::io {

struct Palette {
  std::array<std::vector<uint16_t>, 3> entries;
  std::array<int64_t, 3> first{};  // stored number of the first entry
};

// Red, green and blue lookup tables, segmented ones too. Throws Error(data).
Palette read_palette(const DicomFile& file, bool is_signed);

// rows * columns * channels numbers of stored_type_of(pixels), to `to`.
void unpack_frame(const RawFrame& raw, const PixelFormat& pixels, const Palette& palette,
                  const std::filesystem::path& path, std::byte* to);

// Which pixels of a grey frame are padding. slice: the frame unpacked. A range that the stored
// bits can't reach (63536 in 12 of 16 bits) is looked for in the words as they are in the file.
std::vector<bool> find_padding(const RawFrame& raw, const PixelFormat& pixels, const std::byte* slice,
                               const std::array<double, 2>& range);

// Whether words of a frame have bits above its high bit that are cut off, other
// than those of padding and of a repeated sign. is_padding: may be empty.
bool has_bits_above(const RawFrame& raw, const PixelFormat& pixels, const std::vector<bool>& is_padding);

// Padding becomes the lowest other number of the slice, so that
// statistics don't see it; a slice of nothing but padding stays.
void fill_padding(StoredType type, std::byte* slice, const std::vector<bool>& is_padding);

// MONOCHROME1 to MONOCHROME2 within the range of the stored
// bits: v -> 2^bits - 1 - v, or -1 - v where signed; floats -v.
void invert(const PixelFormat& pixels, std::byte* slice, size_t num_values);

}  // namespace vmae::io
