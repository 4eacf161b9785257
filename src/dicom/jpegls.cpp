// ISO/IEC 14495-1 through CharLS 2, whose decoder is younger than the copy in
// DCMTK 3.6.7 (that one refuses 7 bit images, and has no limits of its own).
#include <charls/charls.h>

#include "frames.h"
#include "vmae/core/error.h"
#include "vmae/core/text.h"

namespace vmae::io {

void decode_jpegls(std::span<const uint8_t> stream, const PixelFormat& pixels, const std::filesystem::path& path,
                   RawFrame& to) {
  try {
    charls::jpegls_decoder decoder;
    decoder.source(stream.data(), stream.size()).read_header();
    const charls::frame_info& info = decoder.frame_info();
    if (info.width != pixels.columns || info.height != pixels.rows || info.component_count != pixels.samples ||
        info.bits_per_sample > pixels.bits_allocated) {
      fail_file(path,
                concat("its JPEG-LS stream has ", info.width, " x ", info.height, " pixels of ", info.component_count,
                       " components of ", info.bits_per_sample, " bits, which does not fit its header"));
    }
    to.bits_allocated = info.bits_per_sample <= 8 ? 8 : 16;
    to.is_by_plane = decoder.interleave_mode() == charls::interleave_mode::none;
    to.bytes.resize(decoder.destination_size());
    decoder.decode(to.bytes);
  } catch (const charls::jpegls_error&) {
    fail_file(path, "its JPEG-LS stream can't be decoded", "the file is probably cut off or damaged");
  }
}

}  // namespace vmae::io
