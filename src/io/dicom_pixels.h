#pragma once
// Raw frames into the numbers that a Volume stores: bits cut out and sign extended, palettes and YBR turned into RGB, channels side by side.
#include <array>
#include <vector>

#include "dicom_frames.h"
#include "vmae/io/image.h"

namespace vmae::io {

struct Palette {
  std::array<std::vector<uint16_t>, 3> entries;
  std::array<int64_t, 3> first{};  // stored number of the first entry
};

// Red, green and blue lookup tables, segmented ones too. Throws Error(data).
Palette read_palette(const DicomFile& file, bool is_signed);

// rows * columns * channels numbers of stored_type_of(pixels), to `to`.
void unpack_frame(const RawFrame& raw, const PixelFormat& pixels, const Palette& palette, const std::filesystem::path& path, std::byte* to);

// Padded numbers become the lowest other number of the slice, so that statistics don't see them; a slice of nothing but padding stays. True if there was
// padding.
void replace_padding(StoredType type, std::byte* slice, size_t num_values, const std::array<double, 2>& padding);

// MONOCHROME1 to MONOCHROME2 within the range of the stored bits: v -> 2^bits - 1 - v, or -1 - v where signed; floats -v.
void invert(const PixelFormat& pixels, std::byte* slice, size_t num_values);

}  // namespace vmae::io
