#include "vmae/image/modality_code.h"

#include <algorithm>
#include <map>
#include <set>

#include "vmae/core/text.h"

namespace vmae::io {

std::string dicom_modality(const std::string& text) {
  static const std::set<std::string> kTerms{
      "AR", "BI", "BMD", "CR", "CT", "CTPROTOCOL", "DG", "DX", "ECG", "EPS", "ES", "FID", "GM", "HC", "HD", "IO", "IOL",
      "IVOCT", "IVUS", "KER", "KO", "LEN", "LS", "MG", "MR", "M3D", "NM", "OAM", "OCT", "OP", "OPM", "OPT", "OPTBSV",
      "OPTENF", "OPV", "OSS", "OT", "PA", "PLAN", "POS", "PR", "PT", "PX", "REG", "RESP", "RF", "RG", "RTDOSE",
      "RTIMAGE", "RTPLAN", "RTSTRUCT", "RWV", "SC", "SEG", "SM", "SMR",
      // PS3.3 C.7.3.1.1.1
      "SR", "SRF", "STAIN", "TEXTUREMAP", "TG", "US", "VA", "XA", "XAPROTOCOL", "XC"};
  return text.empty() || kTerms.contains(text) ? text : "OT";
}

std::string modality_code(const std::string& text) {
  const std::string name = to_lower(text);
  if (name.empty()) return "";
  const auto starts = [&](std::initializer_list<const char*> words) {
    return std::any_of(words.begin(), words.end(), [&](const char* word) { return name.starts_with(word); });
  };
  if (name == "ct" || starts({"ct_", "ct ", "cect", "ncct", "computed tomography"})) return "CT";
  if (starts({"mr", "t1", "t2", "flair", "adc", "dwi", "pd", "magnetic"})) return "MR";
  if (starts({"pet", "pt", "suv"})) return "PT";
  if (starts({"us", "ultrasound", "sonography"})) return "US";
  if (starts({"xr", "x-ray", "xray", "cxr", "radiograph"})) return "DX";
  if (starts({"dermoscopy", "photo", "skin"})) return "XC";
  // a DICOM code
  if (text.size() == 2 && std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 'A' && c <= 'Z'; }))
    return text;
  return "";
}

}  // namespace vmae::io
