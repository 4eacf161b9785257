#pragma once
// The frames of one file out of their transfer syntax, one at a time, as plain numbers.
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "file.h"
#include "header.h"

namespace vmae::io {

// Little endian numbers of `bits_allocated` (8, 16, 32; 1: packed, lowest bit
// first; 64: double) with the value in the bits below and including `high_bit`.
struct RawFrame {
  std::vector<uint8_t> bytes;
  int bits_allocated = 8, bits_stored = 8, high_bit = 7;
  bool is_by_plane = false;
  std::string photometric;  // after decoding: codecs turn most YBR into RGB
};

class FrameReader {
 public:
  // Throws Error(data) if the transfer syntax is not supported,
  // naming it, or the pixel data are shorter than the header says.
  FrameReader(const DicomFile& file, const DicomHeader& header);
  ~FrameReader();
  void read(int64_t frame, RawFrame& to);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

// Why a transfer syntax can't be decoded, or "".
std::string transfer_syntax_problem(const std::string& uid);

// One JPEG 2000 or HTJ2K codestream, with or without JP2 boxes,
// through OpenJPEG. Sizes other than the header's are an Error(data).
void decode_jpeg2000(std::span<const uint8_t> stream, const PixelFormat& pixels, const std::filesystem::path& path,
                     RawFrame& to);

// One frame of run lengths.
void decode_rle(std::span<const uint8_t> stream, const PixelFormat& pixels, const std::filesystem::path& path,
                RawFrame& to);

// One JPEG-LS stream, through CharLS.
void decode_jpegls(std::span<const uint8_t> stream, const PixelFormat& pixels, const std::filesystem::path& path,
                   RawFrame& to);

// Size and precision that a JPEG stream claims (its SOF marker),
// before a codec sees it. `columns` is 0 if there is no such marker.
struct JpegFrameSize {
  int rows = 0, columns = 0, components = 0, precision = 0;
};
JpegFrameSize jpeg_frame_size(std::span<const uint8_t> stream);

}  // namespace vmae::io
