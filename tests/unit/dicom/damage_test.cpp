// Files that are cut off or changed at random: an Error(data) or a whole image, never anything else.
#include <gtest/gtest.h>

#include <random>

#include "support/dicom.h"
#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/dicom/group.h"
#include "vmae/dicom/masks.h"
#include "vmae/dicom/volume.h"
#include "vmae/image/image.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

// What was read, or nothing.
std::vector<std::byte> survives(const fs::path& path) {
  group_dicom({path});
  try {
    const Volume volume = read_dicom({path});
    EXPECT_EQ(volume.stored.size(), static_cast<size_t>(volume.num_values()) * size_of(volume.type));
    return volume.stored;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data) << error.what();
    return {};
  }
}

const std::vector<std::string>& one_of_each() {
  static const std::vector<std::string> names{
      "MR_small_expb.dcm",     "MR_small_implicit.dcm",          "JPGExtended.dcm",
      "SC_rgb_jpeg_dcmtk.dcm", "JPEGLSNearLossless_16.dcm",      "JPEG2000.dcm",
      "rtdose_rle.dcm",        "liver_nonbyte_aligned_rle.dcm",  "image_dfl.dcm",
      "liver_deflate.dcm",     "SC_rgb_rle_16bit_2frame.dcm",    "GDCMJ2K_TextGBR.dcm",
      "liver_j2k.dcm",         "SC_rgb_small_odd_big_endian.dcm"};
  return names;
}

TEST(DicomDamage, CutOffAnywhere) {
  const test::TempFolder folder;
  for (const std::string& name : one_of_each()) {
    SCOPED_TRACE(name);
    const std::string whole = test::slurp(test::dicom_files() / name);
    const std::vector<std::byte> picture = survives(test::dicom_files() / name);
    ASSERT_FALSE(picture.empty());
    std::vector<size_t> lengths{whole.size() - 1, whole.size() - 2, whole.size() - 9};
    for (size_t k = 0; k < 25; ++k) lengths.push_back(whole.size() * k / 25);
    for (const size_t length : lengths) {
      const fs::path path = folder.write("cut.dcm", whole.substr(0, length));
      const std::vector<std::byte> read = survives(path);
      EXPECT_TRUE(read.empty() || (read == picture && whole.size() - length < 10))
          << "cut to " << length << " of " << whole.size() << " bytes";
    }
  }
}

TEST(DicomDamage, BytesChangedAtRandom) {
  const test::TempFolder folder;
  std::mt19937 random(7);
  for (const std::string& name : one_of_each()) {
    SCOPED_TRACE(name);
    const std::string whole = test::slurp(test::dicom_files() / name);
    for (int round = 0; round < 30; ++round) {
      std::string changed = whole;
      for (unsigned k = 0; k < 1 + random() % 8; ++k) changed[random() % changed.size()] = static_cast<char>(random());
      survives(folder.write("changed.dcm", changed));
    }
  }
}

TEST(DicomDamage, MasksToo) {
  const test::TempFolder folder;
  std::mt19937 random(8);
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(test::sts001() / "PET" / "image")) files.push_back(entry.path());
  files = group_dicom(files).series.at(0).files;
  const Volume image = read_dicom(files);
  const std::string whole = test::slurp(test::sts001() / "PET" / "RS.dcm");
  for (int round = 0; round < 60; ++round) {
    std::string changed = whole.substr(0, round % 2 == 0 ? whole.size() : random() % whole.size());
    for (unsigned k = 0; k < 1 + random() % 8; ++k) changed[random() % changed.size()] = static_cast<char>(random());
    try {
      read_dicom_mask(folder.write("rs.dcm", changed), files, image);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data) << error.what();
    }
  }
}

}  // namespace
}  // namespace vmae::io
