#include "tiff_pixels.h"

#include <tiffio.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "vmae/core/text.h"

namespace vmae::io {
namespace {

float half_magnitude(int exponent, int fraction) {
  if (exponent == 0) return std::ldexp(static_cast<float>(fraction), -24);
  if (exponent == 31) return fraction == 0 ? INFINITY : NAN;
  return std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
}

float from_half(uint16_t half) {
  const float value = half_magnitude(half >> 10 & 31, half & 1023);
  return (half & 0x8000) != 0 ? -value : value;
}

template <class T>
T stored_at(const unsigned char* row, size_t i) {
  T value;
  std::memcpy(&value, row + i * sizeof(T), sizeof(T));
  return value;
}

// Sample i of a row whose samples have fewer than 8, or 9 to 15 bits, the highest first.
uint16_t packed_at(const unsigned char* row, size_t i, size_t bits) {
  uint32_t value = 0;
  for (size_t bit = i * bits; bit < (i + 1) * bits; ++bit) value = value << 1 | (row[bit / 8] >> (7 - bit % 8) & 1);
  return static_cast<uint16_t>(value);
}

// Calls use(type of the result, function that gives sample i of a row).
template <class Use>
void with_samples(const TiffPage& page, const Use& use) {
  const size_t bits = page.bits;
  using Row = const unsigned char*;
  if (page.format == SAMPLEFORMAT_UINT) {
    if (bits == 8) return use(StoredType::u8, [](Row row, size_t i) { return row[i]; });
    if (bits == 16) return use(StoredType::u16, [](Row row, size_t i) { return stored_at<uint16_t>(row, i); });
    if (bits == 32) return use(StoredType::u32, [](Row row, size_t i) { return stored_at<uint32_t>(row, i); });
    if (bits == 64)
      return use(StoredType::f64, [](Row row, size_t i) { return static_cast<double>(stored_at<uint64_t>(row, i)); });
    if (bits < 8)
      return use(StoredType::u8, [bits](Row row, size_t i) { return static_cast<uint8_t>(packed_at(row, i, bits)); });
    return use(StoredType::u16, [bits](Row row, size_t i) { return packed_at(row, i, bits); });
  }
  if (page.format == SAMPLEFORMAT_INT) {
    if (bits == 8) return use(StoredType::i8, [](Row row, size_t i) { return stored_at<int8_t>(row, i); });
    if (bits == 16) return use(StoredType::i16, [](Row row, size_t i) { return stored_at<int16_t>(row, i); });
    if (bits == 32) return use(StoredType::i32, [](Row row, size_t i) { return stored_at<int32_t>(row, i); });
    return use(StoredType::f64, [](Row row, size_t i) { return static_cast<double>(stored_at<int64_t>(row, i)); });
  }
  if (bits == 16) return use(StoredType::f32, [](Row row, size_t i) { return from_half(stored_at<uint16_t>(row, i)); });
  if (bits == 32) return use(StoredType::f32, [](Row row, size_t i) { return stored_at<float>(row, i); });
  return use(StoredType::f32, [](Row row, size_t i) { return static_cast<float>(stored_at<double>(row, i)); });
}

bool has_known_samples(const TiffPage& page) {
  const auto is_one_of = [&](std::initializer_list<int> all) {
    return std::find(all.begin(), all.end(), page.bits) != all.end();
  };
  if (page.format == SAMPLEFORMAT_UINT) return is_one_of({1, 2, 4, 8, 10, 12, 14, 16, 32, 64});
  if (page.format == SAMPLEFORMAT_INT) return is_one_of({8, 16, 32, 64});
  return page.format == SAMPLEFORMAT_IEEEFP && is_one_of({16, 32, 64});
}

const char* kind_of_samples(const TiffPage& page) {
  if (page.format == SAMPLEFORMAT_INT) return "-bit signed integers";
  if (page.format == SAMPLEFORMAT_UINT) return "-bit integers";
  return page.format == SAMPLEFORMAT_IEEEFP ? "-bit floats" : "-bit complex numbers";
}

void check_samples(const TiffPage& page) {
  if (has_known_samples(page)) return;
  fail_picture(concat("is a TIFF of ", page.bits, kind_of_samples(page),
                      "; integers of 1, 2, 4, 8, 10, 12, 14, 16, 32, 64 bits and floats of 16, 32, 64 are read"));
}

const char* photometric_name(uint16_t photometric) {
  switch (photometric) {
    case PHOTOMETRIC_MASK:
      return "transparency mask";
    case PHOTOMETRIC_CIELAB:
      return "CIE L*a*b*";
    case PHOTOMETRIC_ICCLAB:
      return "ICC L*a*b*";
    case PHOTOMETRIC_ITULAB:
      return "ITU L*a*b*";
    case PHOTOMETRIC_CFA:
      return "colour filter array";
    case PHOTOMETRIC_LOGL:
    case PHOTOMETRIC_LOGLUV:
      return "LogLuv";
    case 34892:
      return "linear raw";
    default:
      return "unknown";
  }
}

// Left to libtiff: 8-bit kinds that need more than picking samples.
bool needs_conversion(const TiffPage& page) {
  if (page.compression == COMPRESSION_OJPEG) return true;
  return page.photometric == PHOTOMETRIC_YCBCR && page.compression != COMPRESSION_JPEG;
}

// How many samples of a pixel mean something: 1 grey or index, 3 RGB, 4 CMYK.
int64_t wanted_samples(const TiffPage& page) {
  const auto check_extra = [&](int64_t own, bool may_be_unnamed) {
    if (page.samples < own)
      fail_picture(concat("is damaged: a TIFF of ", page.samples, " samples per pixel where its kind has ", own));
    const int64_t extra = page.samples - own;
    if (extra == 0 || (extra == 1 && (page.has_alpha || may_be_unnamed))) return own;
    fail_picture(concat("is a TIFF of ", page.samples, " samples per pixel, of which ", extra,
                        extra == 1 ? " is" : " are", " neither grey, colour nor alpha"),
                 "write each channel into a file of its own");
  };
  switch (page.photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
      return check_extra(1, false);
    case PHOTOMETRIC_PALETTE:
      if (page.format != SAMPLEFORMAT_UINT || page.bits > 8)
        fail_picture(concat("is a TIFF with a palette of ", page.bits, " bits; up to 8 are read"));
      return check_extra(1, true);
    case PHOTOMETRIC_RGB:
    case PHOTOMETRIC_YCBCR:
      return check_extra(3, true);
    case PHOTOMETRIC_SEPARATED:
      if (page.format != SAMPLEFORMAT_UINT || page.bits != 8)
        fail_picture(concat("is a CMYK TIFF of ", page.bits, " bits; 8 are read"));
      return check_extra(4, true);
    default:
      fail_picture(concat("is a TIFF of a photometric interpretation that is not read: ",
                          photometric_name(page.photometric), " (", page.photometric, ")"),
                   "save it as grey or RGB");
  }
}

// As libtiff sees it, the stored way up.
void read_converted(const TiffFile& file, Raster& raster) {
  TIFF* const tiff = file.get();
  std::array<char, 1024> problem{};
  if (TIFFRGBAImageOK(tiff, problem.data()) == 0)
    fail_picture(concat("can't be decoded: it is a TIFF of a kind that is not read (", problem.data(), ")"));
  std::vector<uint32_t> pixels(static_cast<size_t>(raster.width * raster.height));
  TIFFSetField(tiff, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);  // the turning comes later, as of all others
  if (TIFFReadRGBAImageOriented(tiff, static_cast<uint32_t>(raster.width), static_cast<uint32_t>(raster.height),
                                pixels.data(), ORIENTATION_TOPLEFT, 1) == 0)
    file.fail();
  raster.channels = 3;
  raster.bytes.resize(pixels.size() * 3);
  for (size_t i = 0; i < pixels.size(); ++i) {
    raster.bytes[3 * i] = static_cast<std::byte>(TIFFGetR(pixels[i]));
    raster.bytes[3 * i + 1] = static_cast<std::byte>(TIFFGetG(pixels[i]));
    raster.bytes[3 * i + 2] = static_cast<std::byte>(TIFFGetB(pixels[i]));
  }
}

// How the samples of a page lie in its file: in strips, or tiles, from the top left on.
struct Chunks {
  bool is_tiled = false;
  bool is_separate = false;           // each sample of a pixel lies in a plane of its own, with its own chunks
  uint32_t width = 0, height = 0;     // of one, in pixels
  tmsize_t bytes = 0, row_bytes = 0;  // of one, and of a row of it
  size_t samples = 1;                 // of a pixel that lie in one chunk
  uint64_t num_across = 0, num_down = 0;

