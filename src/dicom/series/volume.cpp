// read_dicom: every frame decoded, its numbers unpacked into their place,
// padding and MONOCHROME1 dealt with, scalings collected slice by slice.
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "../frames.h"
#include "../header.h"
#include "../pixels.h"
#include "../units.h"
#include "geometry.h"
#include "stacks.h"
#include "vmae/core/error.h"
#include "vmae/core/log_once.h"
#include "vmae/core/machine.h"
#include "vmae/dicom/kinds.h"
#include "vmae/dicom/volume.h"
#include "vmae/image/image.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

void check_fits_memory(const Volume& volume, const fs::path& path) {
  const double needed = static_cast<double>(volume.size[0]) * static_cast<double>(volume.size[1]) *
                        static_cast<double>(volume.size[2]) * static_cast<double>(volume.channels) *
                        static_cast<double>(sizeof(float) + size_of(volume.type));
  const auto available = static_cast<double>(memory_info().available_bytes);
  if (needed > available) {
    fail_file(path,
              concat("is part of a volume of ", volume.size[0], " x ", volume.size[1], " x ", volume.size[2],
                     " voxels, which needs ", human_bytes(needed), " to read; ", human_bytes(available), " are free"));
  }
}

// What must be the same in all files of a volume.
void check_same(const DicomHeader& first, const DicomHeader& header, const fs::path& path) {
  if (header.pixels.num_frames != 1)
    fail_file(path,
              concat("has ", header.pixels.num_frames, " frames; a file of several frames is a volume of its own"));
  if (header.pixels.rows != first.pixels.rows || header.pixels.columns != first.pixels.columns) {
    fail_file(path,
              concat("has ", header.pixels.columns, " x ", header.pixels.rows,
                     " pixels, the first file of its volume has ", first.pixels.columns, " x ", first.pixels.rows));
  }
  if (!have_comparable_numbers(header, first))
    fail_file(path, "has pixels of another kind than the first file of its volume");
}

void convert(StoredType from_type, const std::byte* from, size_t num_values, StoredType to_type, std::byte* to) {
  visit(from_type, [&]<class From>(From) {
    visit(to_type, [&]<class To>(To) {
      const auto* const values = reinterpret_cast<const From*>(from);
      std::transform(values, values + num_values, reinterpret_cast<To*>(to),
                     [](From value) { return static_cast<To>(value); });
    });
  });
}

// Old files keep overlays in bits of the pixels that the numbers don't use.
bool has_overlay_in_pixels(DcmItem& data) {
  for (Uint16 group = 0x6000; group <= 0x601E; group = static_cast<Uint16>(group + 2)) {
    // OverlayBitPosition, but no OverlayData
    if (data.tagExists(DcmTagKey(group, 0x0102)) && !data.tagExists(DcmTagKey(group, 0x3000))) return true;
  }
  return false;
}

struct Builder {
  Volume volume;
  DicomHeader first;
  std::vector<DicomHeader> headers;  // one per file, in order
  std::vector<DicomFrame> slices;    // in order

  void begin(const DicomHeader& header, size_t num_files, size_t num_frames) {
    const PixelFormat& pixels = header.pixels;
    first = header;
    volume.size = {pixels.columns, pixels.rows,
                   num_files > 1 ? static_cast<int64_t>(num_files) : static_cast<int64_t>(num_frames)};
    volume.channels = is_grey(pixels) ? 1 : 3;
    volume.type = stored_type_of(pixels);
    volume.modality = header.modality;
  }

  // Files of one volume may store their numbers in several types.
  void widen(StoredType type) {
    if (type == volume.type) return;
    const size_t num_values = volume.stored.size() / size_of(volume.type);
    std::vector<std::byte> wide(num_values * size_of(type));
    convert(volume.type, volume.stored.data(), num_values, type, wide.data());
    volume.stored = std::move(wide);
    volume.type = type;
  }

  size_t values_per_slice() const { return static_cast<size_t>(volume.size[0] * volume.size[1] * volume.channels); }

  void add(const fs::path& path, const DicomFile& file, const DicomHeader& header, const std::vector<size_t>& frames) {
    FrameReader reader(file, header);
    const PixelFormat& pixels = header.pixels;
    const Palette palette = pixels.photometric == "PALETTE COLOR" ? read_palette(file, pixels.is_signed) : Palette{};
    const StoredType type = stored_type_of(pixels);
    widen(common_type(volume.type, type));
    const size_t slice_bytes = values_per_slice() * size_of(volume.type);
    std::vector<std::byte> narrow(type == volume.type ? 0 : values_per_slice() * size_of(type));
    RawFrame raw;
    for (const size_t frame : frames) {
      reader.read(static_cast<int64_t>(frame), raw);
      if (volume.stored.empty())
        // only now: the first frame is there, and as large as it said
        volume.stored.resize(slice_bytes * static_cast<size_t>(volume.size[2]));
      std::byte* const place = volume.stored.data() + slice_bytes * slices.size();
      std::byte* const slice = narrow.empty() ? place : narrow.data();
      unpack_frame(raw, pixels, palette, path, slice);
      const std::vector<bool> is_padding =
          header.padding ? find_padding(raw, pixels, slice, *header.padding) : std::vector<bool>{};
      if (has_bits_above(raw, pixels, is_padding) && !has_overlay_in_pixels(file.data()))
        log::warning_once(path.string(),
                          "has numbers with bits above its HighBit (0028,0102), which are cut off: HighBit and "
                          "BitsStored (0028,0101) may be wrong");
      if (is_shown_inverted(header)) invert(pixels, slice, values_per_slice());
      fill_padding(type, slice, is_padding);
      if (slice != place) convert(type, slice, values_per_slice(), volume.type, place);
      slices.push_back(header.frames[frame]);
    }
  }
};

}  // namespace

Volume read_dicom(const std::vector<fs::path>& files, std::optional<int64_t> volume_number) {
  if (files.empty()) throw Error(ExitCode::internal, "read_dicom without files");
  Builder builder;
  for (const fs::path& path : files) {
    try {
      const DicomFile file = open_dicom(path);
      const DicomHeader header = read_dicom_header(file);
      if (header.pixels.rows == 0)
        fail_file(path, header.kind == DicomKind::rtstruct ? "is a structure set, no image" : header.what);
      const std::vector<size_t> frames = frames_of(header, volume_number, path);
      if (builder.headers.empty()) {
        builder.begin(header, files.size(), frames.size());
        check_fits_memory(builder.volume, path);
      }
      if (files.size() > 1) check_same(builder.first, header, path);
      builder.add(path, file, header, frames);
      builder.headers.push_back(header);
    } catch (const std::bad_alloc&) {
      fail_file(path, "claims more pixels than there is memory for", "the file is probably damaged");
    }
  }
  Volume volume = std::move(builder.volume);
  const Grid grid = grid_of(builder.slices, builder.first.slice_step_mm);
  volume.spacing_mm = grid.spacing_mm;
  volume.origin_mm = grid.origin_mm;
  volume.direction = grid.direction;
  set_units(builder.headers, builder.slices, volume);
  return volume;
}

}  // namespace vmae::io
