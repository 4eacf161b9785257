#pragma once
// What the tests of DICOM segmentations share.
#include "support/dicom.h"
#include "vmae/dicom/group.h"
#include "vmae/dicom/seg_write.h"

namespace vmae::test {

inline const io::DicomSegDescription kSegDescription{
    {"tumour", "lymph node"}, "swin-unet", "0.1.0", "vmae: tumour, lymph node"};

inline io::DicomSeries sts001_series(const std::string& name) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(sts001() / name / "image"))
    files.push_back(entry.path());
  return io::group_dicom(files).series.at(0);
}

}  // namespace vmae::test
