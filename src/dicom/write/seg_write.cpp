// By DCMTK's data sets rather than its DcmSegmentation, which does not write an object at all where a value
// of the source's patient or study breaks the rules (PatientAge "45", StudyDate "2001-1-1": both are met).
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <set>

#include "seg_source.h"
#include "vmae/core/error.h"
#include "vmae/dicom/seg_write.h"
#include "write.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostPixelBytes = 0xFFFFFFFEU;  // lengths have 32 bits
constexpr int64_t kSeriesNumberOffset = 1000;    // behind those that scanners give

// A frame of the segmentation: which segment, in which slice.
struct SegFrame {
  uint8_t segment;
  size_t z;
};

std::vector<SegFrame> frames_of(const Volume& image, std::span<const uint8_t> labels, size_t num_classes) {
  const auto slice_size = static_cast<size_t>(image.size[0] * image.size[1]),
             num_slices = static_cast<size_t>(image.size[2]);
  std::vector<SegFrame> frames;
  for (size_t z = 0; z < num_slices; ++z) {
    std::array<bool, 256> is_there{};
    for (const uint8_t label : labels.subspan(z * slice_size, slice_size)) is_there[label] = true;
    for (size_t label = 1; label < 256; ++label) {
      if (!is_there[label]) continue;
      if (label > num_classes)
        throw Error(ExitCode::internal, concat("write_dicom_seg: label ", label, " of ", num_classes, " classes"));
      frames.push_back({static_cast<uint8_t>(label), z});
    }
  }
  std::stable_sort(frames.begin(), frames.end(),
                   [](const SegFrame& a, const SegFrame& b) { return a.segment < b.segment; });
  if (frames.empty()) frames.push_back({1, 0});
  return frames;
}

// One bit a pixel, lowest bit first, frames without a gap.
std::vector<uint8_t> pack(const Volume& image, std::span<const uint8_t> labels, const std::vector<SegFrame>& frames,
                          const fs::path& output) {
  const auto slice_size = static_cast<size_t>(image.size[0] * image.size[1]);
  const size_t num_bytes = (frames.size() * slice_size + 15) / 16 * 2;
  if (num_bytes > kMostPixelBytes)
    fail_file(
        output,
        concat("needs ", human_bytes(static_cast<double>(num_bytes)), " of pixels; a DICOM file holds 4 GiB at most"),
        "write NIfTI instead");
  std::vector<uint8_t> packed(num_bytes, 0);
  size_t bit = 0;
  for (const SegFrame& frame : frames) {
    for (const uint8_t label : labels.subspan(frame.z * slice_size, slice_size)) {
      if (label == frame.segment) packed[bit / 8] = static_cast<uint8_t>(packed[bit / 8] | 1U << bit % 8);
      ++bit;
    }
  }
  return packed;
}

class Writer {
 public:
  Writer(const SegSource& series, const Volume& image, const DicomSegDescription& description, const std::string& seed)
      : series_(series), image_(image), description_(description), seed_(seed), data_(*format_.getDataset()) {}

  void write(const fs::path& output, std::span<const uint8_t> labels) {
    const std::vector<SegFrame> frames = frames_of(image_, labels, description_.class_names.size());
    const std::vector<uint8_t> pixels = pack(image_, labels, frames, output);
    put_patient_and_study();
    put_series();
    put_image(frames.size());
    for (size_t i = 0; i < description_.class_names.size(); ++i) put_segment(i);
    put_dimensions();
    put_shared_groups();
    put_frames(frames);
    put_references();
    if (data_
            .putAndInsertUint8Array(DcmTag(DCM_PixelData, EVR_OB), pixels.data(),
                                    static_cast<unsigned long>(pixels.size()))
            .bad())
      throw Error(ExitCode::internal, "DICOM pixel data can't be set");
    save_dicom(format_, output);
  }

