#pragma once
// DICOM through DCMTK: files into series, series into volumes, RTSTRUCT and SEG into label maps. No identifying value ever enters a message. All functions may
// be called from several threads.
//
// Read: uncompressed (implicit and explicit VR, little and big endian), deflated (DCMTK), RLE, JPEG baseline, extended and lossless (DCMTK), JPEG-LS (CharLS),
// JPEG 2000 and HTJ2K (OpenJPEG), deflated frames; 1 to 32 bit integers, signed or not, float and double float pixel data; MONOCHROME1 and 2, PALETTE COLOR,
// RGB and YBR (as RGB). Stored numbers are kept; rescale slope and intercept become Volume::scaling, one per slice where they differ. Two exceptions, both
// before scaling:
//   MONOCHROME1 is inverted within the range of the stored bits, except in CT, PT and NM, where numbers are measurements and it only says how to show them;
//   padding (PixelPaddingValue, with its range limit) becomes the lowest other number of its slice, unless the slice is nothing but padding.
// Volume::stored_max: the largest number of the stored bits, in units; 0 in CT, PT, MR, NM, RTDOSE and for float pixels. Modality lookup tables and windows are
// not applied.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "vmae/io/image.h"

namespace vmae::io {

// By content: "DICM" after a preamble of 128 bytes, or a data set that begins with a DICOM group. False if the file can't be read.
bool is_dicom(const std::filesystem::path& path);

// By SOP class: a list says which classes are images (PS3.4 B.5; a file without one is taken for an image). other: all else, whether it has pixels or not:
// reports, presentation states, parametric maps, private classes, waveforms, directories (DICOMDIR), ... seg: segmentations and label map segmentations.
enum class DicomKind { image, rtstruct, seg, other };

// One volume's worth of slices: same patient, study and series, geometry, pixel format and time point, sorted along the normal of the slices. What lies at one
// place is told apart by the tags and dimension indices that say how (time point, acquisition, echo, b-value, ...), in single images and in the frames of a
// file alike.
struct DicomSeries {
  std::vector<std::filesystem::path> files;  // in the order of z; a multi-frame file is one or several series of its own
  int64_t volume = 0, num_volumes = 1;       // which of those in the multi-frame file
  std::vector<size_t> masks{};               // of DicomTree::masks, those that were drawn on these images, by file name; of several none can be preferred
  std::string series_uid;                    // to match masks; not written
  std::string patient;                       // PatientID (with its issuer), or ""; to be hashed, never written
  std::string modality;
  VolumeHeader header;
  std::vector<std::string>
      remarks;  // what is odd and was dealt with: "3 slices are missing: ...", "2 duplicates left out", "gantry tilt of 12.5 degrees", "mixed geometry: ..."
};

struct DicomMask {
  std::filesystem::path path;
  DicomKind kind = DicomKind::rtstruct;
  std::vector<std::string> series_uids;  // of the images it was drawn on; empty if it does not say
  std::string frame_of_reference_uid;
  std::string patient;
  std::string problem;  // why it is a mask of none of the series here: they are another patient's, it does not say which, ...; "" if it is of one
};

struct DicomRefusal {
  std::filesystem::path path;
  std::string reason;  // names neither path nor patient
};

struct DicomTree {
  std::vector<DicomSeries> series;  // in an order that depends on the files' names only
  std::vector<DicomMask> masks;
  std::vector<DicomRefusal> refused;  // what is no image, or can't be read
  // Identifying texts found (names, ids, birth dates, accession numbers, ...): for redacting paths. Never written.
  std::vector<std::string> identifying;
};

// Reads all headers (in parallel, without pixel data) and groups them. `files` in any order.
DicomTree group_dicom(const std::vector<std::filesystem::path>& files);

// The files of one series, in its order, as a volume (z = slice or frame; the third axis points to later slices). Spacing along it: the mean step between
// slices, or the median where slices are missing or unevenly spaced. The frames of a multi-frame file are sorted by position where each has its own, else in
// the file's order. Units: HU (CT with rescale slope and no other RescaleType), SUV by body weight (PT with the tags for it), else raw; DicomSeries::remarks
// says why not. Throws Error(data): no pixel data, unsupported or damaged, frames of different size, ...; names the file, nothing else of the header.
// `volume`: DicomSeries::volume. Without it, a file that holds several volumes is an error.
Volume read_dicom(const std::vector<std::filesystem::path>& files, std::optional<int64_t> volume = {});

// Segment or structure names, and the label map (uint8, 0 background, 1... in this order) on the grid of `image`, which was read from `image_files` and
// `volume`. Names are trimmed and in UTF-8; those that are equal are one structure, and one without a name is "ROI N" or "segment N" by its number. RTSTRUCT:
// closed planar contours, each in its plane; of planes that fall within one slice, the one nearest to its centre. In a plane they are filled by the even-odd
// rule along each row of pixel centres, a contour that is there twice once. Later structures win where they overlap. Contours outside of the image's slices are
// left out. SEG: BINARY, FRACTIONAL from half of its maximum, and LABELMAP, whose pixels are segment numbers; frames by position, also parts of slices and
// flipped ones, or by the image that they were made from where they have no position or all slices of the image have the same. `names`: those structures only,
// in this order; empty: all. Throws Error(data) if it does not lie on the image's grid, or a name is unknown.
struct DicomLabels {
  std::vector<std::string> names;
  std::vector<std::uint8_t> map;     // size of the image
  std::vector<std::string> remarks;  // what the map does not say: structures that overlap, contours that were left out, equal names, ...
};
DicomLabels read_dicom_mask(const std::filesystem::path& mask, const std::vector<std::filesystem::path>& image_files, const Volume& image,
                            const std::vector<std::string>& names = {}, std::optional<int64_t> volume = {});

// The names of an RTSTRUCT's structures or a SEG's segments, each once, in the order of the file. Throws Error(data).
std::vector<std::string> dicom_structure_names(const std::filesystem::path& mask);

}  // namespace vmae::io
