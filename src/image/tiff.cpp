// TIFF through libtiff: strips and tiles of any compression that it has, then samples are
// picked out here, so that all depths follow one rule. Few kinds (YCbCr that is no JPEG)
// are left to its conversion to RGB. Pages: TIFF 6.0, sections 2 and 8 (NewSubfileType).
#include <fcntl.h>
#include <tiffio.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "tiff_description.h"
#include "vmae/core/error.h"
#include "vmae/core/machine.h"
#include "vmae/image/picture_decode.h"

namespace vmae::io {
namespace {

constexpr tmsize_t kMaxChunk = tmsize_t{1} << 30;  // bytes of a strip or tile

struct Closer {
  void operator()(TIFF* tiff) const { TIFFClose(tiff); }
};
using Tiff = std::unique_ptr<TIFF, Closer>;

// A file in memory, and what libtiff last said of it.
struct Memory {
  std::string_view bytes;
  std::string* written = nullptr;  // when writing
  uint64_t at = 0;
  std::string problem;
};

tmsize_t read_memory(thandle_t handle, void* to, tmsize_t size) {
  auto& memory = *static_cast<Memory*>(handle);
  if (size <= 0 || memory.at >= memory.bytes.size()) return 0;
  const auto count = std::min<uint64_t>(static_cast<uint64_t>(size), memory.bytes.size() - memory.at);
  std::memcpy(to, memory.bytes.data() + memory.at, count);
  memory.at += count;
  return static_cast<tmsize_t>(count);
}

tmsize_t write_memory(thandle_t handle, void* from, tmsize_t size) {
  auto& memory = *static_cast<Memory*>(handle);
  if (memory.written == nullptr || size < 0) return 0;
  try {
    const size_t end = memory.at + static_cast<size_t>(size);
    if (memory.written->size() < end) memory.written->resize(end);
  } catch (const std::exception&) {  // must not pass through libtiff
    return 0;
  }
  std::memcpy(memory.written->data() + memory.at, from, static_cast<size_t>(size));
  memory.at += static_cast<uint64_t>(size);
  memory.bytes = *memory.written;
  return size;
}

toff_t seek_memory(thandle_t handle, toff_t offset, int whence) {
  auto& memory = *static_cast<Memory*>(handle);
  memory.at = whence == SEEK_SET ? offset : whence == SEEK_CUR ? memory.at + offset : memory.bytes.size() + offset;
  return memory.at;
}

int close_memory(thandle_t) { return 0; }
toff_t size_of_memory(thandle_t handle) { return static_cast<Memory*>(handle)->bytes.size(); }
int map_memory(thandle_t handle, void** base, toff_t* size) {
  auto& memory = *static_cast<Memory*>(handle);
  *base = const_cast<char*>(memory.bytes.data());  // libtiff does not write where it reads
  *size = memory.bytes.size();
  return 1;
}
void unmap_memory(thandle_t, void*, toff_t) {}

int keep_problem(TIFF*, void* memory, const char*, const char* format, va_list arguments) {
  std::array<char, 300> text{};
  std::vsnprintf(text.data(), text.size(), format, arguments);
  try {
    static_cast<Memory*>(memory)->problem = text.data();
  } catch (const std::exception&) {  // no memory for the text: libtiff says by itself that it failed
    return 1;
  }
  return 1;  // 1: nobody else need be told
}
int keep_quiet(TIFF*, void*, const char*, const char*, va_list) { return 1; }

using Options = std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)>;
Options options_for(Memory& memory) {
  Options options(TIFFOpenOptionsAlloc(), TIFFOpenOptionsFree);
  if (!options) throw std::bad_alloc();
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), keep_problem, &memory);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), keep_quiet, nullptr);
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), kMaxChunk);
  return options;
}

[[noreturn]] void fail_tiff(const Memory& memory) {
  fail_picture(concat("can't be decoded: it is damaged, or of an unknown kind",
                      memory.problem.empty() ? "" : " (" + memory.problem + ")"));
}

Tiff open_memory(Memory& memory, const char* mode) {
  const Options options = options_for(memory);
  Tiff tiff(TIFFClientOpenExt("TIFF", mode, &memory, read_memory, write_memory, seek_memory, close_memory,
                              size_of_memory, map_memory, unmap_memory, options.get()));
  if (!tiff) fail_tiff(memory);
  return tiff;
}

// One directory.
struct Page {
  uint32_t width = 0, height = 0, subfile = 0;
  uint16_t samples = 1, bits = 1, format = SAMPLEFORMAT_UINT, photometric = 0, planar = PLANARCONFIG_CONTIG,
           compression = 1, orientation = 1, old_subfile = 0;
  uint16_t num_extra = 0;
  uint16_t num_below = 0;  // SubIFDs
  bool has_alpha = false;  // an extra sample is named so
  bool is_shaped = false;  // has a description of tifffile, which stands on the first page of each array