 private:
  std::string text(const std::string& utf8, size_t most = 64) const { return long_string(utf8, !takes_utf8_, most); }
  std::string text_or(const std::string& utf8, const std::string& otherwise) const {
    const std::string result = text(utf8);
    return result.empty() ? otherwise : result;
  }

  void put_patient_and_study() {
    takes_utf8_ = copy_patient_and_study(series_.first.data(), data_);
    const auto make_up = [&](const DcmTagKey& tag) {
      if (text_of(data_, tag).empty())
        put(data_, tag,
            uid_of(concat(DcmTag(tag).getTagName(), ' ', series_.header.series_uid, series_.slices[0].sop_instance)));
    };
    make_up(DCM_StudyInstanceUID);
    if (series_.has_places) return make_up(DCM_FrameOfReferenceUID);
    if (!text_of(data_, DCM_FrameOfReferenceUID).empty()) return;
    for (const DcmTagKey& tag : {DCM_FrameOfReferenceUID, DCM_PositionReferenceIndicator})
      data_.findAndDeleteElement(tag);
  }

  void put_series() {
    put(data_, DCM_Modality, "SEG");
    put(data_, DCM_SeriesInstanceUID, uid_of(seed_ + "series"));
    const double number = number_of(series_.first.data(), DCM_SeriesNumber).value_or(0);
    put(data_, DCM_SeriesNumber,
        concat(kSeriesNumberOffset + (number > 0 && number < 1e9 ? static_cast<int64_t>(number) : 0)));
    if (const std::string words = text(description_.series_description); !words.empty())
      put(data_, DCM_SeriesDescription, words);
    put(data_, DCM_Manufacturer, "vmae");
    put(data_, DCM_ManufacturerModelName, text_or(description_.algorithm_name, "vmae"));
    put(data_, DCM_DeviceSerialNumber, "none");
    put(data_, DCM_SoftwareVersions, text_or(description_.algorithm_version, "unknown"));
  }

  void put_image(size_t num_frames) {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    std::array<char, 16> date, time;
    std::strftime(date.data(), date.size(), "%Y%m%d", &local);
    std::strftime(time.data(), time.size(), "%H%M%S", &local);
    put(data_, DCM_SOPClassUID, UID_SegmentationStorage);
    put(data_, DCM_SOPInstanceUID, uid_of(seed_ + "instance"));
    put(data_, DCM_InstanceNumber, "1");
    put(data_, DCM_ContentDate, date.data());
    put(data_, DCM_ContentTime, time.data());
    put(data_, DCM_ImageType, "DERIVED\\PRIMARY");
    if (!series_.has_places) {
      // "L\\F": where rows and columns go
      const std::string orientation = text_of(series_.first.data(), DCM_PatientOrientation);
      put(data_, DCM_PatientOrientation,
          std::count(orientation.begin(), orientation.end(), '\\') == 1 ? orientation : "");
    }
    put(data_, DCM_ContentLabel, "SEGMENTATION");
    put(data_, DCM_ContentDescription, "");
    put(data_, DCM_ContentCreatorName, "");
    put(data_, DCM_BurnedInAnnotation, "NO");
    put(data_, DCM_SegmentationType, "BINARY");
    put(data_, DCM_SegmentsOverlap, "NO");
    put(data_, DCM_PhotometricInterpretation, "MONOCHROME2");
    put(data_, DCM_NumberOfFrames, concat(num_frames));
    const std::array<std::pair<DcmTagKey, int64_t>, 7> format{{{DCM_SamplesPerPixel, 1},
                                                               {DCM_Rows, image_.size[1]},
                                                               {DCM_Columns, image_.size[0]},
                                                               {DCM_BitsAllocated, 1},
                                                               {DCM_BitsStored, 1},
                                                               {DCM_HighBit, 0},
                                                               {DCM_PixelRepresentation, 0}}};
    for (const auto& [tag, number] : format) put(data_, tag, concat(number));
    const std::string ratio = text_of(series_.first.data(), DCM_LossyImageCompressionRatio),
                      method = text_of(series_.first.data(), DCM_LossyImageCompressionMethod);
    const bool was_lossy =
        text_of(series_.first.data(), DCM_LossyImageCompression) == "01" && !ratio.empty() && !method.empty();
    put(data_, DCM_LossyImageCompression, was_lossy ? "01" : "00");
    if (!was_lossy) return;
    put(data_, DCM_LossyImageCompressionRatio, ratio);
    put(data_, DCM_LossyImageCompressionMethod, method);
  }

