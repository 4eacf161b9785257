#pragma once
// PNG, JPEG, TIFF and BMP through libpng, libjpeg and libtiff (BMP:
// our own). One rule for all formats; docs/data.md has it as a table:
//   bits        1, 2, 4 bits are spread over 0 to 255 (black and white are 0 and 255); 8 and 16 bits as stored. TIFF
//   also 10, 12, 14 bits (stored_max is 1023, 4095, 16383), signed and 32- and 64-bit integers, floats of 16, 32 and
//   64 bits (64-bit integers become double, floats float). meaning     white as 0 (TIFF's photometric interpretation
//   0) is inverted in every depth; of floats and integers without a largest value it is refused. YCbCr becomes RGB
//   by libtiff and libjpeg, CMYK (8 bit) as Pillow does it; L*a*b* is refused. Channels side by side or in planes,
//   strips or tiles, all compressions that libtiff has. Colour profiles and gamma are not applied. alpha       is
//   dropped, and so is one sample of unknown meaning beside three of colour; more samples than grey, colour and
//   alpha are refused. palettes    a picture whose palette is all grey is grey, else RGB. A palette that is the ramp
//   of its depth (index 0 black ... last index white) is none. upright     the orientation of EXIF (JPEG, PNG) and
//   of TIFF is applied. pages       a TIFF of several pages of one size and type is a volume, its pages the slices
//   along z. Pages marked as smaller copies or masks of others (NewSubfileType) do not count, nor do SubIFDs. Pages
//   of several images, of several channels or of several time points of slices are refused where ImageJ, OME or
//   tifffile says so. An animated PNG, and a JPEG with further pictures of its own (MPO), are refused.
// The content decides, not the extension: a JPEG named .png is read. A file that is cut
// off is an error, never half a picture. Bytes of strangers: sizes are bounded, nothing is
// written, any number of threads may read. Every failure is Error(data) naming the file.
#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "vmae/image/image.h"

namespace vmae::io {

bool is_picture(const std::filesystem::path& path);  // by extension, any case

// One picture. A TIFF of several pages is an error.
Image read_picture(const std::filesystem::path& path);

// Size x, y and number of pages; of one picture z is 1 and stored_max that of its type, while a grey
// stack is a volume as any other (stored_max 0). spacing_mm of a stack: see stack_spacing_mm; else 1.
Volume picture_volume(const std::filesystem::path& path);

// Of a TIFF of several pages its size, without reading pixels; empty of all else,
// which is one slice. Only names that end in .tif or .tiff are looked into.
std::optional<VolumeHeader> picture_header(const std::filesystem::path& path);

// Millimetres of a stack's voxels: of nnU-Net's file beside it ({"spacing": [z, y, x]} in CASE.json for
// CASE.tif and CASE_0000.tif, or in CASE_0000.json), else of ImageJ's description where that has a unit
// of length, pixel size and spacing. Throws Error(data) where there are two such files that differ.
std::optional<std::array<double, 3>> stack_spacing_mm(const std::filesystem::path& path);
std::vector<std::filesystem::path> spacing_files(const std::filesystem::path& path);  // where such a file may be

// A mask: as picture_volume, but of a picture with a palette the index is the value, not its colour (as nnU-Net and
// Pillow read it). Where all of the palette is grey and its greys do not ascend with the index, index and grey
// contradict each other, and so do number and shade of a TIFF that stores white as 0 in more than one bit: refused.
struct LabelPicture {
  Volume volume;
  bool has_millimetres = false;                   // a stack whose spacing is known
  int64_t bits = 8;                               // of a sample in the file: a picture of one bit holds 0 and 255
  bool is_lossy = false;                          // JPEG, also inside of a TIFF: values next to an edge are not labels
  std::vector<std::array<uint8_t, 3>> palette{};  // RGB of index 0, 1, ...; empty: the values are greys
};
LabelPicture read_label_picture(const std::filesystem::path& path);

// Of a mask its palette as in LabelPicture, without reading its pixels (of a BMP, with them).
std::vector<std::array<uint8_t, 3>> picture_palette(const std::filesystem::path& path);

// How a picture is to be turned to be seen upright, 1 (not at
// all) to 8, as EXIF and TIFF have it; 1 where it does not say.
int64_t picture_orientation(const std::filesystem::path& path);

// 8-bit PNG, grey (1 channel) or RGB (3); pixels are clamped to 0..255 and rounded.
std::string encode_png(const Image& image);

}  // namespace vmae::io
