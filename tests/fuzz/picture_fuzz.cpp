// PNG, JPEG, TIFF and BMP, as images and as masks. Checksums of PNG
// chunks are put right first, so that changed bytes get past them.
#include <zlib.h>

#include "scratch_file.h"
#include "vmae/core/error.h"
#include "vmae/image/picture.h"

namespace {

uint32_t big_endian(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

void repair_png(std::string& bytes) {
  for (size_t at = 8; at + 12 <= bytes.size();) {
    const size_t length = big_endian(bytes, at);
    if (length > bytes.size() - at - 12) return;
    const uLong crc = crc32(0, reinterpret_cast<const Bytef*>(bytes.data() + at + 4), static_cast<uInt>(length + 4));
    for (size_t i = 0; i < 4; ++i) bytes[at + 8 + length + i] = static_cast<char>(crc >> (24 - 8 * i));
    at += length + 12;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(vmae::test::text_of(data, size));
  if (bytes.starts_with("\x89PNG\r\n\x1a\n")) repair_png(bytes);
  const vmae::test::ScratchFile file("input.tif", bytes);  // so that pages of a TIFF are read too
  const auto check = [](const vmae::io::Volume& volume) {
    if (volume.stored.size() != static_cast<size_t>(volume.num_values()) * vmae::io::size_of(volume.type) ||
        volume.stored.empty())
      std::abort();
    if (volume.channels != 1 && volume.channels != 3) std::abort();
  };
  try {
    const vmae::io::Volume volume = vmae::io::picture_volume(file.path());
    check(volume);
    const auto header = vmae::io::picture_header(file.path());
    if (header ? header->size != volume.size : volume.size[2] != 1) std::abort();
  } catch (const vmae::Error&) {
  }
  try {
    check(vmae::io::read_label_picture(file.path()).volume);
  } catch (const vmae::Error&) {
  }
  return 0;
}
