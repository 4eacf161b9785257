// PNG through libpng. It leaves by longjmp, so what it works on
// belongs to callers: no function that calls setjmp owns anything.
#include <png.h>

#include <csetjmp>
#include <cstring>

#include "vmae/core/error.h"
#include "vmae/image/picture_decode.h"

namespace vmae::io {
namespace {

struct Png {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::string_view rest;  // of the file
  std::string written;
  std::array<char, 200> problem{};

  Png() = default;
  Png(const Png&) = delete;
  Png& operator=(const Png&) = delete;
};

void on_error(png_structp png, png_const_charp message) {
  auto& own = *static_cast<Png*>(png_get_error_ptr(png));
  std::strncpy(own.problem.data(), message, own.problem.size() - 1);
  png_longjmp(png, 1);
}
void on_warning(png_structp, png_const_charp) {}

void take_bytes(png_structp png, png_bytep to, size_t size) {
  auto& own = *static_cast<Png*>(png_get_io_ptr(png));
  if (size > own.rest.size()) png_error(png, "it ends too soon");
  std::memcpy(to, own.rest.data(), size);
  own.rest.remove_prefix(size);
}

struct PngReader : Png {
  explicit PngReader(std::string_view bytes) {
    rest = bytes;
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    info = png != nullptr ? png_create_info_struct(png) : nullptr;
    if (info == nullptr) {
      png_destroy_read_struct(&png, nullptr, nullptr);
      throw std::bad_alloc();
    }
    png_set_read_fn(png, this, take_bytes);
  }
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }
};

// Up to the pixels. After it the rows are samples: one or more to a byte each, 16 bits in our order.
bool read_info(PngReader& reader) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_set_user_limits(reader.png, 1 << 16, 1 << 16);
  png_set_crc_action(reader.png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);  // check_picture has looked
  png_read_info(reader.png, reader.info);
  png_set_packing(reader.png);
  png_set_swap(reader.png);
  return true;
}

bool read_rows(PngReader& reader, png_bytep rows, size_t row_bytes, size_t num_rows) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  const int num_passes = png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
  if (png_get_rowbytes(reader.png, reader.info) != row_bytes) png_error(reader.png, "its rows are of another length");
  for (int pass = 0; pass < num_passes; ++pass) {
    for (size_t row = 0; row < num_rows; ++row) png_read_row(reader.png, rows + row * row_bytes, nullptr);
  }
  png_read_end(reader.png, nullptr);
  return true;
}

[[noreturn]] void fail_png(const Png& png) { fail_picture(concat("can't be decoded: ", png.problem.data())); }

struct Writer : Png {
  Writer() {
    png = png_create_write_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    info = png != nullptr ? png_create_info_struct(png) : nullptr;
    if (info == nullptr) {
      png_destroy_write_struct(&png, nullptr);
      throw std::bad_alloc();
    }
  }
  ~Writer() { png_destroy_write_struct(&png, &info); }
};

void give_bytes(png_structp png, png_bytep from, size_t size) {
  auto& own = *static_cast<Png*>(png_get_io_ptr(png));
  bool is_full = false;
  try {
    own.written.append(reinterpret_cast<const char*>(from), size);
  } catch (const std::exception&) {  // must not pass through libpng
    is_full = true;
  }
  if (is_full) png_error(png, "out of memory");
}

bool write_all(Writer& writer, const unsigned char* pixels, png_uint_32 height, png_uint_32 width, size_t channels) {
  if (setjmp(png_jmpbuf(writer.png))) return false;
  png_set_write_fn(writer.png, &writer, give_bytes, nullptr);
  png_set_compression_level(writer.png, 6);  // a quarter of the size of the fastest
  png_set_IHDR(writer.png, writer.info, width, height, 8, channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY,
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(writer.png, writer.info);
  for (size_t row = 0; row < height; ++row) png_write_row(writer.png, pixels + row * width * channels);
  png_write_end(writer.png, nullptr);
  return true;
}

}  // namespace

Palette png_palette(std::string_view bytes) {
  constexpr size_t kFirst = 8, kFrame = 12;  // of a chunk: length, name, checksum
  Palette palette;
  for (size_t at = kFirst; at + kFrame <= bytes.size();) {
    size_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(bytes[at + i]);
    const std::string_view name = bytes.substr(at + 4, 4),
                           data = bytes.substr(at + 8, std::min(length, bytes.size() - at - 8));
    const bool is_indexed = name != "IHDR" || (data.size() > 9 && data[9] == PNG_COLOR_TYPE_PALETTE);
    if (!is_indexed || name == "IDAT" || data.size() < length) break;
    for (size_t i = 0; name == "PLTE" && i + 2 < length; i += 3)
      palette.push_back(
          {static_cast<uint8_t>(data[i]), static_cast<uint8_t>(data[i + 1]), static_cast<uint8_t>(data[i + 2])});
    at += kFrame + length;
  }
  return palette;
}

Raster decode_png(std::string_view bytes) {
  PngReader reader(bytes);
  if (!read_info(reader)) fail_png(reader);
  Raster raster;
  raster.width = png_get_image_width(reader.png, reader.info);
  raster.height = png_get_image_height(reader.png, reader.info);
  const png_byte colour = png_get_color_type(reader.png, reader.info);
  raster.bits = png_get_bit_depth(reader.png, reader.info);
  raster.channels = (colour & PNG_COLOR_MASK_COLOR) != 0 && colour != PNG_COLOR_TYPE_PALETTE ? 3 : 1;
  if (raster.bits == 16) {
    raster.type = StoredType::u16;
    raster.stored_max = 65535;
  }
  if (colour == PNG_COLOR_TYPE_PALETTE) {
    png_colorp entries = nullptr;
    int count = 0;
    png_get_PLTE(reader.png, reader.info, &entries, &count);
    for (int i = 0; i < count; ++i) raster.palette.push_back({entries[i].red, entries[i].green, entries[i].blue});
    if (raster.palette.empty()) fail_picture("can't be decoded: it has no palette");
  }
  png_uint_32 exif_size = 0;
  png_bytep exif = nullptr;
  if (png_get_eXIf_1(reader.png, reader.info, &exif_size, &exif) != 0)
    raster.orientation = exif_orientation({reinterpret_cast<const char*>(exif), exif_size});
  const bool has_alpha = (colour & PNG_COLOR_MASK_ALPHA) != 0;
  const size_t row_bytes =
      static_cast<size_t>(raster.width * (raster.channels + (has_alpha ? 1 : 0))) * size_of(raster.type);
  // Deflate makes at most 1032 bytes of one: a header can't have gigabytes allocated for a file of a few bytes.
  if (row_bytes * static_cast<size_t>(raster.height) / 8 > 1100 * bytes.size() + 4096)
    fail_picture(concat("claims ", raster.width, " x ", raster.height, " pixels, more than its bytes can hold"));
  raster.bytes.resize(row_bytes * static_cast<size_t>(raster.height));
  if (!read_rows(reader, reinterpret_cast<png_bytep>(raster.bytes.data()), row_bytes,
                 static_cast<size_t>(raster.height)))
    fail_png(reader);
  if (has_alpha) split_alpha(raster);
  return raster;
}

std::string encode_png_bytes(const unsigned char* pixels, int64_t height, int64_t width, int64_t channels) {
  Writer writer;
  if (!write_all(writer, pixels, static_cast<png_uint_32>(height), static_cast<png_uint_32>(width),
                 static_cast<size_t>(channels)))
    throw Error(ExitCode::internal, concat("can't write a PNG of ", width, " x ", height, ": ", writer.problem.data()));
  return std::move(writer.written);
}

}  // namespace vmae::io
