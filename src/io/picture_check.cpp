// Walks the outer structure of each format: PNG chunks with their CRCs (PNG specification, 5), JPEG marker segments to the end marker (ITU T.81, annex B),
// the first TIFF directory and the strips or tiles it points to (TIFF 6.0, section 2), the BMP header. Sizes that no picture has are refused.
#include "picture_check.h"

#include <zlib.h>

#include <cstdint>
#include <vector>

#include "vmae/core/text.h"

namespace vmae::io {
namespace {

constexpr uint64_t kMaxSide = 1 << 16, kMaxPixels = 1 << 28;

std::string check_size(uint64_t width, uint64_t height) {
  if (width == 0 || height == 0) return concat("has no pixels (", width, " x ", height, ")");
  if (width > kMaxSide || height > kMaxSide || width * height > kMaxPixels) {
    return concat("claims ", width, " x ", height, " pixels; at most ", kMaxSide, " a side and ", kMaxPixels, " in all are read");
  }
  return "";
}

// An unsigned integer of `size` bytes; 0 beyond the end, which the callers check.
uint64_t number(std::string_view bytes, size_t at, size_t size, bool big_endian) {
  uint64_t value = 0;
  if (at > bytes.size() || size > bytes.size() - at) return 0;
  for (size_t i = 0; i < size; ++i) value = value << 8 | static_cast<unsigned char>(bytes[big_endian ? at + i : at + size - 1 - i]);
  return value;
}

std::string check_png(std::string& bytes) {
  const std::string_view view = bytes;
  std::string kept = bytes.substr(0, 8);
  for (size_t at = 8; at + 12 <= view.size();) {
    const uint64_t length = number(view, at, 4, true);
    const std::string_view type = view.substr(at + 4, 4);
    if (length > view.size() - at - 12) break;
    const uint64_t crc = crc32(0, reinterpret_cast<const Bytef*>(view.data() + at + 4), static_cast<uInt>(length + 4));
    if (crc != number(view, at + 8 + length, 4, true)) return concat("is damaged: wrong checksum in its PNG chunk at byte ", at);
    if (type == "IHDR") {
      if (std::string problem = check_size(number(view, at + 8, 4, true), number(view, at + 12, 4, true)); !problem.empty()) return problem;
    }
    if (type == "IHDR" || type == "PLTE" || type == "IDAT" || type == "IEND" || type == "eXIf") kept += view.substr(at, length + 12);
    if (type == "IEND") {
      bytes = std::move(kept);
      return "";
    }
    at += length + 12;
  }
  return "is cut off: a PNG without its end";
}

std::string check_jpeg(std::string_view bytes) {
  for (size_t at = 2; at < bytes.size() - 1;) {
    if (bytes[at] != '\xFF') {
      at = bytes.find('\xFF', at);  // entropy-coded data, or padding
      continue;
    }
    const auto marker = static_cast<unsigned char>(bytes[at + 1]);
    if (marker == 0xD9) return "";
    if (marker == 0xFF) {
      ++at;
    } else if (marker == 0x00 || marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) {
      at += 2;  // a stuffed byte, or a marker without a segment
    } else {
      if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) {
        if (std::string problem = check_size(number(bytes, at + 7, 2, true), number(bytes, at + 5, 2, true)); !problem.empty()) return problem;
      }
      at += 2 + number(bytes, at + 2, 2, true);
    }
  }
  return "is cut off: a JPEG without its end marker";
}

// The values of one directory entry (short or long), wherever they are stored.
std::vector<uint64_t> tiff_values(std::string_view bytes, size_t entry, bool big) {
  const size_t size = number(bytes, entry + 2, 2, big) == 3 ? 2 : 4;
  const uint64_t count = number(bytes, entry + 4, 4, big);
  const size_t at = count * size <= 4 ? entry + 8 : number(bytes, entry + 8, 4, big);
  std::vector<uint64_t> values;
  for (uint64_t i = 0; i < count && at + (i + 1) * size <= bytes.size(); ++i) values.push_back(number(bytes, at + i * size, size, big));
  return values;
}

std::string check_tiff(std::string_view bytes) {
  const bool big = bytes[0] == 'M';
  const size_t directory = number(bytes, 4, 4, big);
  const uint64_t num_entries = number(bytes, directory, 2, big);
  if (num_entries == 0 || directory + 2 + 12 * num_entries + 4 > bytes.size()) return "is cut off: a TIFF without its directory";
  uint64_t width = 0, height = 0, bits = 1, format = 1;
  std::vector<uint64_t> offsets, lengths;
  for (uint64_t i = 0; i < num_entries; ++i) {
    const size_t entry = directory + 2 + 12 * i;
    const uint64_t tag = number(bytes, entry, 2, big);
    std::vector<uint64_t> values = tiff_values(bytes, entry, big);
    if (values.empty()) continue;
    if (tag == 256) width = values[0];
    if (tag == 257) height = values[0];
    if (tag == 258) bits = values[0];
    if (tag == 339) format = values[0];
    if (tag == 273 || tag == 324)
      offsets = std::move(values);
    else if (tag == 279 || tag == 325)
      lengths = std::move(values);
  }
  if (format == 2 || (bits > 16 && format != 3))
    return concat("is a TIFF of ", bits, "-bit ", format == 2 ? "signed " : "", "integers; 8 and 16 bit unsigned and floats are read");
  for (size_t i = 0; i < offsets.size() && i < lengths.size(); ++i) {
    if (offsets[i] + lengths[i] > bytes.size()) return "is cut off: a TIFF without all of its pixels";
  }
  return check_size(width, height);
}

std::string check_bmp(std::string_view bytes) {
  if (bytes.size() < 26 || number(bytes, 2, 4, false) > bytes.size()) return "is cut off: a BMP shorter than its header says";
  const bool is_old = number(bytes, 14, 4, false) == 12;
  const auto height = static_cast<int32_t>(number(bytes, 22, 4, false));  // negative: top row first
  return is_old ? check_size(number(bytes, 18, 2, false), number(bytes, 20, 2, false))
                : check_size(number(bytes, 18, 4, false), height < 0 ? -static_cast<int64_t>(height) : height);
}

}  // namespace

std::string check_picture(std::string& bytes) {
  const std::string_view view = bytes;
  if (view.empty()) return "is empty (0 bytes)";
  if (view.starts_with("\x89PNG\r\n\x1a\n")) return check_png(bytes);
  if (view.starts_with("\xFF\xD8\xFF")) return check_jpeg(view);
  if (view.starts_with(std::string_view("II*\0", 4)) || view.starts_with(std::string_view("MM\0*", 4))) return check_tiff(view);
  if (view.starts_with(std::string_view("II+\0", 4)) || view.starts_with(std::string_view("MM\0+", 4))) return "";  // BigTIFF: left to libtiff
  if (view.starts_with("BM")) return check_bmp(view);
  return "is not a PNG, JPEG, TIFF or BMP picture, whatever its name says";
}

}  // namespace vmae::io
