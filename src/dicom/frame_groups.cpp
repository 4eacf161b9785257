#include "frame_groups.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <set>

#include "vmae/core/text.h"

namespace vmae::io {
namespace {

// What may tell images of one place apart: where single images say
// it, and where frames do. In the order in which they are tried.
struct Key {
  const char* name;
  DcmTagKey tag, macro, frame_tag;
};

const std::vector<Key>& keys() {
  static const std::vector<Key> kKeys{
      {"TemporalPositionIdentifier", DCM_TemporalPositionIdentifier, DCM_FrameContentSequence,
       DCM_TemporalPositionIndex},
      {"AcquisitionNumber", DCM_AcquisitionNumber, DCM_FrameContentSequence, DCM_FrameAcquisitionNumber},
      {"EchoNumbers", DCM_EchoNumbers, DCM_MREchoSequence, DCM_EchoNumbers},
      {"EchoTime", DCM_EchoTime, DCM_MREchoSequence, DCM_EffectiveEchoTime},
      {"TriggerTime", DCM_TriggerTime, DCM_CardiacSynchronizationSequence, DCM_NominalCardiacTriggerDelayTime},
      {"DiffusionBValue", DCM_DiffusionBValue, DCM_MRDiffusionSequence, DCM_DiffusionBValue},
      {"ImageType", DCM_ImageType, DCM_MRImageFrameTypeSequence, DCM_FrameType},
      {"FrameType", DCM_FrameType, DCM_CTImageFrameTypeSequence, DCM_FrameType},
      {"FrameType", DCM_FrameType, DCM_PETFrameTypeSequence, DCM_FrameType},
      {"ComplexImageComponent", DCM_ComplexImageComponent, DCM_MRImageFrameTypeSequence, DCM_ComplexImageComponent},
      {"CardiacPhase", DCM_NominalPercentageOfCardiacPhase, DCM_CardiacSynchronizationSequence,
       DCM_NominalPercentageOfCardiacPhase},
      {"RespiratoryPhase", DCM_NominalPercentageOfRespiratoryPhase, DCM_RespiratorySynchronizationSequence,
       DCM_NominalPercentageOfRespiratoryPhase},
      {"InversionTime", DCM_InversionTime, DCM_MRModifierSequence, DCM_InversionTimes},
      {"FlipAngle", DCM_FlipAngle, DCM_MRTimingAndRelatedParametersSequence, DCM_FlipAngle},
      {"RepetitionTime", DCM_RepetitionTime, DCM_MRTimingAndRelatedParametersSequence, DCM_RepetitionTime},
      {"KVP", DCM_KVP, DCM_CTXRayDetailsSequence, DCM_KVP},
      {"ConvolutionKernel", DCM_ConvolutionKernel, DCM_CTReconstructionSequence, DCM_ConvolutionKernel},
      {"StackID", DCM_StackID, DCM_FrameContentSequence, DCM_StackID},
      {"TemporalPositionTimeOffset", DCM_TemporalPositionTimeOffset, DCM_TemporalPositionSequence,
       DCM_TemporalPositionTimeOffset},
      {"FrameReferenceTime", DCM_FrameReferenceTime, DCM_FrameContentSequence, DCM_FrameReferenceDateTime},
      {"AcquisitionDateTime", DCM_AcquisitionDateTime, DCM_FrameContentSequence, DCM_FrameAcquisitionDateTime},
      {"AcquisitionTime", DCM_AcquisitionTime, DCM_AcquisitionTime, DCM_AcquisitionTime},
      {"ContentTime", DCM_ContentTime, DCM_ContentTime, DCM_ContentTime}};
  return kKeys;
}

// NM counts frames by vectors, one number a frame each.
const std::vector<std::pair<const char*, DcmTagKey>>& count_vectors() {
  static const std::vector<std::pair<const char*, DcmTagKey>> kVectors{{"EnergyWindowVector", DCM_EnergyWindowVector},
                                                                       {"DetectorVector", DCM_DetectorVector},
                                                                       {"PhaseVector", DCM_PhaseVector},
                                                                       {"RRIntervalVector", DCM_RRIntervalVector},
                                                                       {"TimeSlotVector", DCM_TimeSlotVector},
                                                                       {"TimeSliceVector", DCM_TimeSliceVector}};
  return kVectors;
}

// The dimensions of a multi-frame file (C.7.6.17): those that count
// places, and the others, which tell apart what lies at one place.
struct Dimensions {
  std::vector<size_t> places, others;  // their number in DimensionIndexValues
  std::vector<std::string> names;      // of `others`
};

Dimensions dimensions_of(DcmItem& data) {
  static const std::set<std::pair<Uint16, Uint16>> kPlaces{
      {0x0020, 0x0032}, {0x0020, 0x9057}, {0x0020, 0x1041}, {0x0020, 0x9301}};
  static const std::set<std::pair<Uint16, Uint16>> kInPlane{
      {0x0048, 0x021E}, {0x0048, 0x021F}, {0x0040, 0x072A}, {0x0040, 0x073A}, {0x0040, 0x074A}};  // of tiles
  Dimensions dimensions;
  for (size_t i = 0; i < num_items(data, DCM_DimensionIndexSequence); ++i) {
    DcmElement* pointer = nullptr;
    DcmTagKey tag;
    if (item_of(data, DCM_DimensionIndexSequence, i)->findAndGetElement(DCM_DimensionIndexPointer, pointer).bad() ||
        pointer == nullptr || pointer->getTagVal(tag, 0).bad()) {
      continue;
    }
    const std::pair<Uint16, Uint16> number{tag.getGroup(), tag.getElement()};
    if (kInPlane.contains(number)) continue;
    if (kPlaces.contains(number)) {
      dimensions.places.push_back(i);
      continue;
    }
    dimensions.others.push_back(i);
    dimensions.names.push_back(DcmTag(tag).getTagName());
  }
  return dimensions;
}

std::string number_at(const std::vector<double>& numbers, size_t index) {
  return index < numbers.size() ? number_text(numbers[index]) : "";
}

}  // namespace

FrameGroups::FrameGroups(DcmItem& data)
    : data_(data),
      shared_(item_of(data, DCM_SharedFunctionalGroupsSequence)),
      own_(items_of(data, DCM_PerFrameFunctionalGroupsSequence)) {}

DcmItem* FrameGroups::find(size_t frame, const DcmTagKey& macro) {
  if (frame < own_.size()) {
    if (DcmItem* const own = item_of(*own_[frame], macro)) return own;
  }
  if (shared_ != nullptr) {
    if (DcmItem* const item = item_of(*shared_, macro)) return item;
  }
  return &data_;
}

void read_keys(DcmItem& data, FrameGroups& groups, DicomHeader& header) {
  const Dimensions dimensions = dimensions_of(data);
  header.key_names = dimensions.names;
  std::vector<std::vector<double>> vectors;
  for (const auto& [name, tag] : count_vectors()) {
    vectors.push_back(numbers_of(data, tag));
    header.key_names.emplace_back(name);
  }
  for (const Key& key : keys()) header.key_names.emplace_back(key.name);
  header.key_names.emplace_back("pixel format");  // last: two reconstructions that only that tells apart
  const PixelFormat& pixels = header.pixels;
  const std::string format = concat(pixels.photometric, ' ', pixels.bits_allocated, ' ', pixels.bits_stored, ' ',
                                    pixels.high_bit, ' ', pixels.is_signed);
  for (size_t i = 0; i < header.frames.size(); ++i) {
    DicomFrame& frame = header.frames[i];
    const std::vector<double> indices =
        dimensions.others.empty() && dimensions.places.empty()
            ? std::vector<double>{}
            : numbers_of(*groups.find(i, DCM_FrameContentSequence), DCM_DimensionIndexValues);
    if (dimensions.places.size() == 1 && dimensions.places[0] < indices.size())
      frame.place_index = indices[dimensions.places[0]];
    for (const size_t at : dimensions.others) frame.keys.push_back(number_at(indices, at));
    for (const std::vector<double>& vector : vectors)
      frame.keys.push_back(vector.size() == header.frames.size() ? number_at(vector, i) : "");
    for (const Key& key : keys()) {
      DcmItem* const item = groups.find(i, key.macro);
      const std::string value = item != &data ? text_of(*item, key.frame_tag) : "";
      frame.keys.push_back(value.empty() ? text_of(data, key.tag) : value);
    }
    frame.keys.push_back(format);
  }
}

}  // namespace vmae::io
