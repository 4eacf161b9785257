#pragma once
// DICOM through DCMTK: files into series, series into volumes, RTSTRUCT and SEG into label maps.
// No identifying value ever enters a message. All functions may be called from several threads.
//
// Read: uncompressed (implicit and explicit VR, little and big endian), deflated (DCMTK), RLE, JPEG
// baseline, extended and lossless (DCMTK), JPEG-LS (CharLS), JPEG 2000 and HTJ2K (OpenJPEG), deflated
// frames; 1 to 32 bit integers, signed or not, float and double float pixel data; MONOCHROME1 and 2,
// PALETTE COLOR, RGB and YBR (as RGB). Stored numbers are kept; rescale slope and intercept become
// Volume::scaling, one per slice where they differ. Two exceptions, both before scaling:
//   MONOCHROME1 is inverted within the range of the stored bits, except in CT, PT and NM, where numbers
//   are measurements and it only says how to show them; padding (PixelPaddingValue, with its range
//   limit) becomes the lowest other number of its slice, unless the slice is nothing but padding.
// Volume::stored_max: the largest number of the stored bits, in units; 0 in CT, PT, MR,
// NM, RTDOSE and for float pixels. Modality lookup tables and windows are not applied.
#include <filesystem>
#include <optional>
#include <vector>

#include "vmae/image/image.h"

namespace vmae::io {

// The files of one series, in its order, as a volume (z = slice or frame; the third axis points to
// later slices). Spacing along it: the mean step between slices, or the median where slices are missing
// or unevenly spaced. The frames of a multi-frame file are sorted by position where each has its own,
// else in the file's order. Units: HU (CT with rescale slope and no other RescaleType), SUV by body
// weight (PT with the tags for it), else raw; DicomSeries::remarks says why not. Throws Error(data): no
// pixel data, unsupported or damaged, frames of different size, ...; names the file, nothing else of
// the header. `volume`: DicomSeries::volume. Without it, a file that holds several volumes is an error.
Volume read_dicom(const std::vector<std::filesystem::path>& files, std::optional<int64_t> volume = {});

}  // namespace vmae::io