  uint64_t num_in_plane() const { return num_across * num_down; }
};

Chunks chunks_of(const TiffFile& file, const TiffPage& page) {
  TIFF* const tiff = file.get();
  Chunks chunks;
  chunks.is_tiled = TIFFIsTiled(tiff) != 0;
  chunks.is_separate = page.planar == PLANARCONFIG_SEPARATE && page.samples > 1;
  chunks.width = page.width;
  chunks.height = page.height;
  if (chunks.is_tiled) {
    TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &chunks.width);
    TIFFGetField(tiff, TIFFTAG_TILELENGTH, &chunks.height);
  } else {
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ROWSPERSTRIP, &chunks.height);
    chunks.height = std::min(chunks.height, page.height);
  }
  chunks.bytes = chunks.is_tiled ? TIFFTileSize(tiff) : TIFFStripSize(tiff);
  chunks.row_bytes = chunks.is_tiled ? TIFFTileRowSize(tiff) : TIFFScanlineSize(tiff);
  chunks.samples = chunks.is_separate ? 1 : page.samples;
  if (chunks.width == 0 || chunks.height == 0 || chunks.bytes <= 0 || chunks.bytes > kMaxTiffChunk ||
      static_cast<uint64_t>(chunks.row_bytes) < (uint64_t{chunks.width} * chunks.samples * page.bits + 7) / 8 ||
      static_cast<uint64_t>(chunks.bytes) < static_cast<uint64_t>(chunks.row_bytes) * chunks.height)
    file.fail();
  chunks.num_across = (page.width + uint64_t{chunks.width} - 1) / chunks.width;
  chunks.num_down = (page.height + uint64_t{chunks.height} - 1) / chunks.height;
  return chunks;
}

