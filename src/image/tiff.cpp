// Stacks of pages in TIFF files, read and written through libtiff. Pages: TIFF 6.0, sections 2 and 8 (NewSubfileType).
#include <tiffio.h>

#include <algorithm>

#include "tiff_description.h"
#include "tiff_file.h"
#include "tiff_pixels.h"
#include "vmae/core/error.h"
#include "vmae/image/picture_decode.h"

namespace vmae::io {
namespace {

std::string text_of(const TiffPage& page) {
  const char* kind = page.format == SAMPLEFORMAT_IEEEFP ? "-bit floats" : "-bit integers";
  if (page.format == SAMPLEFORMAT_INT) kind = "-bit signed integers";
  return concat(page.is_turned() ? page.height : page.width, " x ", page.is_turned() ? page.width : page.height,
                " pixels of ", page.samples, page.samples == 1 ? " sample, " : " samples, ", page.bits, kind);
}

struct Listed {
  TiffStack stack;
  std::vector<bool> is_page;  // by directory; the others are smaller copies
};

// Of ImageJ's description, in the first directory; 0: not known.
std::array<double, 3> spacing_of(const TiffFile& file, const std::string& description) {
  if (!description.starts_with("ImageJ=")) return {};
  float per_unit_x = 0, per_unit_y = 0;
  TIFFGetField(file.get(), TIFFTAG_XRESOLUTION, &per_unit_x);
  TIFFGetField(file.get(), TIFFTAG_YRESOLUTION, &per_unit_y);
  return imagej_spacing_mm(description, per_unit_x, per_unit_y);
}

struct Directories {
  std::vector<TiffPage> pages;
  std::vector<bool> is_shaped;  // has a description of tifffile, which stands on the first page of each array
};

// All of them, from the first on.
Directories read_directories(const TiffFile& file) {
  Directories all;
  do {
    all.pages.push_back(page_of(file));
    const std::string own = description_of(file);
    all.is_shaped.push_back(own.starts_with('{') && own.find("\"shape\"") != std::string::npos);
  } while (TIFFReadDirectory(file.get()) != 0);
  if (TIFFLastDirectory(file.get()) == 0) file.fail();
  return all;
}

Listed list_pages(const TiffFile& file) {
  const std::string description = description_of(file);
  const std::array<double, 3> spacing = spacing_of(file, description);
  const auto [pages, is_shaped] = read_directories(file);
  const bool has_whole = std::any_of(pages.begin(), pages.end(), [](const TiffPage& page) { return !page.is_copy(); });
  Listed listed;
  int64_t num_shaped = 0;
  const TiffPage* first = nullptr;
  for (size_t i = 0; i < pages.size(); ++i) {
    const TiffPage& page = pages[i];
    listed.stack.num_below += page.num_below;
    listed.is_page.push_back(!has_whole || !page.is_copy());
    if (!listed.is_page.back()) {
      ++listed.stack.num_skipped;
      continue;
    }
    ++listed.stack.num_pages;
    num_shaped += is_shaped[i] ? 1 : 0;
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

// What is written: grey pages of one size, and what ImageJ wants to know of them.
struct StackToWrite {
  const std::array<int64_t, 3>& size;
  StoredType type;
  const std::array<double, 3>& spacing_mm;  // 0: not known

  size_t page_bytes() const { return static_cast<size_t>(size[0] * size[1]) * size_of(type); }
};

void set_spacing(TIFF* tiff, const StackToWrite& stack, bool is_first) {
  TIFFSetField(tiff, TIFFTAG_RESOLUTIONUNIT, RESUNIT_NONE);
  TIFFSetField(tiff, TIFFTAG_XRESOLUTION, 1 / stack.spacing_mm[0]);
  TIFFSetField(tiff, TIFFTAG_YRESOLUTION, 1 / stack.spacing_mm[1]);
  const std::string description = concat("ImageJ=1.53t\nimages=", stack.size[2], "\nslices=", stack.size[2],
                                         "\nunit=mm\nspacing=", number_text(stack.spacing_mm[2]), "\nloop=false\n");
  if (is_first) TIFFSetField(tiff, TIFFTAG_IMAGEDESCRIPTION, description.c_str());
}

void set_tags(TIFF* tiff, const StackToWrite& stack, bool is_first) {
  TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, static_cast<uint32_t>(stack.size[0]));
  TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, static_cast<uint32_t>(stack.size[1]));
  TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, static_cast<int>(8 * size_of(stack.type)));
  TIFFSetField(tiff, TIFFTAG_SAMPLEFORMAT, stack.type == StoredType::f32 ? SAMPLEFORMAT_IEEEFP : SAMPLEFORMAT_UINT);
  TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
  TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
  TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
  TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, static_cast<uint32_t>(stack.size[1]));
  TIFFSetField(tiff, TIFFTAG_COMPRESSION, COMPRESSION_ADOBE_DEFLATE);
  if (stack.spacing_mm[2] > 0) set_spacing(tiff, stack, is_first);
}