  bool is_copy() const {
    return (subfile & (FILETYPE_REDUCEDIMAGE | FILETYPE_MASK)) != 0 || old_subfile == OFILETYPE_REDUCEDIMAGE;
  }
  bool is_turned() const { return orientation >= 5 && orientation <= 8; }
};

Page page_of(TIFF* tiff) {
  Page page;
  TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &page.width);
  TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &page.height);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SUBFILETYPE, &page.subfile);
  TIFFGetField(tiff, TIFFTAG_OSUBFILETYPE, &page.old_subfile);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &page.samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &page.bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &page.format);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &page.planar);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &page.compression);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &page.orientation);
  if (page.format == SAMPLEFORMAT_VOID) page.format = SAMPLEFORMAT_UINT;
  uint16_t* kinds = nullptr;
  if (TIFFGetFieldDefaulted(tiff, TIFFTAG_EXTRASAMPLES, &page.num_extra, &kinds) == 0) page.num_extra = 0;
  for (uint16_t i = 0; i < page.num_extra; ++i)
    page.has_alpha |= kinds[i] == EXTRASAMPLE_ASSOCALPHA || kinds[i] == EXTRASAMPLE_UNASSALPHA;
  const uint64_t* below = nullptr;
  if (TIFFGetField(tiff, TIFFTAG_SUBIFD, &page.num_below, &below) == 0) page.num_below = 0;
  if (TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &page.photometric) == 0)
    page.photometric =
        page.samples >= 3 && page.samples != page.num_extra + 1 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
  return page;
}

std::string description_of(TIFF* tiff) {
  char* text = nullptr;
  return TIFFGetField(tiff, TIFFTAG_IMAGEDESCRIPTION, &text) != 0 && text != nullptr ? text : "";
}

std::string text_of(const Page& page) {
  const char* kind = page.format == SAMPLEFORMAT_INT      ? "-bit signed integers"
                     : page.format == SAMPLEFORMAT_IEEEFP ? "-bit floats"
                                                          : "-bit integers";
  return concat(page.is_turned() ? page.height : page.width, " x ", page.is_turned() ? page.width : page.height,
                " pixels of ", page.samples, page.samples == 1 ? " sample, " : " samples, ", page.bits, kind);
}

struct Listed {
  TiffStack stack;
  std::vector<bool> is_page;  // by directory; the others are smaller copies
};

Listed list_pages(TIFF* tiff, const Memory& memory) {
  Listed listed;
  std::vector<Page> pages;
  int64_t num_shaped = 0;
  const std::string description = description_of(tiff);
  float per_unit_x = 0, per_unit_y = 0;
  TIFFGetField(tiff, TIFFTAG_XRESOLUTION, &per_unit_x);
  TIFFGetField(tiff, TIFFTAG_YRESOLUTION, &per_unit_y);
  const std::array<double, 3> spacing = description.starts_with("ImageJ=")
                                            ? imagej_spacing_mm(description, per_unit_x, per_unit_y)
                                            : std::array<double, 3>{};
  do {
    pages.push_back(page_of(tiff));
    const std::string own = description_of(tiff);
    pages.back().is_shaped = own.starts_with("{") && own.find("\"shape\"") != std::string::npos;
  } while (TIFFReadDirectory(tiff) != 0);
  if (TIFFLastDirectory(tiff) == 0) fail_tiff(memory);
  const bool has_whole = std::any_of(pages.begin(), pages.end(), [](const Page& page) { return !page.is_copy(); });
  const Page* first = nullptr;
  for (size_t i = 0; i < pages.size(); ++i) {
    const Page& page = pages[i];
    listed.stack.num_below += page.num_below;
    listed.is_page.push_back(!has_whole || !page.is_copy());
    if (!listed.is_page.back()) {
      ++listed.stack.num_skipped;
      continue;
    }
    ++listed.stack.num_pages;
    num_shaped += page.is_shaped ? 1 : 0;
    if (first == nullptr) first = &page;
    if (text_of(page) != text_of(*first))
      fail_picture(concat("is a TIFF whose page ", i + 1, " has ", text_of(page), ", page ", first - pages.data() + 1,
                          " ", text_of(*first)),
                   "pages of one size and type make a volume; write others into files of their own");
  }
  listed.stack.width = first->is_turned() ? first->height : first->width;
  listed.stack.height = first->is_turned() ? first->width : first->height;
  check_meaning(description, {first->width, first->height, first->samples, first->planar == PLANARCONFIG_SEPARATE},
                listed.stack.num_pages, num_shaped);
  if (listed.stack.num_pages > 1 && !first->is_turned()) listed.stack.spacing_mm = spacing;
  return listed;
}

