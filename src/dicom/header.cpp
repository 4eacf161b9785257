// DICOM PS3.3. What frames say stands in their functional groups (frame_groups.h). Frames without groups of their own
// get their planes from GridFrameOffsetVector (RT dose, C.8.8.3) or the detector's plane and SpacingBetweenSlices
// (reconstructed NM, C.8.4.11).
#include "header.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "frame_groups.h"
#include "sop_class.h"
#include "vmae/core/error.h"

namespace vmae::io {
namespace {

constexpr int64_t kMaxFrames = 1 << 20;

int64_t whole_number(DcmItem& data, const DcmTagKey& tag, int64_t otherwise) {
  const std::optional<double> number = number_of(data, tag);
  return number && std::abs(*number) < 1e15 ? static_cast<int64_t>(*number) : otherwise;
}

PixelFormat pixel_format(DcmItem& data) {
  PixelFormat pixels;
  pixels.rows = whole_number(data, DCM_Rows, 0);
  pixels.columns = whole_number(data, DCM_Columns, 0);
  // What can't be read is no number of frames, and check() says so.
  pixels.num_frames = text_of(data, DCM_NumberOfFrames).empty() ? 1 : whole_number(data, DCM_NumberOfFrames, 0);
  pixels.samples = static_cast<int>(whole_number(data, DCM_SamplesPerPixel, 1));
  pixels.bits_allocated = static_cast<int>(whole_number(data, DCM_BitsAllocated, 0));
  pixels.bits_stored = static_cast<int>(whole_number(data, DCM_BitsStored, pixels.bits_allocated));
  pixels.high_bit = static_cast<int>(whole_number(data, DCM_HighBit, pixels.bits_stored - 1));
  pixels.is_signed = whole_number(data, DCM_PixelRepresentation, 0) == 1;
  pixels.is_by_plane = pixels.samples > 1 && whole_number(data, DCM_PlanarConfiguration, 0) == 1;
  pixels.photometric = text_of(data, DCM_PhotometricInterpretation);
  if (pixels.photometric.empty()) pixels.photometric = pixels.samples == 3 ? "RGB" : "MONOCHROME2";
  if (pixels.photometric == "PALETTE COLOR") {
    const std::vector<double> descriptor = numbers_of(data, DCM_RedPaletteColorLookupTableDescriptor);
    pixels.palette_bits = descriptor.size() == 3 && descriptor[2] > 8 ? 16 : 8;
  }
  if (data.tagExists(DCM_FloatPixelData)) pixels.kind = PixelKind::float32;
  if (data.tagExists(DCM_DoubleFloatPixelData)) pixels.kind = PixelKind::float64;
  return pixels;
}

bool has_pixels(DcmItem& data) {
  return data.tagExists(DCM_PixelData) || data.tagExists(DCM_FloatPixelData) ||
         data.tagExists(DCM_DoubleFloatPixelData);
}

void check(const PixelFormat& pixels, const std::filesystem::path& path) {
  const auto fail = [&](const std::string& what) {
    fail_file(path, what, "the file is damaged, or of a kind that is not supported");
  };
  if (pixels.rows < 1 || pixels.columns < 1 || pixels.rows > 65535 || pixels.columns > 65535)
    fail(concat("has ", pixels.rows, " rows and ", pixels.columns, " columns"));
  if (pixels.num_frames < 1 || pixels.num_frames > kMaxFrames) fail(concat("claims ", pixels.num_frames, " frames"));
  if (pixels.kind != PixelKind::integer) {
    if (pixels.samples != 1) fail(concat("has floating point pixels with ", pixels.samples, " samples"));
    return;
  }
  static const std::set<std::string> kColours{"RGB",     "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422",
                                              "YBR_ICT", "YBR_RCT"};
  const bool is_colour = kColours.contains(pixels.photometric);
  if (!is_colour && pixels.photometric != "MONOCHROME1" && pixels.photometric != "MONOCHROME2" &&
      pixels.photometric != "PALETTE COLOR") {
    fail("has a photometric interpretation that is not supported");
  }
  if (pixels.samples != (is_colour ? 3 : 1))
    fail(concat("has ", pixels.samples, " samples per pixel, which does not fit its photometric interpretation"));
  const int allocated = pixels.bits_allocated;
  if (allocated != 1 && allocated != 8 && allocated != 16 && allocated != 32)
    fail(concat("has ", allocated, " bits allocated; 1, 8, 16 and 32 are supported"));
  if (pixels.bits_stored < 1 || pixels.bits_stored > allocated || pixels.high_bit >= allocated ||
      pixels.high_bit + 1 < pixels.bits_stored) {
    fail(concat("has ", pixels.bits_stored, " bits stored and high bit ", pixels.high_bit, " in ", allocated,
                " bits allocated"));
  }
  if (allocated == 1 && is_colour) fail("has colour of one bit");
}

std::optional<DicomPlane> plane_of(DcmItem* position_item, DcmItem* orientation_item) {
  if (position_item == nullptr || orientation_item == nullptr) return {};
  const auto position = array_of<3>(*position_item, DCM_ImagePositionPatient);
  const auto cosines = array_of<6>(*orientation_item, DCM_ImageOrientationPatient);
  if (!position || !cosines) return {};
  DicomPlane plane{
      *position, {(*cosines)[0], (*cosines)[1], (*cosines)[2]}, {(*cosines)[3], (*cosines)[4], (*cosines)[5]}};
  const double x = std::sqrt(dot(plane.x, plane.x)), y = std::sqrt(dot(plane.y, plane.y));
  if (!(std::abs(x - 1) < 0.05 && std::abs(y - 1) < 0.05 && std::abs(dot(plane.x, plane.y)) < 0.05)) return {};
  // Written with few digits: made orthonormal, the rows' direction first.
  for (double& value : plane.x) value /= x;
  plane.y = plus(plane.y, -dot(plane.x, plane.y), plane.x);
  const double length = std::sqrt(dot(plane.y, plane.y));
  for (double& value : plane.y) value /= length;
  return plane;
}

void read_spacing(DcmItem* item, DicomFrame& frame) {
  if (item == nullptr) return;
  // Distance between rows (y), then between columns (x).
  for (const DcmTagKey& tag : {DCM_PixelSpacing, DCM_ImagerPixelSpacing, DCM_NominalScannedPixelSpacing}) {
    const auto spacing = array_of<2>(*item, tag);
    if (!spacing || !((*spacing)[0] > 0 && (*spacing)[1] > 0)) continue;
    frame.spacing_mm = {(*spacing)[1], (*spacing)[0]};
    return;
  }
}

void read_scaling(DcmItem* item, DicomFrame& frame) {
  if (item == nullptr) return;
  const std::optional<double> slope = number_of(*item, DCM_RescaleSlope),
                              intercept = number_of(*item, DCM_RescaleIntercept);
  if (slope && *slope != 0) {
    frame.scaling = {*slope, intercept.value_or(0.0)};
    frame.is_scaled = true;
    frame.scaled_type = text_of(*item, DCM_RescaleType);
  } else if (const std::optional<double> dose = number_of(*item, DCM_DoseGridScaling)) {
    frame.scaling = {*dose, 0.0};
    frame.is_scaled = true;
  }
}

// Where the frames of RT dose and reconstructed NM lie. NM counts them by
// vectors: of gated or two-window images, the slice is one of several counts.
void place_frames(DcmItem& data, DicomHeader& header) {
  if (header.frames.size() < 2) return;
  if (!header.frames[0].plane) {
    DcmItem* const detector = item_of(data, DCM_DetectorInformationSequence);
    header.frames[0].plane = plane_of(detector, detector);
  }
  if (!header.frames[0].plane) return;
  const DicomPlane first = *header.frames[0].plane;
  const size_t num_frames = header.frames.size();
  const std::vector<double> offsets = numbers_of(data, DCM_GridFrameOffsetVector),
                            slices = numbers_of(data, DCM_SliceVector);
  const std::optional<double> step = number_of(data, DCM_SpacingBetweenSlices);
  for (size_t i = 0; i < num_frames; ++i) {
    header.frames[i].plane.reset();
    if (offsets.size() == num_frames) {
      header.frames[i].plane = first;
      header.frames[i].plane->position = plus(first.position, offsets[i] - offsets[0], first.normal());
    } else if (step && header.modality == "NM") {
      header.frames[i].plane = first;
      const double number = slices.size() == num_frames ? slices[i] - slices[0] : static_cast<double>(i);
      header.frames[i].plane->position = plus(first.position, number * *step, first.normal());
    }
  }
}

void read_frames(DcmItem& data, DicomHeader& header) {
  FrameGroups groups(data);
  header.frames.resize(static_cast<size_t>(header.pixels.num_frames));
  for (size_t i = 0; i < header.frames.size(); ++i) {
    DicomFrame& frame = header.frames[i];
    DcmItem* const position = groups.find(i, DCM_PlanePositionSequence);
    frame.plane = plane_of(position, groups.find(i, DCM_PlaneOrientationSequence));
    DcmItem* const measures = groups.find(i, DCM_PixelMeasuresSequence);
    read_spacing(measures, frame);
    read_scaling(groups.find(i, DCM_PixelValueTransformationSequence), frame);
    if (i > 0) continue;
    const auto length = [&](const DcmTagKey& tag) {
      const std::optional<double> mm = number_of(*measures, tag);
      return mm && std::abs(*mm) > 0 ? std::optional(std::abs(*mm)) : std::nullopt;
    };
    header.spacing_between_slices_mm = length(DCM_SpacingBetweenSlices);
    header.slice_step_mm =
        header.spacing_between_slices_mm ? header.spacing_between_slices_mm : length(DCM_SliceThickness);
  }
  if (!groups.is_enhanced()) place_frames(data, header);
  if (header.kind != DicomKind::seg) read_keys(data, groups, header);  // masks have segments instead
}

// Of the padding's value, and of the other end of its range.
std::pair<DcmTagKey, DcmTagKey> padding_tags(PixelKind kind) {
  if (kind == PixelKind::float32) return {DCM_FloatPixelPaddingValue, DCM_FloatPixelPaddingRangeLimit};
  if (kind == PixelKind::float64) return {DCM_DoubleFloatPixelPaddingValue, DCM_DoubleFloatPixelPaddingRangeLimit};
  return {DCM_PixelPaddingValue, DCM_PixelPaddingRangeLimit};
}

void read_padding(DcmItem& data, DicomHeader& header) {
  const PixelFormat& pixels = header.pixels;
  if (!is_grey(pixels)) return;
  const auto [value_tag, limit_tag] = padding_tags(pixels.kind);
  const std::optional<double> value = number_of(data, value_tag);
  if (!value) return;
  // Of VR US or SS; implicit files do not say which, and some explicit ones say the wrong one.
  const auto as_stored = [&](double number) {
    if (pixels.kind != PixelKind::integer) return number;
    const auto bits = static_cast<uint16_t>(static_cast<int64_t>(number));
    return pixels.is_signed ? static_cast<double>(static_cast<int16_t>(bits)) : static_cast<double>(bits);
  };
  const double first = as_stored(*value), second = as_stored(number_of(data, limit_tag).value_or(*value));
  header.padding = {{std::min(first, second), std::max(first, second)}};
}

// Of every sequence that `path` leads to, each item.
template <class Use>
void for_each_item(DcmItem& item, const std::vector<DcmTagKey>& path, const Use& use, size_t depth = 0) {
  if (depth == path.size()) return use(item);
  for (DcmItem* const next : items_of(item, path[depth])) for_each_item(*next, path, use, depth + 1);
}

void describe_mask(DcmItem& data, DicomHeader& header) {
  header.described_frame_uid = header.frame_of_reference_uid;
  const auto add_series = [&](DcmItem& series) {
    const std::string uid = text_of(series, DCM_SeriesInstanceUID);
    if (!uid.empty() &&
        std::find(header.described_series.begin(), header.described_series.end(), uid) == header.described_series.end())
      header.described_series.push_back(uid);
  };
  const auto add_images = [&](DcmItem& item, const DcmTagKey& sequence) {
    for (std::string& reference : references_in(item, sequence)) header.described_images.insert(std::move(reference));
  };
  // What each contour or frame was made from, rather than the list of all that were at hand.
  if (header.kind == DicomKind::seg) {
    for_each_item(data, {DCM_ReferencedSeriesSequence}, add_series);
    for (const DcmTagKey& groups : {DCM_PerFrameFunctionalGroupsSequence, DCM_SharedFunctionalGroupsSequence})
      for_each_item(data, {groups, DCM_DerivationImageSequence},
                    [&](DcmItem& item) { add_images(item, DCM_SourceImageSequence); });
    if (header.described_images.empty()) add_images(data, DCM_SourceImageSequence);
    if (!header.described_images.empty()) return;
    for_each_item(data, {DCM_ReferencedSeriesSequence},
                  [&](DcmItem& item) { add_images(item, DCM_ReferencedInstanceSequence); });
    return;
  }
  if (DcmItem* const frame = item_of(data, DCM_ReferencedFrameOfReferenceSequence))
    header.described_frame_uid = text_of(*frame, DCM_FrameOfReferenceUID);
  const std::vector<DcmTagKey> series{DCM_ReferencedFrameOfReferenceSequence, DCM_RTReferencedStudySequence,
                                      DCM_RTReferencedSeriesSequence};
  for_each_item(data, series, add_series);
  for_each_item(data, {DCM_ROIContourSequence, DCM_ContourSequence},
                [&](DcmItem& item) { add_images(item, DCM_ContourImageSequence); });
  if (header.described_images.empty())
    for_each_item(data, series, [&](DcmItem& item) { add_images(item, DCM_ContourImageSequence); });
}

}  // namespace

DicomHeader read_dicom_header(const DicomFile& file) {
  DcmItem& data = file.data();
  DicomHeader header;
  header.transfer_syntax = file.transfer_syntax;
  header.sop_class = sop_class_of(file);
  header.sop_instance_uid = text_of(data, DCM_SOPInstanceUID);
  header.study_uid = text_of(data, DCM_StudyInstanceUID);
  header.series_uid = text_of(data, DCM_SeriesInstanceUID);
  header.frame_of_reference_uid = text_of(data, DCM_FrameOfReferenceUID);
  header.modality = text_of(data, DCM_Modality);
  header.patient = text_of(data, DCM_PatientID);
  if (const std::string issuer = text_of(data, DCM_IssuerOfPatientID); !header.patient.empty() && !issuer.empty())
    header.patient += '\n' + issuer;
  const DicomClass known = class_of(header.sop_class, header.modality);
  header.kind = known.kind;
  header.what = kind_problem(file);
  if (header.kind == DicomKind::rtstruct || header.kind == DicomKind::seg) describe_mask(data, header);
  if (header.kind == DicomKind::rtstruct) return header;
  if (!has_pixels(data)) {
    header.kind = DicomKind::other;
    if (header.what.empty()) header.what = "is no image: it has no pixel data and is " + class_name(header.sop_class);
    return header;
  }
  header.pixels = pixel_format(data);
  check(header.pixels, file.path);
  read_frames(data, header);
  read_padding(data, header);
  if (header.modality == "PT") header.pet = read_pet_tags(file);
  header.instance_number = number_of(data, DCM_InstanceNumber);
  if (header.sop_class == UID_RTDoseStorage)
    header.remarks.push_back("is a dose distribution (RTDOSE), which is read as an image");
  if (const std::optional<double> width = number_of(data, DCM_TotalPixelMatrixColumns);
      width && *width > static_cast<double>(header.pixels.columns) && header.frames.size() > 1)
    header.remarks.push_back("its frames are tiles of one large picture: each is taken as a slice");
  if (const int64_t part = whole_number(data, DCM_InConcatenationNumber, 0); part > 0)
    header.remarks.push_back(concat(
        "is part ", part, " of an image that was cut into several files; each part is taken as a volume of its own"));
  if (data.tagExists(DCM_ModalityLUTSequence))
    header.remarks.push_back("has a modality lookup table, which is not applied: numbers are as stored");
  return header;
}

bool is_said_more_fully(const std::string& patient, const std::string& other) {
  return patient != other && !other.empty() && (patient.empty() || other.starts_with(patient + '\n'));
}

bool may_be_same_patient(const std::string& a, const std::string& b) {
  return a == b || a.empty() || b.empty() || is_said_more_fully(a, b) || is_said_more_fully(b, a);
}

std::string image_reference(const std::string& sop_instance_uid, int64_t frame_number) {
  return frame_number > 0 ? concat(sop_instance_uid, '/', frame_number) : sop_instance_uid;
}

std::vector<std::string> references_in(DcmItem& item, const DcmTagKey& sequence) {
  std::vector<std::string> references;
  for_each_item(item, {sequence}, [&](DcmItem& image) {
    const std::string uid = text_of(image, DCM_ReferencedSOPInstanceUID);
    if (uid.empty()) return;
    const std::vector<double> frames = numbers_of(image, DCM_ReferencedFrameNumber);
    if (frames.empty()) references.push_back(uid);
    for (const double frame : frames)
      references.push_back(image_reference(uid, std::abs(frame) < 1e9 ? static_cast<int64_t>(frame) : 0));
  });
  return references;
}

std::vector<std::string> identifying_texts(const DicomFile& file) {
  static const std::set<std::pair<Uint16, Uint16>> kIds{
      {0x0008, 0x0050}, {0x0010, 0x0020}, {0x0010, 0x0030}, {0x0010, 0x1000}, {0x0010, 0x1040}, {0x0010, 0x1090},
      {0x0010, 0x2154}, {0x0038, 0x0010}, {0x0010, 0x0050}, {0x0040, 0x2016}, {0x0040, 0x2017}, {0x0010, 0x0032}};
  std::set<std::string> texts;
  const auto add = [&](std::string_view text, size_t min_length) {
    text = trim(text);
    if (text.size() >= min_length) texts.insert(std::string(text));
  };
  DcmStack stack;
  while (file.data().nextObject(stack, OFTrue).good()) {
    auto* const element = dynamic_cast<DcmElement*>(stack.top());
    if (element == nullptr || element->getLength() > 4096) continue;
    const bool is_name = element->ident() == EVR_PN;
    if (!is_name && !kIds.contains({element->getGTag(), element->getETag()})) continue;
    OFString value;
    if (element->getOFStringArray(value).bad()) continue;
    const std::string text = value.c_str();
    add(text, 1);
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find_first_of(is_name ? "^=\\ ," : "\\", begin), text.size());
      add(std::string_view(text).substr(begin, end - begin), is_name ? 3 : 1);
      begin = end + 1;
    }
  }
  return {texts.begin(), texts.end()};
}

