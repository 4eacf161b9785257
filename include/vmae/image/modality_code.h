#pragma once
// DICOM's codes of modalities.
#include <string>

namespace vmae::io {

// "MRI", "mr", "T1" -> MR; "CT" -> CT; "PET" -> PT; two capital letters as they are; unknown -> "".
std::string modality_code(const std::string& text);
// The tag Modality, which must be one of DICOM's defined terms: anything else becomes OT, and "" stays.
std::string dicom_modality(const std::string& text);

}  // namespace vmae::io