float from_half(uint16_t half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  float value = exponent == 0    ? std::ldexp(static_cast<float>(fraction), -24)
                : exponent == 31 ? (fraction == 0 ? INFINITY : NAN)
                                 : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
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
void with_samples(const Page& page, const Use& use) {
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

void check_samples(const Page& page) {
  const auto is_one_of = [&](std::initializer_list<int> all) {
    return std::find(all.begin(), all.end(), page.bits) != all.end();
  };
  const bool is_known = page.format == SAMPLEFORMAT_UINT     ? is_one_of({1, 2, 4, 8, 10, 12, 14, 16, 32, 64})
                        : page.format == SAMPLEFORMAT_INT    ? is_one_of({8, 16, 32, 64})
                        : page.format == SAMPLEFORMAT_IEEEFP ? is_one_of({16, 32, 64})
                                                             : false;
  if (!is_known) {
    const char* kind = page.format == SAMPLEFORMAT_INT      ? "-bit signed integers"
                       : page.format == SAMPLEFORMAT_UINT   ? "-bit integers"
                       : page.format == SAMPLEFORMAT_IEEEFP ? "-bit floats"
                                                            : "-bit complex numbers";
    fail_picture(concat("is a TIFF of ", page.bits, kind,
                        "; integers of 1, 2, 4, 8, 10, 12, 14, 16, 32, 64 bits and floats of 16, 32, 64 are read"));
  }
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
bool needs_conversion(const Page& page) {
  if (page.compression == COMPRESSION_OJPEG) return true;
  return page.photometric == PHOTOMETRIC_YCBCR && page.compression != COMPRESSION_JPEG;
}

// How many samples of a pixel mean something: 1 grey or index, 3 RGB, 4 CMYK.
int64_t wanted_samples(const Page& page) {
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

Palette palette_of(TIFF* tiff, const Page& page) {
  uint16_t *red = nullptr, *green = nullptr, *blue = nullptr;
  if (TIFFGetField(tiff, TIFFTAG_COLORMAP, &red, &green, &blue) == 0)
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

// As libtiff sees it, the stored way up.
void read_converted(TIFF* tiff, const Memory& memory, Raster& raster) {
  std::array<char, 1024> problem{};
  if (TIFFRGBAImageOK(tiff, problem.data()) == 0)
    fail_picture(concat("can't be decoded: it is a TIFF of a kind that is not read (", problem.data(), ")"));
  std::vector<uint32_t> pixels(static_cast<size_t>(raster.width * raster.height));
  TIFFSetField(tiff, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);  // the turning comes later, as of all others
  if (TIFFReadRGBAImageOriented(tiff, static_cast<uint32_t>(raster.width), static_cast<uint32_t>(raster.height),
                                pixels.data(), ORIENTATION_TOPLEFT, 1) == 0)
    fail_tiff(memory);
  raster.channels = 3;
  raster.bytes.resize(pixels.size() * 3);
  for (size_t i = 0; i < pixels.size(); ++i) {
    raster.bytes[3 * i] = static_cast<std::byte>(TIFFGetR(pixels[i]));
    raster.bytes[3 * i + 1] = static_cast<std::byte>(TIFFGetG(pixels[i]));
    raster.bytes[3 * i + 2] = static_cast<std::byte>(TIFFGetB(pixels[i]));
  }
}

// Strip by strip, or tile by tile.
void read_samples(TIFF* tiff, const Memory& memory, const Page& page, int64_t wanted, Raster& raster) {
  const bool is_tiled = TIFFIsTiled(tiff) != 0, is_separate = page.planar == PLANARCONFIG_SEPARATE && page.samples > 1;
  uint32_t chunk_width = page.width, chunk_height = page.height;
  if (is_tiled) {
    TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &chunk_width);
    TIFFGetField(tiff, TIFFTAG_TILELENGTH, &chunk_height);
  } else {
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ROWSPERSTRIP, &chunk_height);
    chunk_height = std::min(chunk_height, page.height);
  }
  const tmsize_t chunk_bytes = is_tiled ? TIFFTileSize(tiff) : TIFFStripSize(tiff),
                 row_bytes = is_tiled ? TIFFTileRowSize(tiff) : TIFFScanlineSize(tiff);
  // samples of a pixel that lie in one chunk
  const auto in_chunk = static_cast<size_t>(is_separate ? 1 : page.samples);
  if (chunk_width == 0 || chunk_height == 0 || chunk_bytes <= 0 || chunk_bytes > kMaxChunk ||
      static_cast<uint64_t>(row_bytes) < (uint64_t{chunk_width} * in_chunk * page.bits + 7) / 8 ||
      static_cast<uint64_t>(chunk_bytes) < static_cast<uint64_t>(row_bytes) * chunk_height)
    fail_tiff(memory);
  std::vector<unsigned char> chunk(static_cast<size_t>(chunk_bytes));
  const auto chunks_across = (page.width + uint64_t{chunk_width} - 1) / chunk_width,
             chunks_down = (page.height + uint64_t{chunk_height} - 1) / chunk_height;
  const auto planes = static_cast<uint64_t>(is_separate ? wanted : 1);
  with_samples(page, [&](StoredType type, const auto& sample_at) {
    using T = decltype(sample_at(nullptr, 0));
    raster.type = type;
    raster.bytes.resize(static_cast<size_t>(raster.width * raster.height * wanted) * sizeof(T));
    auto* pixels = reinterpret_cast<T*>(raster.bytes.data());
    for (uint64_t plane = 0; plane < planes; ++plane) {
      for (uint64_t number = 0; number < chunks_across * chunks_down; ++number) {
        const uint64_t left = number % chunks_across * chunk_width, top = number / chunks_across * chunk_height;
        const uint64_t columns = std::min<uint64_t>(chunk_width, page.width - left),
                       rows = std::min<uint64_t>(chunk_height, page.height - top);
        const auto index = static_cast<uint32_t>(plane * chunks_across * chunks_down + number);
        const tmsize_t needed = is_tiled ? chunk_bytes : row_bytes * static_cast<tmsize_t>(rows);
        const tmsize_t got = is_tiled ? TIFFReadEncodedTile(tiff, index, chunk.data(), chunk_bytes)
                                      : TIFFReadEncodedStrip(tiff, index, chunk.data(), needed);
        if (got < needed) fail_tiff(memory);
        for (uint64_t row = 0; row < rows; ++row) {
          const unsigned char* from = chunk.data() + row * static_cast<uint64_t>(row_bytes);
          T* to = pixels + ((top + row) * page.width + left) * static_cast<uint64_t>(wanted) + plane;
          if (page.bits == 8 * sizeof(T) && !is_separate && static_cast<size_t>(wanted) == in_chunk &&
              page.bits != 64) {
            std::memcpy(to, from, columns * in_chunk * sizeof(T));
          } else if (is_separate) {
            for (uint64_t x = 0; x < columns; ++x) to[x * static_cast<uint64_t>(wanted)] = sample_at(from, x);
          } else {
            for (uint64_t x = 0; x < columns; ++x) {
              for (int64_t c = 0; c < wanted; ++c) *to++ = sample_at(from, x * in_chunk + static_cast<uint64_t>(c));
            }
          }
        }
      }
    }
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

Raster read_page(TIFF* tiff, const Memory& memory) {
  const Page page = page_of(tiff);
  Raster raster;
  raster.width = page.width;
  raster.height = page.height;
  raster.orientation = page.orientation;
  raster.is_lossy = page.compression == COMPRESSION_JPEG || page.compression == COMPRESSION_OJPEG;
  if (needs_conversion(page)) {
    read_converted(tiff, memory, raster);
    return raster;
  }
  check_samples(page);
  const int64_t wanted = wanted_samples(page);
  raster.bits = page.bits;
  if (page.photometric == PHOTOMETRIC_PALETTE) raster.palette = palette_of(tiff, page);
  if (page.compression == COMPRESSION_JPEG && page.photometric == PHOTOMETRIC_YCBCR)
    TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
  const bool has_alpha = page.samples == wanted + 1;
  read_samples(tiff, memory, page, wanted + (has_alpha ? 1 : 0), raster);
  raster.channels = wanted;
  if (has_alpha) split_alpha(raster);
  raster.channels = wanted == 1 ? 1 : 3;
  if (wanted == 4) cmyk_to_rgb(raster, /*is_inverted=*/false);
  const bool has_range = page.format == SAMPLEFORMAT_UINT && page.bits <= 16;
  raster.stored_max = has_range ? std::max(255.0, std::ldexp(1.0, page.bits) - 1) : 0;
  if (page.photometric == PHOTOMETRIC_MINISWHITE) invert(raster);
  return raster;
}

}  // namespace

bool is_tiff(std::string_view bytes) {
  for (const char* magic : {"II*\0", "MM\0*", "II+\0", "MM\0+"}) {
    if (bytes.starts_with(std::string_view(magic, 4))) return true;
  }
  return false;
}

TiffStack read_tiff_header(const std::string& path) {
  Memory memory;
  const Options options = options_for(memory);
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail_picture(concat("can't be read: ", std::strerror(errno)));
  const Tiff tiff(TIFFFdOpenExt(file, "TIFF", "rm", options.get()));
  if (!tiff) {
    close(file);
    fail_tiff(memory);
  }
  Listed listed = list_pages(tiff.get(), memory);
  const auto first = std::find(listed.is_page.begin(), listed.is_page.end(), true) - listed.is_page.begin();
  if (TIFFSetDirectory(tiff.get(), static_cast<tdir_t>(first)) == 0) fail_tiff(memory);
  const Page page = page_of(tiff.get());
  listed.stack.bits = page.bits;
  if (page.photometric == PHOTOMETRIC_PALETTE && page.bits <= 8) listed.stack.palette = palette_of(tiff.get(), page);
  return listed.stack;
}

TiffStack decode_tiff(std::string_view bytes, const std::function<void(const TiffStack&, Raster&&)>& use) {
  Memory memory{.bytes = bytes, .problem = {}};
  const Tiff tiff = open_memory(memory, "r");
  const Listed listed = list_pages(tiff.get(), memory);
  if (TIFFSetDirectory(tiff.get(), 0) == 0) fail_tiff(memory);
  for (size_t i = 0; i < listed.is_page.size(); ++i) {
    if (i > 0 && TIFFReadDirectory(tiff.get()) == 0) fail_tiff(memory);
    if (!listed.is_page[i]) continue;
    memory.problem.clear();
    use(listed.stack, read_page(tiff.get(), memory));
  }
  return listed.stack;
}

std::string encode_tiff(const std::array<int64_t, 3>& size, StoredType type, const std::byte* values,
                        const std::array<double, 3>& spacing_mm) {
  std::string bytes;
  Memory memory{.bytes = {}, .written = &bytes, .problem = {}};
  const auto page_bytes = static_cast<size_t>(size[0] * size[1]) * size_of(type);
  {
    // BigTIFF where 32 bits may not do.
    const Tiff tiff =
        open_memory(memory, static_cast<double>(page_bytes) * static_cast<double>(size[2]) > 4e9 ? "w8" : "w");
    const auto check = [&](bool is_written) {
      if (!is_written) throw Error(ExitCode::internal, concat("can't write a TIFF: ", memory.problem));
    };
    for (int64_t z = 0; z < size[2]; ++z) {
      TIFF* to = tiff.get();
      TIFFSetField(to, TIFFTAG_IMAGEWIDTH, static_cast<uint32_t>(size[0]));
      TIFFSetField(to, TIFFTAG_IMAGELENGTH, static_cast<uint32_t>(size[1]));
      TIFFSetField(to, TIFFTAG_BITSPERSAMPLE, static_cast<int>(8 * size_of(type)));
      TIFFSetField(to, TIFFTAG_SAMPLEFORMAT, type == StoredType::f32 ? SAMPLEFORMAT_IEEEFP : SAMPLEFORMAT_UINT);
      TIFFSetField(to, TIFFTAG_SAMPLESPERPIXEL, 1);
      TIFFSetField(to, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
      TIFFSetField(to, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
      TIFFSetField(to, TIFFTAG_ROWSPERSTRIP, static_cast<uint32_t>(size[1]));
      TIFFSetField(to, TIFFTAG_COMPRESSION, COMPRESSION_ADOBE_DEFLATE);
      if (spacing_mm[2] > 0) {
        TIFFSetField(to, TIFFTAG_RESOLUTIONUNIT, RESUNIT_NONE);
        TIFFSetField(to, TIFFTAG_XRESOLUTION, 1 / spacing_mm[0]);
        TIFFSetField(to, TIFFTAG_YRESOLUTION, 1 / spacing_mm[1]);
        const std::string description = concat("ImageJ=1.53t\nimages=", size[2], "\nslices=", size[2],
                                               "\nunit=mm\nspacing=", number_text(spacing_mm[2]), "\nloop=false\n");
        if (z == 0) TIFFSetField(to, TIFFTAG_IMAGEDESCRIPTION, description.c_str());
      }
      // libtiff may turn bytes round in place on other machines: not ours.
      check(TIFFWriteEncodedStrip(to, 0, const_cast<std::byte*>(values) + static_cast<size_t>(z) * page_bytes,
                                  static_cast<tmsize_t>(page_bytes)) >= 0);
      check(TIFFWriteDirectory(to) != 0);
    }
  }
  return bytes;
}

}  // namespace vmae::io
