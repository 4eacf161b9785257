#pragma once
// What a DICOM object is, by its SOP class. A list says what is an
// image (PS3.4 B.5); whatever is not on it, or not known, is none.
#include <string>

#include "file.h"
#include "vmae/dicom/kinds.h"

namespace vmae::io {

inline constexpr const char* kLabelMapSegmentation = "1.2.840.10008.5.1.4.1.1.66.7";  // younger than DCMTK 3.6.7

struct DicomClass {
  DicomKind kind = DicomKind::other;
  std::string what;  // kind other: what it is instead, as "is no image: it is a ..."
};

// `sop_class`: a UID, or "" of a file that doesn't say, which is taken for an image. `modality`
// overrules an image's class where it says that the pixels are none (SEG, SR, PR, ...).
DicomClass class_of(const std::string& sop_class, const std::string& modality);

// "a 'BasicTextSRStorage (1.2.840...)'", in words where the UID is younger
// than DCMTK's dictionary, or what is known of a UID that is no standard's.
std::string class_name(const std::string& sop_class);

// As the data set says, else the meta header.
std::string sop_class_of(const DicomFile& file);

// Why a file is neither an image to learn from nor a mask, whatever pixels
// it has (a localizer and a mosaic of slices are none); "" if it is.
std::string kind_problem(const DicomFile& file);

}  // namespace vmae::io
