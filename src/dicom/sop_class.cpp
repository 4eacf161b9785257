#include "sop_class.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <map>
#include <set>

#include "vmae/core/text.h"

namespace vmae::io {
namespace {

// What follows 1.2.840.10008.5.1.4.1.1. in PS3.4 table B.5-1, and of retired classes those that were images.
const std::set<std::string>& image_classes() {
  static const std::set<std::string> classes{
      "1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1",  // CR, DX, MG, intra-oral
      // CT, enhanced, legacy converted
      "2", "2.1", "2.2",
      // ultrasound, of several frames, enhanced, photoacoustic
      "3", "3.1", "6", "6.1", "6.2", "6.3",
      // MR, enhanced, enhanced colour, legacy converted
      "4", "4.1", "4.3", "4.4", "5", "20",  // nuclear medicine
      // secondary capture, of several frames
      "7", "7.1", "7.2", "7.3", "7.4", "12.1", "12.1.1", "12.2", "12.2.1", "12.3",  // XA, RF, enhanced, bi-plane
      // X-ray 3D, breast tomosynthesis and projections
      "13.1.1", "13.1.2", "13.1.3", "13.1.4", "13.1.5", "14.1", "14.2",      // intravascular OCT
      "77.1", "77.2", "77.1.1", "77.1.1.1", "77.1.2", "77.1.2.1", "77.1.3",  // endoscopy, microscopy
      // photographs, whole slides, dermoscopy, confocal microscopy
      "77.1.4", "77.1.4.1", "77.1.6", "77.1.7", "77.1.8", "77.1.9", "77.1.5.1", "77.1.5.2", "77.1.5.4", "77.1.5.5",
      "77.1.5.6", "77.1.5.7",  // ophthalmology
      // PET, legacy converted, enhanced
      "128", "128.1", "130",
      // RT image, enhanced; RT dose, which is read with a remark
      "481.1", "481.23", "481.24", "481.2"};
  return classes;
}

constexpr std::string_view kStorage = "1.2.840.10008.5.1.4.1.1.";

// Younger than DCMTK 3.6.7.
const std::map<std::string, std::string>& young_classes() {
  static const std::map<std::string, std::string> names{
      {kLabelMapSegmentation, "label map segmentation (Supplement 243)"},
      {"1.2.840.10008.5.1.4.1.1.66.8", "height map segmentation (Supplement 240)"},
      {"1.2.840.10008.5.1.4.1.1.77.1.8", "confocal microscopy image"},
      {"1.2.840.10008.5.1.4.1.1.77.1.9", "confocal microscopy tiled pyramidal image"}};
  return names;
}

// Of an image that is none to learn from, by ImageType (PS3.3 C.7.6.1.1.2), whose values are joined by backslashes.
std::string image_type_problem(DcmItem& data) {
  const std::string all = '\\' + text_of(data, DCM_ImageType) + '\\';
  const auto has = [&](std::string_view value) { return all.find(concat('\\', value, '\\')) != std::string::npos; };
  if (has("LOCALIZER")) return "is a localizer (by its ImageType), which only shows where other images lie";
  // Siemens puts the slices of a volume side by side into one
  // picture, and says so in ImageType or in its private group.
  const bool is_siemens = text_of(data, DcmTagKey(0x0019, 0x0010)) == "SIEMENS MR HEADER";
  const bool is_mosaic = has("MOSAIC") && text_of(data, DCM_Modality) == "MR";
  if (is_mosaic || (is_siemens && number_of(data, DcmTagKey(0x0019, 0x100A)).value_or(0) > 1))
    return "is a Siemens mosaic: the slices of a volume as tiles of one picture; convert it with a program that takes "
           "them apart, such as dcm2niix";
  return "";
}

}  // namespace

std::string class_name(const std::string& sop_class) {
  if (sop_class.empty()) return "of no known kind";
  if (const auto young = young_classes().find(sop_class); young != young_classes().end())
    return concat("a ", young->second, " (", sop_class, ")");
  const std::string name = name_of_uid(sop_class);
  if (name != sop_class) return concat("a '", name, "'");
  return concat("of ", sop_class.starts_with("1.2.840.10008.") ? "an unknown" : "a private", " SOP class (",
                sop_class.substr(0, 64), ")");
}

DicomClass class_of(const std::string& sop_class, const std::string& modality) {
  if (sop_class == UID_RTStructureSetStorage) return {DicomKind::rtstruct, ""};
  if (sop_class == UID_SegmentationStorage || sop_class == kLabelMapSegmentation) return {DicomKind::seg, ""};
  const bool is_image = sop_class.empty() || (sop_class.starts_with(kStorage) &&
                                              image_classes().contains(sop_class.substr(kStorage.size())));
  if (!is_image) return {DicomKind::other, "is no image: it is " + class_name(sop_class)};
  static const std::set<std::string> kNoImages{"SEG", "SR",  "PR",  "KO",   "RTSTRUCT", "RTPLAN", "RTRECORD",
                                               "REG", "FID", "DOC", "PLAN", "M3D",      "RWV"};
  if (kNoImages.contains(modality))
    return {DicomKind::other, concat("is no image: its modality is ", modality, ", although it is stored as ",
                                     sop_class.empty() ? "nothing in particular" : class_name(sop_class))};
  return {DicomKind::image, ""};
}

std::string sop_class_of(const DicomFile& file) {
  const std::string uid = text_of(file.data(), DCM_SOPClassUID);
  return uid.empty() ? text_of(*file.format->getMetaInfo(), DCM_MediaStorageSOPClassUID) : uid;
}

std::string kind_problem(const DicomFile& file) {
  const std::string sop_class = sop_class_of(file);
  if (sop_class == UID_MediaStorageDirectoryStorage || file.data().tagExists(DCM_DirectoryRecordSequence))
    return "is a DICOMDIR, a directory of other files";
  const std::string problem = class_of(sop_class, text_of(file.data(), DCM_Modality)).what;
  return problem.empty() ? image_type_problem(file.data()) : problem;
}

}  // namespace vmae::io