void write_pages(const TiffFile& file, const StackToWrite& stack, const std::byte* values) {
  const auto check = [&](bool is_written) {
    if (!is_written) throw Error(ExitCode::internal, concat("can't write a TIFF: ", file.problem()));
  };
  const size_t page_bytes = stack.page_bytes();
  for (int64_t z = 0; z < stack.size[2]; ++z) {
    set_tags(file.get(), stack, /*is_first=*/z == 0);
    // libtiff may turn bytes round in place on other machines: not ours.
    auto* const page = const_cast<std::byte*>(values) + static_cast<size_t>(z) * page_bytes;
    check(TIFFWriteEncodedStrip(file.get(), 0, page, static_cast<tmsize_t>(page_bytes)) >= 0);
    check(TIFFWriteDirectory(file.get()) != 0);
  }
}

}  // namespace

bool is_tiff(std::string_view bytes) {
  for (const char* magic : {"II*\0", "MM\0*", "II+\0", "MM\0+"}) {
    if (bytes.starts_with(std::string_view(magic, 4))) return true;
  }
  return false;
}

TiffStack read_tiff_header(const std::string& path) {
  const TiffFile file = TiffFile::of_path(path);
  Listed listed = list_pages(file);
  const auto first = std::find(listed.is_page.begin(), listed.is_page.end(), true) - listed.is_page.begin();
  if (TIFFSetDirectory(file.get(), static_cast<tdir_t>(first)) == 0) file.fail();
  const TiffPage page = page_of(file);
  listed.stack.bits = page.bits;
  if (page.photometric == PHOTOMETRIC_PALETTE && page.bits <= 8) listed.stack.palette = palette_of(file, page);
  return listed.stack;
}

TiffStack decode_tiff(std::string_view bytes, const std::function<void(const TiffStack&, Raster&&)>& use) {
  TiffFile file = TiffFile::of_bytes(bytes);
  const Listed listed = list_pages(file);
  if (TIFFSetDirectory(file.get(), 0) == 0) file.fail();
  for (size_t i = 0; i < listed.is_page.size(); ++i) {
    if (i > 0 && TIFFReadDirectory(file.get()) == 0) file.fail();
    if (!listed.is_page[i]) continue;
    file.forget_problem();
    use(listed.stack, read_page(file));
  }
  return listed.stack;
}

std::string encode_tiff(const std::array<int64_t, 3>& size, StoredType type, const std::byte* values,
                        const std::array<double, 3>& spacing_mm) {
  const StackToWrite stack{size, type, spacing_mm};
  std::string bytes;
  {
    // BigTIFF where 32 bits may not do.
    const bool is_big = static_cast<double>(stack.page_bytes()) * static_cast<double>(size[2]) > 4e9;
    const TiffFile file = TiffFile::to_write(bytes, is_big);
    write_pages(file, stack, values);
  }
  return bytes;
}

}  // namespace vmae::io
