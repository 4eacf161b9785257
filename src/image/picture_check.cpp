// Walks the outer structure of each format: PNG chunks with their CRCs (PNG specification, 5), JPEG
// marker segments to the end marker (ITU T.81, annex B), every TIFF directory and the strips or tiles
// it points to (TIFF 6.0, section 2; BigTIFF), the BMP header. Sizes that no picture has are refused.
#include "picture_check.h"

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

#include "vmae/core/text.h"
#include "vmae/image/picture_decode.h"

namespace vmae::io {
namespace {

constexpr uint64_t kMaxSide = 1 << 16, kMaxPixels = 1 << 28;

std::string check_size(uint64_t width, uint64_t height) {
  if (width == 0 || height == 0) return concat("has no pixels (", width, " x ", height, ")");
  if (width > kMaxSide || height > kMaxSide || width * height > kMaxPixels) {
    return concat("claims ", width, " x ", height, " pixels; at most ", kMaxSide, " a side and ", kMaxPixels,
                  " in all are read");
  }
  return "";
}

// An unsigned integer of `size` bytes; 0 beyond the end, which the callers check.
uint64_t number(std::string_view bytes, size_t at, size_t size, bool big_endian) {
  uint64_t value = 0;
  if (at > bytes.size() || size > bytes.size() - at) return 0;
  for (size_t i = 0; i < size; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[big_endian ? at + i : at + size - 1 - i]);
  return value;
}

std::string of_several(uint64_t count, const char* what) {
  return concat("is ", what, " of ", count,
                " pictures, which is not read: save the one that is meant, or each as a file of its own");
}

std::string check_png(std::string& bytes) {
  const std::string_view view = bytes;
  std::string kept = bytes.substr(0, 8);
  for (size_t at = 8; at + 12 <= view.size();) {
    const uint64_t length = number(view, at, 4, true);
    const std::string_view type = view.substr(at + 4, 4);
    if (length > view.size() - at - 12) break;
    const uint64_t crc = crc32(0, reinterpret_cast<const Bytef*>(view.data() + at + 4), static_cast<uInt>(length + 4));
    if (crc != number(view, at + 8 + length, 4, true))
      return concat("is damaged: wrong checksum in its PNG chunk at byte ", at);
    if (type == "IHDR") {
      if (std::string problem = check_size(number(view, at + 8, 4, true), number(view, at + 12, 4, true));
          !problem.empty())
        return problem;
    }
    if (type == "acTL" && number(view, at + 8, 4, true) > 1)
      return of_several(number(view, at + 8, 4, true), "an animated PNG");
    if (type == "IHDR" || type == "PLTE" || type == "IDAT" || type == "IEND" || type == "eXIf")
      kept += view.substr(at, length + 12);
    if (type == "IEND") {
      bytes = std::move(kept);
      return "";
    }
    at += length + 12;
  }
  return "is cut off: a PNG without its end";
}

// Height and width as one number, of the first frame header at or after `at`; 0: there is none.
uint64_t jpeg_size(std::string_view bytes, size_t at) {
  for (at += 2; at + 9 <= bytes.size() && bytes[at] == '\xFF'; at += 2 + number(bytes, at + 2, 2, true)) {
    const auto marker = static_cast<unsigned char>(bytes[at + 1]);
    if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC)
      return number(bytes, at + 5, 4, true);
  }
  return 0;
}

// Pictures of their own in a multi-picture file (CIPA DC-007), whose list of pictures is a TIFF directory
// at `start`. Thumbnails, and what is of another size than the first (gain maps of phones), are none.
uint64_t count_pictures(std::string_view bytes, size_t start) {
  const bool is_big_endian = number(bytes, start, 2, true) == 0x4D4D;
  const auto at = [&](size_t place, size_t size) { return number(bytes, start + place, size, is_big_endian); };
  const size_t directory = at(4, 4);
  const uint64_t size = jpeg_size(bytes, 0);
  uint64_t count = 1;
  for (size_t i = 0; i < at(directory, 2); ++i) {
    const size_t entry = directory + 2 + 12 * i;
    if (at(entry, 2) != 0xB002) continue;
    const size_t list = at(entry + 8, 4);
    for (size_t k = 1; k < std::min<uint64_t>(at(entry + 4, 4) / 16, 256) && start + list + 16 * k < bytes.size();
         ++k) {
      const uint64_t kind = at(list + 16 * k, 4) & 0xFFFFFF, picture = start + at(list + 16 * k + 8, 4);
      const bool is_alike = kind == 0 && size == jpeg_size(bytes, picture);
      count += kind >> 16 == 2 || is_alike ? 1 : 0;
    }
    break;
  }
  return count;
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
        if (std::string problem = check_size(number(bytes, at + 7, 2, true), number(bytes, at + 5, 2, true));
            !problem.empty())
          return problem;
      }
      if (marker == 0xE2 && at + 8 <= bytes.size() && bytes.substr(at + 4, 4) == std::string_view("MPF\0", 4)) {
        if (const uint64_t count = count_pictures(bytes, at + 8); count > 1)
          return of_several(count, "a multi-picture JPEG");
      }
      at += 2 + number(bytes, at + 2, 2, true);
    }
  }
  return "is cut off: a JPEG without its end marker";
}

