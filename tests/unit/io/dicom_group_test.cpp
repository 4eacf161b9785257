// group_dicom on phantoms made with DCMTK.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "support/dicom.h"
#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/io/dicom.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::DicomPhantom;
using test::TempFolder;

class DicomGroup : public ::testing::Test {
 protected:
  // One slice at this height with these pixels, in a file whose name says nothing.
  DicomPhantom slice(double z_mm, uint16_t value = 0) {
    std::vector<uint16_t> pixels(12, value);
    pixels[0] = static_cast<uint16_t>(std::lround(10 * z_mm) + 100);
    DicomPhantom phantom;
    phantom.at({0, 0, z_mm}).pixels(pixels).rescale(1, 0);
    return phantom;
  }
  void save(DicomPhantom phantom) {
    ++number_;
    files_.push_back(phantom.save(folder_ / (std::to_string((number_ * 7) % 31) + ".dcm")));
  }
  DicomTree group() { return group_dicom(files_); }
  static std::string remarks(const DicomSeries& series) { return join(series.remarks, "; "); }
  std::vector<double> heights(const DicomSeries& series) {
    std::vector<double> result;
    for (const fs::path& file : series.files) result.push_back((values(read_dicom({file}))[0] - 100) / 10.0);
    return result;
  }

  TempFolder folder_;
  std::vector<fs::path> files_;
  int number_ = 0;
};

TEST_F(DicomGroup, SortsByPositionWhateverTheNamesAndInstanceNumbers) {
  for (const double z : {3.0, 0.0, 4.5, 1.5}) save(slice(z).set(DCM_InstanceNumber, std::to_string(static_cast<int>(100 - z))));
  const DicomTree tree = group();
  ASSERT_EQ(tree.series.size(), 1U);
  EXPECT_EQ(heights(tree.series[0]), (std::vector<double>{0, 1.5, 3, 4.5}));
  EXPECT_EQ(tree.series[0].header.spacing_mm[2], 1.5);
  EXPECT_EQ(remarks(tree.series[0]), "");
  EXPECT_EQ(tree.series[0].modality, "CT");
  // The order of the list of files changes nothing.
  std::reverse(files_.begin(), files_.end());
  EXPECT_EQ(group().series[0].files, tree.series[0].files);
}

TEST_F(DicomGroup, MissingSlicesAreCounted) {
  for (const double z : {0, 2, 4, 10, 12, 16}) save(slice(z));
  const DicomTree tree = group();
  ASSERT_EQ(tree.series.size(), 1U);
  EXPECT_EQ(remarks(tree.series[0]), "3 slices are missing, in 2 gaps");
  EXPECT_EQ(tree.series[0].header.spacing_mm[2], 2.0);
  EXPECT_EQ(read_dicom(tree.series[0].files).spacing_mm[2], 2.0);
}

TEST_F(DicomGroup, UnevenSpacing) {
  for (const double z : {0.0, 2.0, 4.0, 6.5, 8.5}) save(slice(z));
  EXPECT_TRUE(contains(remarks(group().series[0]), "uneven spacing: 2 to 2.5 mm"));
}

TEST_F(DicomGroup, DuplicatesByUidAndByPixelsAreLeftOut) {
  for (const double z : {0, 1, 2}) save(slice(z));
  save(slice(1));  // another UID, the same place and pixels
  DicomPhantom again = slice(2);
  files_.push_back(again.save(folder_ / "x1"));
  files_.push_back(again.save(folder_ / "x2"));
  const DicomTree tree = group();
  ASSERT_EQ(tree.series.size(), 1U);
  EXPECT_EQ(heights(tree.series[0]), (std::vector<double>{0, 1, 2}));
  EXPECT_EQ(remarks(tree.series[0]), "3 duplicates left out");
}

TEST_F(DicomGroup, GantryTilt) {
  const double tilt = 12.5 * std::numbers::pi / 180;
  for (int i = 0; i < 4; ++i) save(slice(2 * i).at({0, 2 * i * std::tan(tilt), 2.0 * i}));
  const DicomTree tree = group();
  ASSERT_EQ(tree.series.size(), 1U);
  EXPECT_TRUE(contains(remarks(tree.series[0]), "gantry tilt of 12.5 degrees"));
  EXPECT_NEAR(tree.series[0].header.spacing_mm[2], 2.0, 1e-9);
}

TEST_F(DicomGroup, MixedGeometryFallsApart) {
  for (const double z : {0, 1, 2}) save(slice(z));
  save(slice(0).at({0, 0, 0}, {0, 1, 0, 0, 0, -1}));         // a localiser across
  save(slice(5).at({0, 0, 5}, {1, 0, 0, 0, 1, 0}, {2, 2}));  // other pixels
  const DicomTree tree = group();
  ASSERT_EQ(tree.series.size(), 3U);
  std::vector<size_t> counts;
  for (const DicomSeries& series : tree.series) {
    counts.push_back(series.files.size());
    EXPECT_TRUE(contains(remarks(series), "mixed geometry: the series falls apart into 3 stacks"));
  }
  std::sort(counts.begin(), counts.end());
  EXPECT_EQ(counts, (std::vector<size_t>{1, 1, 3}));
}

TEST_F(DicomGroup, TimePointsByTheTagThatTellsThemApart) {
  for (const int time : {10, 2}) {  // as numbers, not as text
    for (const double z : {0, 1, 2}) save(slice(z, static_cast<uint16_t>(time)).set(DCM_AcquisitionNumber, "1").set(DCM_TriggerTime, std::to_string(time)));
  }
  const DicomTree tree = group();
  ASSERT_EQ(tree.series.size(), 2U);
  EXPECT_EQ(values(read_dicom(tree.series[0].files))[1], 2);
  EXPECT_EQ(values(read_dicom(tree.series[1].files))[1], 10);
  EXPECT_TRUE(contains(remarks(tree.series[1]), "volume 2 of 2"));
  EXPECT_EQ(heights(tree.series[1]), (std::vector<double>{0, 1, 2}));
}