  void put_segment(size_t index) {
    DcmItem& segment = add_item(data_, DCM_SegmentSequence);
    put(segment, DCM_SegmentNumber, concat(index + 1));
    put(segment, DCM_SegmentLabel, text_or(description_.class_names[index], concat("segment ", index + 1)));
    put(segment, DCM_SegmentAlgorithmType, "AUTOMATIC");
    put(segment, DCM_SegmentAlgorithmName, text_or(description_.algorithm_name, "vmae"));
    put_code(segment, DCM_SegmentedPropertyCategoryCodeSequence, "85756007", "SCT", "Tissue");
    put_code(segment, DCM_SegmentedPropertyTypeCodeSequence, "91723000", "SCT", "Anatomical structure");
    DcmItem& algorithm = add_item(segment, DCM_SegmentationAlgorithmIdentificationSequence);
    put_code(algorithm, DCM_AlgorithmFamilyCodeSequence, "123110", "DCM", "Artificial Intelligence");
    put(algorithm, DCM_AlgorithmName, text_or(description_.algorithm_name, "vmae"));
    put(algorithm, DCM_AlgorithmVersion, text_or(description_.algorithm_version, "unknown"));
  }

  // Frames are counted by segment, then by place or number.
  void put_dimensions() {
    const std::string uid = uid_of(seed_ + "dimensions");
    put(add_item(data_, DCM_DimensionOrganizationSequence), DCM_DimensionOrganizationUID, uid);
    const auto add = [&](const char* pointer, const char* group, const char* label) {
      DcmItem& dimension = add_item(data_, DCM_DimensionIndexSequence);
      put(dimension, DCM_DimensionOrganizationUID, uid);
      put(dimension, DCM_DimensionIndexPointer, pointer);
      put(dimension, DCM_FunctionalGroupPointer, group);
      put(dimension, DCM_DimensionDescriptionLabel, label);
    };
    add("(0062,000b)", "(0062,000a)", "ReferencedSegmentNumber");
    if (series_.has_places) return add("(0020,0032)", "(0020,9113)", "ImagePositionPatient");
    add("(0020,9057)", "(0020,9111)", "InStackPositionNumber");
  }

  // Of the first slice, as all are parallel.
  void put_shared_groups() {
    const DicomFrame& frame = series_.slices[0].frame;
    DcmItem& shared = add_item(data_, DCM_SharedFunctionalGroupsSequence);
    if (!series_.has_places) return;
    put_orientation(shared, frame);
    DcmItem& measures = add_item(shared, DCM_PixelMeasuresSequence);
    const double thickness_mm = number_of(series_.first.data(), DCM_SliceThickness).value_or(0);
    put(measures, DCM_PixelSpacing, decimal_text(frame.spacing_mm[1]) + "\\" + decimal_text(frame.spacing_mm[0]));
    put(measures, DCM_SliceThickness, decimal_text(thickness_mm > 0 ? thickness_mm : image_.spacing_mm[2]));
    put(measures, DCM_SpacingBetweenSlices, decimal_text(image_.spacing_mm[2]));
  }

  static void put_orientation(DcmItem& group, const DicomFrame& frame) {
    std::string cosines;
    for (const Vec3& axis : {frame.plane->x, frame.plane->y}) {
      for (const double cosine : axis) cosines += (cosines.empty() ? "" : "\\") + decimal_text(cosine);
    }
    put(add_item(group, DCM_PlaneOrientationSequence), DCM_ImageOrientationPatient, cosines);
  }