// Where a TIFF has what: BigTIFF counts with 64 bits where TIFF has 32 or 16.
struct TiffReader {
  std::string_view bytes;
  bool is_big_endian, is_bigtiff;
  uint64_t num_values_left;  // of strips and tiles: pages that all point to one list would make it endless

  uint64_t at(size_t where, size_t size) const { return number(bytes, where, size, is_big_endian); }

  static size_t bytes_of_type(uint64_t type) {
    if (type == 3) return 2;
    return type == 16 ? 8 : 4;
  }

  // The values of one directory entry (integers), wherever they are stored.
  std::vector<uint64_t> values(size_t entry) {
    const uint64_t type = at(entry + 2, 2), count = is_bigtiff ? at(entry + 4, 8) : at(entry + 4, 4);
    const size_t size = bytes_of_type(type), inside = is_bigtiff ? 8 : 4, field = entry + (is_bigtiff ? 12 : 8);
    const size_t from = count <= inside / size ? field : at(field, inside);
    std::vector<uint64_t> found;
    for (uint64_t i = 0;
         i < count && from < bytes.size() && (i + 1) * size <= bytes.size() - from && num_values_left > 0;
         ++i, --num_values_left)
      found.push_back(at(from + i * size, size));
    return found;
  }
};

// One directory; `next` becomes the place of the one that follows.
std::string check_directory(TiffReader& tiff, size_t directory, uint64_t& next) {
  const size_t entry_bytes = tiff.is_bigtiff ? 20 : 12, count_bytes = tiff.is_bigtiff ? 8 : 2,
               next_bytes = tiff.is_bigtiff ? 8 : 4, size = tiff.bytes.size();
  const uint64_t num_entries = tiff.at(directory, count_bytes);
  if (num_entries == 0 || directory > size || num_entries > size / entry_bytes ||
      directory + count_bytes + entry_bytes * num_entries + next_bytes > size)
    return "is cut off: a TIFF without its directory";
  uint64_t width = 0, height = 0;
  std::vector<uint64_t> offsets, lengths;
  for (uint64_t i = 0; i < num_entries; ++i) {
    const size_t entry = directory + count_bytes + entry_bytes * i;
    const uint64_t tag = tiff.at(entry, 2);
    if (tag == 33629) {  // UIC2, one rational for each plane
      const uint64_t num_planes = tiff.is_bigtiff ? tiff.at(entry + 4, 8) : tiff.at(entry + 4, 4);
      if (num_planes > 1)
        return concat("is a MetaMorph stack of ", num_planes,
                      " planes behind one directory, which is not read: save it as a TIFF of pages");
    }
    if (tag != 256 && tag != 257 && tag != 273 && tag != 324 && tag != 279 && tag != 325) continue;
    std::vector<uint64_t> values = tiff.values(entry);
    if (values.empty()) continue;
    if (tag == 256) width = values[0];
    if (tag == 257) height = values[0];
    if (tag == 273 || tag == 324)
      offsets = std::move(values);
    else if (tag == 279 || tag == 325)
      lengths = std::move(values);
  }
  for (size_t i = 0; i < offsets.size() && i < lengths.size(); ++i) {
    if (offsets[i] > size || lengths[i] > size - offsets[i]) return "is cut off: a TIFF without all of its pixels";
  }
  next = tiff.at(directory + count_bytes + entry_bytes * num_entries, next_bytes);
  return check_size(width, height);
}

std::string check_tiff(std::string_view bytes) {
  const bool is_big_endian = bytes[0] == 'M';
  const bool is_bigtiff = number(bytes, 2, 2, is_big_endian) == 43;
  TiffReader tiff{bytes, is_big_endian, is_bigtiff, bytes.size() + 64};
  std::set<uint64_t> seen;
  uint64_t directory = is_bigtiff ? tiff.at(8, 8) : tiff.at(4, 4);
  do {
    if (!seen.insert(directory).second) return "is damaged: its TIFF directories go round in a circle";
    if (std::string problem = check_directory(tiff, directory, directory); !problem.empty())
      return concat(problem, seen.size() > 1 ? concat(" (page ", seen.size(), ")") : "");
  } while (directory != 0);
  return "";
}

std::string check_bmp(std::string_view bytes) {
  if (bytes.size() < 26 || number(bytes, 2, 4, false) > bytes.size())
    return "is cut off: a BMP shorter than its header says";
  const bool is_old = number(bytes, 14, 4, false) == 12;
  if (is_old) return check_size(number(bytes, 18, 2, false), number(bytes, 20, 2, false));
  const auto height = static_cast<int32_t>(number(bytes, 22, 4, false));  // negative: top row first
  return check_size(number(bytes, 18, 4, false), height < 0 ? -static_cast<int64_t>(height) : height);
}

}  // namespace

std::string check_picture(std::string& bytes) {
  const std::string_view view = bytes;
  if (view.empty()) return "is empty (0 bytes)";
  if (view.starts_with("\x89PNG\r\n\x1a\n")) return check_png(bytes);
  if (view.starts_with("\xFF\xD8\xFF")) return check_jpeg(view);
  if (is_tiff(view)) return check_tiff(view);
  if (view.starts_with("BM")) return check_bmp(view);
  return "is not a PNG, JPEG, TIFF or BMP picture, whatever its name says";
}

}  // namespace vmae::io
