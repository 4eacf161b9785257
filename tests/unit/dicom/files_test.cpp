// Real files against pydicom (tests/golden/make_dicom_expected.py), and a real
// patient against the NIfTI files of another project (tests/golden/make_sts001.py).
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "support/dicom.h"
#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/dicom/group.h"
#include "vmae/dicom/kinds.h"
#include "vmae/dicom/masks.h"
#include "vmae/dicom/volume.h"
#include "vmae/image/image.h"
#include "vmae/volume/volume.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::contains;
using test::error_of;

uint32_t crc32_of(const void* bytes, size_t size) {
  return static_cast<uint32_t>(::crc32(0, static_cast<const Bytef*>(bytes), static_cast<uInt>(size)));
}

json expected_json(const std::string& name) { return json::parse(test::slurp(test::tests_folder() / "golden" / name)); }

double stored_number(const Volume& volume, size_t i) {
  return visit(volume.type,
               [&]<class T>(T) { return static_cast<double>(reinterpret_cast<const T*>(volume.stored.data())[i]); });
}

void compare_with_pydicom(const json& expected, const fs::path& path) {
  SCOPED_TRACE(path.filename().string());
  if (expected.contains("refused")) {
    const Error error = error_of([&] { read_dicom({path}); });
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_TRUE(contains(error.what(), expected["refused"].get<std::string>()));
    EXPECT_TRUE(contains(error.what(), path.string()));
    return;
  }
  const Volume volume = read_dicom({path});
  ASSERT_EQ(volume.size, (expected["size"].get<std::array<int64_t, 3>>()));
  ASSERT_EQ(volume.channels, expected["channels"].get<int64_t>());
  EXPECT_EQ(name_of(volume.type), expected["type"].get<std::string>());
  ASSERT_EQ(volume.stored.size(), static_cast<size_t>(volume.num_values()) * size_of(volume.type));
  const double tolerance = expected["tolerance"].get<double>();
  if (tolerance == 0) {
    EXPECT_EQ(crc32_of(volume.stored.data(), volume.stored.size()), expected["crc32"].get<uint32_t>());
  }
  for (size_t k = 0; k < expected["at"].size(); ++k)
    EXPECT_NEAR(stored_number(volume, expected["at"][k].get<size_t>()), expected["values"][k].get<double>(), tolerance);
  double sum = 0;
  for (size_t i = 0; i < static_cast<size_t>(volume.num_values()); ++i) sum += stored_number(volume, i);
  const double mean = expected["mean"].get<double>();
  EXPECT_NEAR(sum / static_cast<double>(volume.num_values()), mean, tolerance == 0 ? 1e-6 * (1 + std::abs(mean)) : 0.2);
}

TEST(DicomFiles, CommittedOnesAsPydicomDecodesThem) {
  const json cases = expected_json("dicom_expected.json");
  ASSERT_GE(cases.size(), 30U);
  for (const json& expected : cases)
    compare_with_pydicom(expected, test::dicom_files() / expected["file"].get<std::string>());
}

TEST(DicomFiles, All77OfPydicomData) {
  const fs::path folder = test::shared_data() / "dicom_variety";
  if (!fs::is_directory(folder)) GTEST_SKIP() << "needs pydicom-data's files beside the repository";
  const json cases = expected_json("dicom_variety_expected.json");
  ASSERT_EQ(cases.size(), 77U);
  for (const json& expected : cases) compare_with_pydicom(expected, folder / expected["file"].get<std::string>());
}

TEST(DicomFiles, EveryCommittedOneIsKnownByContent) {
  for (const auto& entry : fs::directory_iterator(test::dicom_files()))
    EXPECT_EQ(is_dicom(entry.path()), entry.path().extension() == ".dcm") << entry.path();
  EXPECT_FALSE(is_dicom(test::hippocampus()));
  EXPECT_FALSE(is_dicom(test::hippocampus() / "absent"));
  for (const auto& entry : fs::directory_iterator(test::hippocampus() / "images")) EXPECT_FALSE(is_dicom(entry.path()));
  const test::TempFolder folder;
  EXPECT_FALSE(is_dicom(folder.write("empty", "")));
  EXPECT_FALSE(is_dicom(folder.write("text", "a manifest,\nthat is longer than sixteen bytes\n")));
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  return files;
}

class Sts001 : public ::testing::TestWithParam<int> {};

