#pragma once
// What a DICOM file says about its image, without the pixels: format,
// geometry and scaling of every frame, and what groups files into volumes.
#include <array>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "file.h"
#include "suv.h"
#include "vmae/dicom/kinds.h"
#include "vmae/image/image.h"

namespace vmae::io {

using Vec3 = std::array<double, 3>;
inline double dot(const Vec3& a, const Vec3& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
inline Vec3 cross(const Vec3& a, const Vec3& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}
inline Vec3 minus(const Vec3& a, const Vec3& b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }
inline Vec3 plus(const Vec3& a, double t, const Vec3& b) { return {a[0] + t * b[0], a[1] + t * b[1], a[2] + t * b[2]}; }

enum class PixelKind { integer, float32, float64 };

struct PixelFormat {
  PixelKind kind = PixelKind::integer;
  int64_t rows = 0, columns = 0, num_frames = 1;
  int samples = 1, bits_allocated = 0, bits_stored = 0, high_bit = 0;
  bool is_signed = false, is_by_plane = false;  // planar configuration 1
  int palette_bits = 0;                         // of PALETTE COLOR: 8 or 16 bits of its red, green and blue
  std::string photometric;                      // "MONOCHROME2", ...
  bool operator==(const PixelFormat&) const = default;
};

// A plane in space; `x` and `y` are the unit vectors of columns and rows.
struct DicomPlane {
  Vec3 position{}, x{1, 0, 0}, y{0, 1, 0};
  Vec3 normal() const { return cross(x, y); }
};

struct DicomFrame {
  std::optional<DicomPlane> plane;
  std::array<double, 2> spacing_mm{1, 1};  // x, y
  Scaling scaling;
  bool is_scaled = false;
  std::string scaled_type;  // RescaleType
  // of a frame that has no plane: which place of its stack, where the file counts them
  std::optional<double> place_index;
  // what may tell frames of one place apart, each as DicomHeader::key_names says; "" where it isn't said
  std::vector<std::string> keys;
};

struct DicomHeader {
  DicomKind kind = DicomKind::other;
  std::string what;  // kind other: what it is instead
  std::string transfer_syntax, sop_class, sop_instance_uid, study_uid, series_uid, frame_of_reference_uid, patient,
      modality;
  PixelFormat pixels;
  std::vector<DicomFrame> frames;
  std::optional<double> slice_step_mm;  // SpacingBetweenSlices, else SliceThickness
  std::optional<double> spacing_between_slices_mm;
  std::optional<double> instance_number;
  // of DicomFrame::keys: dimension indices, temporal position, acquisition, echo, ...
  std::vector<std::string> key_names;
  std::optional<std::array<double, 2>> padding;  // stored numbers from the first to the second are padding
  std::vector<std::string> remarks;              // of this file
  std::optional<PetTags> pet;                    // modality PT
  std::vector<std::string> described_series;     // masks: UIDs of the series that they were drawn on
  std::string described_frame_uid;
  // masks: the images that they were drawn on, as image_reference; empty: not said
  std::set<std::string> described_images;
};

DicomHeader read_dicom_header(const DicomFile& file);

// Of DicomHeader::patient, the id and after a line break its
// issuer: whether the second may be the first, said more fully.
bool is_said_more_fully(const std::string& patient, const std::string& other);
bool may_be_same_patient(const std::string& a, const std::string& b);

// An image as masks refer to it: its UID, or, of a frame (from 1) of several, "UID/frame". 0: the whole image.
std::string image_reference(const std::string& sop_instance_uid, int64_t frame_number);
// What the items of `sequence` refer to. An item without frame numbers refers to the whole image.
std::vector<std::string> references_in(DcmItem& item, const DcmTagKey& sequence);

// Names, ids, birth dates, accession numbers, ... anywhere in the
// data set; names also by their parts of three letters or more.
std::vector<std::string> identifying_texts(const DicomFile& file);

// The type that keeps the stored numbers of this format (palettes and colour: of its RGB).
StoredType stored_type_of(const PixelFormat& pixels);
// The type that keeps the numbers of both.
StoredType common_type(StoredType a, StoredType b);
inline bool is_grey(const PixelFormat& pixels) { return pixels.samples == 1 && pixels.photometric != "PALETTE COLOR"; }

}  // namespace vmae::io