StoredType stored_type_of(const PixelFormat& pixels) {
  if (pixels.kind == PixelKind::float32) return StoredType::f32;
  if (pixels.kind == PixelKind::float64) return StoredType::f64;
  if (pixels.palette_bits > 0) return pixels.palette_bits == 8 ? StoredType::u8 : StoredType::u16;
  const bool is_signed = pixels.is_signed && pixels.samples == 1;
  if (pixels.bits_allocated <= 8) return is_signed ? StoredType::i8 : StoredType::u8;
  if (pixels.bits_allocated == 16) return is_signed ? StoredType::i16 : StoredType::u16;
  return is_signed ? StoredType::i32 : StoredType::u32;
}

StoredType common_type(StoredType a, StoredType b) {
  const auto keeps = [](StoredType type, StoredType other) {
    return visit(type, [&]<class Type>(Type) {
      return visit(other, []<class Other>(Other) {
        using To = std::numeric_limits<Type>;
        using From = std::numeric_limits<Other>;
        return To::digits >= From::digits && (To::is_signed || !From::is_signed) &&
               (!To::is_integer || From::is_integer);
      });
    });
  };
  for (const StoredType type : {a, b, StoredType::i16, StoredType::i32}) {
    if (keeps(type, a) && keeps(type, b)) return type;
  }
  return StoredType::f64;
}

}  // namespace vmae::io