TEST_P(Sts001, ValuesGridAndMaskOfEachSeries) {
  const json expected = expected_json("sts001_expected.json")[static_cast<size_t>(GetParam())];
  const std::string name = expected["name"];
  SCOPED_TRACE(name);
  const DicomTree tree = group_dicom(files_in(test::sts001() / name / "image"));
  ASSERT_EQ(tree.series.size(), 1U);
  const DicomSeries& series = tree.series[0];
  EXPECT_TRUE(series.remarks.empty()) << series.remarks[0];
  const auto size = expected["size"].get<std::array<int64_t, 3>>();
  EXPECT_EQ(series.header.size, size);
  const Volume volume = read_dicom(series.files);
  ASSERT_EQ(volume.size, size);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(volume.spacing_mm[i], expected["spacing_mm"][i].get<double>(), 1e-6);
    EXPECT_NEAR(series.header.spacing_mm[i], volume.spacing_mm[i], 1e-12);
    EXPECT_NEAR(volume.origin_mm[i], expected["origin_mm"][i].get<double>(), 1e-9);
  }
  EXPECT_EQ(volume.units, name == "CT" ? Units::hu : name == "PET" ? Units::suv : Units::raw);
  EXPECT_EQ(volume.scaling.size(), name == "PET" ? 4U : 1U);
  const std::vector<float> voxels = values(volume);
  for (size_t k = 0; k < expected["at"].size(); ++k) {
    const double value = expected["values"][k];
    EXPECT_NEAR(voxels[expected["at"][k].get<size_t>()], value, 1e-6 * std::abs(value));
  }
  const double mean = std::accumulate(voxels.begin(), voxels.end(), 0.0) / static_cast<double>(voxels.size());
  EXPECT_NEAR(mean, expected["mean"].get<double>(), 1e-6 * std::abs(mean));
  if (name != "PET") {
    EXPECT_EQ(crc32_of(voxels.data(), voxels.size() * sizeof(float)), expected["crc32_float32"].get<uint32_t>());
  }

  const DicomLabels labels = read_dicom_mask(test::sts001() / name / "RS.dcm", series.files, volume);
  EXPECT_EQ(labels.names, (std::vector<std::string>{expected["structure"].get<std::string>()}));
  const auto slice_size = static_cast<std::ptrdiff_t>(size[0] * size[1]);
  for (std::ptrdiff_t z = 0; z < size[2]; ++z) {
    EXPECT_EQ(std::count(labels.map.begin() + z * slice_size, labels.map.begin() + (z + 1) * slice_size, 1),
              expected["mask_voxels"][static_cast<size_t>(z)].get<int64_t>());
  }
  EXPECT_EQ(crc32_of(labels.map.data(), labels.map.size()), expected["mask_crc32"].get<uint32_t>());
}
INSTANTIATE_TEST_SUITE_P(Series, Sts001, ::testing::Values(0, 1, 2));

TEST(DicomFiles, WholePetSeriesEqualsIbsi) {
  const fs::path source = test::shared_data() / "sts001_dicom" / "PET", nifti = test::shared_data() / "ibsi_pet";
  if (!fs::is_directory(source)) GTEST_SKIP() << "needs the IBSI validation set beside the repository";
  const DicomTree tree = group_dicom(files_in(source / "image"));
  ASSERT_EQ(tree.series.size(), 1U);
  const Volume volume = read_dicom(tree.series[0].files), expected = read_volume(nifti / "images" / "STS_001.nii.gz");
  ASSERT_EQ(volume.size, expected.size);
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(volume.origin_mm[i], expected.origin_mm[i], 1e-3);
  for (size_t i = 0; i < 9; ++i) EXPECT_NEAR(volume.direction[i], expected.direction[i], 1e-6);
  const std::vector<float> ours = values(volume), theirs = values(expected);
  size_t num_different = 0;
  for (size_t i = 0; i < ours.size(); ++i) num_different += std::abs(ours[i] - theirs[i]) > 1e-6F * std::abs(theirs[i]);
  EXPECT_EQ(num_different, 0U);
  const DicomLabels labels = read_dicom_mask(source / "mask" / "RS.dcm", tree.series[0].files, volume);
  const std::vector<float> mask = values(read_volume(nifti / "labels" / "STS_001.nii.gz"));
  size_t num_wrong = 0;
  for (size_t i = 0; i < mask.size(); ++i) num_wrong += (labels.map[i] != 0) != (mask[i] != 0);
  EXPECT_EQ(num_wrong, 0U);
}

TEST(DicomFiles, MasksAndOthersOfATree) {
  std::vector<fs::path> files = files_in(test::dicom_files());
  std::erase_if(files, [](const fs::path& path) { return path.extension() != ".dcm"; });
  files.push_back(test::sts001() / "CT" / "RS.dcm");
  const DicomTree tree = group_dicom(files);
  ASSERT_EQ(tree.masks.size(), 6U);  // five SEG
  const auto structures = std::find_if(tree.masks.begin(), tree.masks.end(),
                                       [](const DicomMask& mask) { return mask.kind == DicomKind::rtstruct; });
  ASSERT_NE(structures, tree.masks.end());
  EXPECT_EQ(structures->series_uids,
            std::vector<std::string>{group_dicom(files_in(test::sts001() / "CT" / "image")).series[0].series_uid});
  EXPECT_FALSE(structures->frame_of_reference_uid.empty());
  std::vector<std::string> refused;
  for (const DicomRefusal& refusal : tree.refused) {
    refused.push_back(refusal.path.filename().string());
    EXPECT_FALSE(contains(refusal.reason, refusal.path.string()));
  }
  EXPECT_EQ(refused, (std::vector<std::string>{"MR_truncated.dcm", "emri_small_jpeg_2k_lossless_too_short.dcm",
                                               "parametric_map_float.dcm", "reportsi.dcm"}));
}

}  // namespace
}  // namespace vmae::io