  static void put_position(DcmItem& group, const DicomFrame& frame) {
    std::string position;
    for (const double mm : frame.plane->position) position += (position.empty() ? "" : "\\") + decimal_text(mm);
    put(add_item(group, DCM_PlanePositionSequence), DCM_ImagePositionPatient, position);
  }

  void put_frames(const std::vector<SegFrame>& frames) {
    std::set<size_t> used;
    for (const SegFrame& frame : frames) used.insert(frame.z);
    std::vector<size_t> rank(series_.slices.size());
    // of places in their order, or InStackPositionNumber itself
    for (size_t i = 0; const size_t z : used) rank[z] = series_.has_places ? ++i : z + 1;
    for (const SegFrame& frame : frames) {
      const SourceSlice& slice = series_.slices[frame.z];
      DcmItem& group = add_item(data_, DCM_PerFrameFunctionalGroupsSequence);
      DcmItem& content = add_item(group, DCM_FrameContentSequence);
      put(content, DCM_DimensionIndexValues, concat(int{frame.segment}, '\\', rank[frame.z]));
      put(add_item(group, DCM_SegmentIdentificationSequence), DCM_ReferencedSegmentNumber, concat(int{frame.segment}));
      if (series_.has_places) {
        put_position(group, slice.frame);
      } else {
        put(content, DCM_StackID, "1");
        put(content, DCM_InStackPositionNumber, concat(frame.z + 1));
      }
      DcmItem& derivation = add_item(group, DCM_DerivationImageSequence);
      put_code(derivation, DCM_DerivationCodeSequence, "113076", "DCM", "Segmentation");
      DcmItem& source = add_item(derivation, DCM_SourceImageSequence);
      put(source, DCM_ReferencedSOPClassUID, slice.sop_class);
      put(source, DCM_ReferencedSOPInstanceUID, slice.sop_instance);
      if (slice.frame_number > 0) put(source, DCM_ReferencedFrameNumber, concat(slice.frame_number));
      put(source, DCM_SpatialLocationsPreserved, "YES");
      put_code(source, DCM_PurposeOfReferenceCodeSequence, "121322", "DCM",
               "Source image for image processing operation");
    }
  }

  void put_references() {
    DcmItem& series = add_item(data_, DCM_ReferencedSeriesSequence);
    put(series, DCM_SeriesInstanceUID, series_.header.series_uid);
    std::string last;
    for (const SourceSlice& slice : series_.slices) {
      if (slice.sop_instance == last) continue;  // frames of one file
      last = slice.sop_instance;
      DcmItem& instance = add_item(series, DCM_ReferencedInstanceSequence);
      put(instance, DCM_ReferencedSOPClassUID, slice.sop_class);
      put(instance, DCM_ReferencedSOPInstanceUID, slice.sop_instance);
    }
  }

  const SegSource& series_;
  const Volume& image_;
  const DicomSegDescription& description_;
  const std::string seed_;
  DcmFileFormat format_;
  DcmDataset& data_;
  bool takes_utf8_ = false;
};

}  // namespace

void write_dicom_seg(const fs::path& output, std::span<const fs::path> series_files, const Volume& image,
                     std::span<const uint8_t> labels, const DicomSegDescription& description,
                     std::optional<int64_t> volume) {
  if (description.class_names.empty() || description.class_names.size() > 255 || series_files.empty())
    throw Error(ExitCode::internal, "write_dicom_seg: 1 to 255 classes and at least one file are needed");
  const SegSource series = read_seg_source(series_files, volume);
  const PixelFormat& pixels = series.header.pixels;
  if (static_cast<int64_t>(labels.size()) != image.size[0] * image.size[1] * image.size[2] ||
      pixels.columns != image.size[0] || pixels.rows != image.size[1] ||
      static_cast<int64_t>(series.slices.size()) != image.size[2]) {
    throw Error(ExitCode::internal, "write_dicom_seg: the files, the image and the labels are not of one size");
  }
  Writer(series, image, description, seed_of(series, labels, description)).write(output, labels);
}

}  // namespace vmae::io
