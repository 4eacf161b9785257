#include "dicom_seg_frames.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <algorithm>

#include "dicom_pixels.h"
#include "vmae/core/text.h"

namespace vmae::io {
namespace {

// The segment number of each frame: in its functional groups, or the shared ones.
std::vector<int64_t> segments_of_frames(DcmItem& data, size_t num_frames) {
  const auto number_in = [](DcmItem* group) -> std::optional<double> {
    DcmItem* const item = group != nullptr ? item_of(*group, DCM_SegmentIdentificationSequence) : nullptr;
    return item != nullptr ? number_of(*item, DCM_ReferencedSegmentNumber) : std::nullopt;
  };
  const std::optional<double> shared = number_in(item_of(data, DCM_SharedFunctionalGroupsSequence));
  std::vector<int64_t> numbers;
  for (size_t i = 0; i < num_frames; ++i) {
    const std::optional<double> own = number_in(item_of(data, DCM_PerFrameFunctionalGroupsSequence, i));
    numbers.push_back(static_cast<int64_t>(own ? *own : shared.value_or(1)));
  }
  return numbers;
}

}  // namespace

SegFrames seg_frames(const DicomFile& file, const DicomHeader& header, const std::vector<std::string>& names) {
  const PixelFormat& pixels = header.pixels;
  if (pixels.rows == 0 || !is_grey(pixels)) fail_dicom(file.path, "is a segmentation without pixels");
  if (pixels.bits_allocated > 8) fail_dicom(file.path, "is a label map segmentation, which is not supported");
  DcmItem& data = file.data();
  std::vector<std::string> available;
  std::map<int64_t, size_t> by_number;
  for (size_t i = 0; i < num_items(data, DCM_SegmentSequence); ++i) {
    DcmItem& segment = *item_of(data, DCM_SegmentSequence, i);
    by_number[static_cast<int64_t>(number_of(segment, DCM_SegmentNumber).value_or(0))] = i;
    available.push_back(text_of(segment, DCM_SegmentLabel));
  }
  const LabelChoice choice = choose_labels(available, names, file.path);
  const bool is_fractional = text_of(data, DCM_SegmentationType) == "FRACTIONAL";
  SegFrames frames{choice.names, {}, is_fractional ? number_of(data, DCM_MaximumFractionalValue).value_or(255) / 2 : 1};

  const std::vector<int64_t> segments = segments_of_frames(data, header.frames.size());
  for (size_t i = 0; i < header.frames.size(); ++i) {
    const auto found = by_number.find(segments[i]);
    if (found == by_number.end()) fail_dicom(file.path, concat("has a frame of segment ", segments[i], ", which it does not describe"));
    if (choice.label[found->second] != 0) frames.order.emplace_back(choice.label[found->second], i);
  }
  std::sort(frames.order.begin(), frames.order.end());
  return frames;
}

SegPixels::SegPixels(const DicomFile& file, const DicomHeader& header, double threshold)
    : file_(file), header_(header), threshold_(threshold), reader_(file, header), numbers_(static_cast<size_t>(header.pixels.rows * header.pixels.columns)) {}

void SegPixels::read(size_t frame) {
  reader_.read(static_cast<int64_t>(frame), raw_);
  unpack_frame(raw_, header_.pixels, {}, file_.path, numbers_.data());
}

SegReference reference_of(const DicomFile& file, size_t frame) {
  DcmItem* const group = item_of(file.data(), DCM_PerFrameFunctionalGroupsSequence, frame);
  DcmItem* const derivation = group != nullptr ? item_of(*group, DCM_DerivationImageSequence) : nullptr;
  DcmItem* const source = derivation != nullptr ? item_of(*derivation, DCM_SourceImageSequence) : nullptr;
  if (source == nullptr) fail_dicom(file.path, "does not say where its frames lie, nor what they were made from");
  return {text_of(*source, DCM_ReferencedSOPInstanceUID), text_of(*source, DCM_ReferencedFrameNumber)};
}

}  // namespace vmae::io
