// Objects, maps and what should be in them, for tests/python/test_write_labels.py,
// which reads them with other people's code: into VMAE_TEST_OUTPUT where that is set.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "support/seg_cases.h"
#include "support/temp_folder.h"
#include "support/write_cases.h"
#include "vmae/cases/read_image.h"
#include "vmae/cases/write_labels.h"
#include "vmae/dicom/volume.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

// NAME.dcm, the labels in it (x fastest), and the list of the images.
void write_seg(const fs::path& output, const std::string& name, const std::vector<fs::path>& files) {
  const Volume image = read_dicom(files);
  const std::vector<uint8_t> labels = test::made_up_labels(image, 2);
  write_dicom_seg(output / (name + ".dcm"), files, image, labels, test::kSegDescription);
  std::ofstream(output / (name + ".labels"), std::ios::binary)
      .write(reinterpret_cast<const char*>(labels.data()), static_cast<std::streamsize>(labels.size()));
  std::ofstream list(output / (name + ".txt"));
  for (const fs::path& file : files) list << file.string() << '\n';
}

TEST(WriteForOthers, Files) {
  const test::TempFolder folder;
  const char* wanted = std::getenv("VMAE_TEST_OUTPUT");
  const fs::path output = wanted != nullptr ? fs::path(wanted) : folder.path();
  fs::create_directories(output);
  for (const char* name : {"CT", "MR_T1", "PET"}) write_seg(output, name, test::sts001_series(name).files);
  write_seg(output, "multi_frame", {test::dicom_files() / "rtdose_rle.dcm"});
  write_seg(output, "one_slice", {test::dicom_files() / "MR_small_implicit.dcm"});
  test::DicomPhantom ultrasound;
  ultrasound.set(DCM_SOPClassUID, UID_UltrasoundMultiframeImageStorage)
      .set(DCM_Modality, "US")
      .set(DCM_NumberOfFrames, "3")
      .set(DCM_StudyInstanceUID, "1.2.9");
  ultrasound.set(DCM_SamplesPerPixel, "3")
      .set(DCM_PhotometricInterpretation, "RGB")
      .set(DCM_PlanarConfiguration, "0")
      .format(8, 8, false)
      .size(12, 10);
  write_seg(output, "colour", {ultrasound.bytes(std::vector<uint8_t>(12 * 10 * 3 * 3)).save(output / "ultrasound")});

  const std::vector<fs::path> series = test::sts001_series("CT").files;
  const Volume image = read_dicom(series);
  write_dicom_seg(output / "background.dcm", series, image,
                  std::vector<uint8_t>(static_cast<size_t>(image.num_values())), test::kSegDescription);
  for (const char* ending : {".nii.gz", ".nrrd", ".mha"})
    write_label_volume(output / ("CT" + std::string(ending)), {series[0]}, image, test::made_up_labels(image, 2));
  for (const test::NiftiCase& input : test::nifti_cases()) {
    SourceFile file{output / (input.name + "_image.nii")};
    file.time_point = input.time_point;
    std::ofstream(file.path, std::ios::binary) << input.bytes;
    const Volume volume = read_image(file);
    write_label_volume(output / (input.name + "_labels.nii.gz"), file, volume, test::made_up_labels(volume, 3));
  }
}

}  // namespace
}  // namespace vmae::io