// Picks samples out of strips or tiles, the first `wanted` of each pixel.
class SampleReader {
 public:
  SampleReader(const TiffFile& file, const TiffPage& page, int64_t wanted)
      : file_(file),
        page_(page),
        wanted_(static_cast<uint64_t>(wanted)),
        chunks_(chunks_of(file, page)),
        chunk_(static_cast<size_t>(chunks_.bytes)) {}

  // sample_at: as with_samples() has it. Of the type that it gives, pixel by pixel.
  template <class SampleAt>
  void read(const SampleAt& sample_at, std::vector<std::byte>& pixels) {
    using T = decltype(sample_at(nullptr, 0));
    pixels.resize(uint64_t{page_.width} * page_.height * wanted_ * sizeof(T));
    const uint64_t num_planes = chunks_.is_separate ? wanted_ : 1;
    for (uint64_t plane = 0; plane < num_planes; ++plane) {
      for (uint64_t number = 0; number < chunks_.num_in_plane(); ++number)
        read_chunk(plane, number, sample_at, reinterpret_cast<T*>(pixels.data()));
    }
  }

 private:
  template <class T, class SampleAt>
  void read_chunk(uint64_t plane, uint64_t number, const SampleAt& sample_at, T* pixels) {
    const uint64_t left = number % chunks_.num_across * chunks_.width;
    const uint64_t top = number / chunks_.num_across * chunks_.height;
    const uint64_t columns = std::min<uint64_t>(chunks_.width, page_.width - left);
    const uint64_t rows = std::min<uint64_t>(chunks_.height, page_.height - top);
    decode(plane * chunks_.num_in_plane() + number, rows);
    for (uint64_t row = 0; row < rows; ++row) {
      const unsigned char* from = chunk_.data() + row * static_cast<uint64_t>(chunks_.row_bytes);
      unpack(from, columns, sample_at, pixels + ((top + row) * page_.width + left) * wanted_ + plane);
    }
  }

  // The first `rows` rows of a chunk; of a tile, which is always whole, all.
  void decode(uint64_t index, uint64_t rows) {
    const auto number = static_cast<uint32_t>(index);
    const tmsize_t needed = chunks_.is_tiled ? chunks_.bytes : chunks_.row_bytes * static_cast<tmsize_t>(rows);
    const tmsize_t got = chunks_.is_tiled ? TIFFReadEncodedTile(file_.get(), number, chunk_.data(), chunks_.bytes)
                                          : TIFFReadEncodedStrip(file_.get(), number, chunk_.data(), needed);
    if (got < needed) file_.fail();
  }