TEST_F(DicomGroup, TimePointsByInstanceNumberWhereNoTagHelps) {
  int instance = 20;
  for (const uint16_t time : {7, 5}) {
    for (const double z : {0, 1}) save(slice(z, time).set(DCM_InstanceNumber, std::to_string(instance--)));
  }
  const DicomTree tree = group();
  ASSERT_EQ(tree.series.size(), 2U);
  EXPECT_EQ(values(read_dicom(tree.series[0].files))[1], 5);
  EXPECT_EQ(values(read_dicom(tree.series[1].files))[1], 7);
}

TEST_F(DicomGroup, PicturesWithoutPositionAreVolumesOfTheirOwn) {
  for (int i = 0; i < 2; ++i) save(slice(0).set(DCM_Modality, "DX").remove(DCM_ImagePositionPatient).remove(DCM_ImageOrientationPatient));
  const DicomTree tree = group();
  ASSERT_EQ(tree.series.size(), 2U);
  for (const DicomSeries& series : tree.series) EXPECT_EQ(series.header.size, (std::array<int64_t, 3>{4, 3, 1}));
}

TEST_F(DicomGroup, TwoSeriesOfOneFolder) {
  for (const double z : {0, 1}) save(slice(z));
  for (const double z : {0, 1}) save(slice(z).set(DCM_SeriesInstanceUID, "1.2.4").set(DCM_PatientID, "P1").set(DCM_IssuerOfPatientID, "Clinic"));
  const DicomTree tree = group();
  ASSERT_EQ(tree.series.size(), 2U);
  EXPECT_NE(tree.series[0].patient, tree.series[1].patient);
}

TEST_F(DicomGroup, OthersAreRefusedWithTheReason) {
  save(slice(0));
  DicomPhantom report;
  report.set(DCM_SOPClassUID, UID_BasicTextSRStorage).set(DCM_Modality, "SR").remove(DCM_Rows).save(folder_ / "report");
  DicomPhantom state;
  state.set(DCM_SOPClassUID, UID_GrayscaleSoftcopyPresentationStateStorage).save(folder_ / "state");
  DicomPhantom directory;
  directory.item(DCM_DirectoryRecordSequence);
  directory.set(DCM_SOPClassUID, UID_MediaStorageDirectoryStorage).save(folder_ / "DICOMDIR");
  for (const char* name : {"report", "state", "DICOMDIR"}) files_.push_back(folder_ / name);
  files_.push_back(folder_.write("text.txt", "this is no DICOM file at all"));
  const DicomTree tree = group();
  EXPECT_EQ(tree.series.size(), 1U);
  ASSERT_EQ(tree.refused.size(), 4U);
  const auto reason = [&](const std::string& name) {
    return std::find_if(tree.refused.begin(), tree.refused.end(), [&](const DicomRefusal& refusal) { return refusal.path.filename() == name; })->reason;
  };
  EXPECT_TRUE(contains(reason("report"), "BasicTextSR"));
  EXPECT_TRUE(contains(reason("state"), "PresentationState"));
  EXPECT_TRUE(contains(reason("DICOMDIR"), "DICOMDIR"));
  EXPECT_TRUE(contains(reason("text.txt"), "is not a DICOM file"));
}

TEST_F(DicomGroup, TransferSyntaxesThatNoCodecKnowsAreNamed) {
  const fs::path path = slice(0).save(folder_ / "video.dcm");
  // The meta header's transfer syntax, replaced by one of the same length.
  std::string bytes = test::slurp(path);
  const std::string from = std::string("1.2.840.10008.1.2.1") + '\0', to = "1.2.840.10008.1.2.9 ";
  const size_t at = bytes.find(from);
  ASSERT_NE(at, std::string::npos);
  files_.push_back(folder_.write("video.dcm", bytes.replace(at, from.size(), to)));
  const DicomTree tree = group();
  ASSERT_EQ(tree.refused.size(), 1U);
  EXPECT_TRUE(contains(tree.refused[0].reason, "1.2.840.10008.1.2.9"));
}

TEST_F(DicomGroup, IdentifyingTextsAreFoundEverywhere) {
  DicomPhantom phantom = slice(0);
  phantom.set(DCM_PatientName, "Planted^Otto Jo^^Dr").set(DCM_PatientID, "ID-77").set(DCM_PatientBirthDate, "19700102").set(DCM_AccessionNumber, "A 123");
  phantom.set(DCM_OtherPatientNames, "Second^Name")
      .set(DCM_RETIRED_OtherPatientIDs, "X1\\X2")
      .set(DCM_ReferringPhysicianName, "House^Gregory")
      .set(DCM_StudyID, "S5");
  DicomPhantom::put_in(phantom.item(DCM_RequestAttributesSequence), DCM_AccessionNumber, "NESTED");
  save(phantom);
  const std::vector<std::string> texts = group().identifying;
  const auto has = [&](const std::string& text) { return std::find(texts.begin(), texts.end(), text) != texts.end(); };
  for (const char* text :
       {"Planted^Otto Jo^^Dr", "Planted", "Otto", "ID-77", "19700102", "A 123", "Second^Name", "Second", "X1", "X2", "House", "Gregory", "NESTED"})
    EXPECT_TRUE(has(text)) << text;
  for (const char* text : {"S5", "Dr", "Jo", "CT"}) EXPECT_FALSE(has(text)) << text;
}

}  // namespace
}  // namespace vmae::io