  // A row of a chunk.
  template <class T, class SampleAt>
  void unpack(const unsigned char* from, uint64_t columns, const SampleAt& sample_at, T* to) const {
    const uint64_t wanted = wanted_, stored = chunks_.samples;
    const bool is_as_stored = page_.bits == 8 * sizeof(T) && page_.bits != 64;
    if (chunks_.is_separate) {
      for (uint64_t x = 0; x < columns; ++x) to[x * wanted] = sample_at(from, x);
    } else if (is_as_stored && wanted == stored) {
      std::memcpy(to, from, columns * stored * sizeof(T));
    } else {
      for (uint64_t x = 0; x < columns; ++x) {
        for (uint64_t c = 0; c < wanted; ++c) *to++ = sample_at(from, x * stored + c);
      }
    }
  }

  const TiffFile& file_;
  const TiffPage& page_;
  uint64_t wanted_;
  Chunks chunks_;
  std::vector<unsigned char> chunk_;  // the one that was decoded last
};

void read_samples(const TiffFile& file, const TiffPage& page, int64_t wanted, Raster& raster) {
  SampleReader reader(file, page, wanted);
  with_samples(page, [&](StoredType type, const auto& sample_at) {
    raster.type = type;
    reader.read(sample_at, raster.bytes);
  });
}

void invert(Raster& raster) {
  if (raster.type != StoredType::u8 && raster.type != StoredType::u16)
    fail_picture(concat("is a TIFF with white as 0 (photometric interpretation 0) of ", raster.bits,
                        "-bit numbers, of which none is black"),
                 "save it with black as 0");
  const auto largest = (int64_t{1} << raster.bits) - 1;
  visit(raster.type, [&]<class T>(T) {
    auto* values = reinterpret_cast<T*>(raster.bytes.data());
    for (size_t i = 0; i < raster.bytes.size() / sizeof(T); ++i)
      values[i] = static_cast<T>(largest - static_cast<int64_t>(values[i]));
  });
  raster.is_inverted = raster.bits > 1;
}

}  // namespace

Palette palette_of(const TiffFile& file, const TiffPage& page) {
  uint16_t *red = nullptr, *green = nullptr, *blue = nullptr;
  if (TIFFGetField(file.get(), TIFFTAG_COLORMAP, &red, &green, &blue) == 0)
    fail_picture("is damaged: a TIFF without its palette");
  const size_t count = size_t{1} << page.bits;
  const auto is_byte = [](uint16_t value) { return value < 256; };
  // Entries have 16 bits; some programs write 8.
  const int shift = std::all_of(red, red + count, is_byte) && std::all_of(green, green + count, is_byte) &&
                            std::all_of(blue, blue + count, is_byte)
                        ? 0
                        : 8;
  Palette palette;
  for (size_t i = 0; i < count; ++i)
    palette.push_back({static_cast<uint8_t>(red[i] >> shift), static_cast<uint8_t>(green[i] >> shift),
                       static_cast<uint8_t>(blue[i] >> shift)});
  return palette;
}

Raster read_page(const TiffFile& file) {
  const TiffPage page = page_of(file);
  // Packages are without its library, which is under the GPL.
  if (page.compression == COMPRESSION_JBIG)
    fail_picture("is a TIFF compressed with JBIG, which is not read", "save it with another compression");
  Raster raster;
  raster.width = page.width;
  raster.height = page.height;
  raster.orientation = page.orientation;
  raster.is_lossy = page.compression == COMPRESSION_JPEG || page.compression == COMPRESSION_OJPEG;
  if (needs_conversion(page)) {
    read_converted(file, raster);
    return raster;
  }
  check_samples(page);
  const int64_t wanted = wanted_samples(page);
  raster.bits = page.bits;
  if (page.photometric == PHOTOMETRIC_PALETTE) raster.palette = palette_of(file, page);
  if (page.compression == COMPRESSION_JPEG && page.photometric == PHOTOMETRIC_YCBCR)
    TIFFSetField(file.get(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
  const bool has_alpha = page.samples == wanted + 1;
  read_samples(file, page, wanted + (has_alpha ? 1 : 0), raster);
  raster.channels = wanted;
  if (has_alpha) split_alpha(raster);
  raster.channels = wanted == 1 ? 1 : 3;
  if (wanted == 4) cmyk_to_rgb(raster, /*is_inverted=*/false);
  const bool has_range = page.format == SAMPLEFORMAT_UINT && page.bits <= 16;
  raster.stored_max = has_range ? std::max(255.0, std::ldexp(1.0, page.bits) - 1) : 0;
  if (page.photometric == PHOTOMETRIC_MINISWHITE) invert(raster);
  return raster;
}

}  // namespace vmae::io
