// group_dicom on phantoms made with DCMTK.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "support/dicom.h"
#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/dicom/group.h"
#include "vmae/dicom/volume.h"
#include "vmae/image/image.h"

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
  for (const double z : {3.0, 0.0, 4.5, 1.5})
    save(slice(z).set(DCM_InstanceNumber, std::to_string(static_cast<int>(100 - z))));
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

// Few slices, where the median of the steps may be a gap.
TEST_F(DicomGroup, MissingSlicesOfAFew) {
  struct Case {
    std::vector<double> places;
    double spacing;
    const char* remark;
  };
  for (const Case& one :
       {Case{{0, 3, 9}, 3, "1 slice is missing, in 1 gap"}, Case{{0, 6, 9}, 3, "1 slice is missing, in 1 gap"},
        Case{{0, 3, 9, 15}, 3, "2 slices are missing, in 2 gaps"},
        Case{{0, 6, 9, 12, 18}, 3, "2 slices are missing, in 2 gaps"},
        Case{{0, 3, 8}, 5, "uneven spacing: 3 to 5 mm between slices, 5 is used"},
        Case{{0, 1, 11, 21, 31}, 10, "uneven spacing: 1 to 10 mm between slices, 10 is used"}}) {
    files_.clear();
    for (const double z : one.places) save(slice(z));
    const DicomTree tree = group();
    ASSERT_EQ(tree.series.size(), 1U);
    EXPECT_EQ(tree.series[0].header.spacing_mm[2], one.spacing);
    EXPECT_EQ(remarks(tree.series[0]), one.remark);
  }
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
    for (const double z : {0, 1, 2})
      save(slice(z, static_cast<uint16_t>(time))
               .set(DCM_AcquisitionNumber, "1")
               .set(DCM_TriggerTime, std::to_string(time)));
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
  for (int i = 0; i < 2; ++i)
    save(slice(0).set(DCM_Modality, "DX").remove(DCM_ImagePositionPatient).remove(DCM_ImageOrientationPatient));
  const DicomTree tree = group();
  ASSERT_EQ(tree.series.size(), 2U);
  for (const DicomSeries& series : tree.series) EXPECT_EQ(series.header.size, (std::array<int64_t, 3>{4, 3, 1}));
}

TEST_F(DicomGroup, TwoSeriesOfOneFolder) {
  for (const double z : {0, 1}) save(slice(z));
  for (const double z : {0, 1})
    save(slice(z).set(DCM_SeriesInstanceUID, "1.2.4").set(DCM_PatientID, "P1").set(DCM_IssuerOfPatientID, "Clinic"));
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
    return std::find_if(tree.refused.begin(), tree.refused.end(),
                        [&](const DicomRefusal& refusal) { return refusal.path.filename() == name; })
        ->reason;
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
  phantom.set(DCM_PatientName, "Planted^Otto Jo^^Dr")
      .set(DCM_PatientID, "ID-77")
      .set(DCM_PatientBirthDate, "19700102")
      .set(DCM_AccessionNumber, "A 123");
  phantom.set(DCM_OtherPatientNames, "Second^Name")
      .set(DCM_RETIRED_OtherPatientIDs, "X1\\X2")
      .set(DCM_ReferringPhysicianName, "House^Gregory")
      .set(DCM_StudyID, "S5");
  DicomPhantom::put_in(phantom.item(DCM_RequestAttributesSequence), DCM_AccessionNumber, "NESTED");
  save(phantom);
  const std::vector<std::string> texts = group().identifying;
  const auto has = [&](const std::string& text) { return std::find(texts.begin(), texts.end(), text) != texts.end(); };
  for (const char* text : {"Planted^Otto Jo^^Dr", "Planted", "Otto", "ID-77", "19700102", "A 123", "Second^Name",
                           "Second", "X1", "X2", "House", "Gregory", "NESTED"})
    EXPECT_TRUE(has(text)) << text;
  for (const char* text : {"S5", "Dr", "Jo", "CT"}) EXPECT_FALSE(has(text)) << text;
}

// As many volumes as the fullest place has slices: a tag that is another in every slice tells nothing apart.
TEST_F(DicomGroup, TagsOfEverySliceAreNoTimePoints) {
  int number = 0;
  for (const int time : {1, 2}) {
    for (const double z : {0, 1, 2}) {
      save(slice(z, static_cast<uint16_t>(time))
               .set(DCM_AcquisitionNumber, std::to_string(++number))
               .set(DCM_EchoTime, std::to_string(10 * time)));
    }
  }
  const DicomTree tree = group();
  ASSERT_EQ(tree.series.size(), 2U);
  EXPECT_TRUE(contains(remarks(tree.series[0]), "volume 1 of 2 at the same place, told apart by EchoTime"));
}

TEST_F(DicomGroup, TwoTagsTogether) {
  for (const int echo : {1, 2}) {
    for (const int phase : {1, 2, 3}) {
      for (const double z : {0, 1}) {
        save(slice(z, static_cast<uint16_t>(10 * echo + phase))
                 .set(DCM_EchoTime, std::to_string(echo))
                 .set(DCM_TriggerTime, std::to_string(100 * phase)));
      }
    }
  }
  const DicomTree tree = group();
  ASSERT_EQ(tree.series.size(), 6U);
  std::vector<float> order;
  for (const DicomSeries& series : tree.series) order.push_back(values(read_dicom(series.files))[1]);
  EXPECT_EQ(order, (std::vector<float>{11, 12, 13, 21, 22, 23}));
  EXPECT_TRUE(contains(remarks(tree.series[5]), "told apart by EchoTime and TriggerTime"));
}

// Three acquisitions that overlap in a slice each: stacks of their own, as no slice is alone.
TEST_F(DicomGroup, OverlappingAcquisitions) {
  for (const int acquisition : {0, 1, 2}) {
    for (const int i : {0, 1, 2})
      save(slice(2 * acquisition + i, static_cast<uint16_t>(acquisition))
               .set(DCM_AcquisitionNumber, std::to_string(acquisition)));
  }
  const DicomTree tree = group();
  ASSERT_EQ(tree.series.size(), 3U);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_EQ(heights(tree.series[i]), (std::vector<double>{2.0 * i, 2.0 * i + 1, 2.0 * i + 2}));
}

// Frames of 2 time points, interleaved; `how` sets what tells them apart.
template <class How>
DicomPhantom frames(const How& how) {
  DicomPhantom file;
  file.set(DCM_SOPClassUID, UID_EnhancedMRImageStorage).set(DCM_Modality, "MR").size(2, 1).set(DCM_NumberOfFrames, "6");
  DcmItem& shared = file.item(DCM_SharedFunctionalGroupsSequence);
  DicomPhantom::put_in(DicomPhantom::item(shared, DCM_PlaneOrientationSequence), DCM_ImageOrientationPatient,
                       "1\\0\\0\\0\\1\\0");
  DicomPhantom::put_in(DicomPhantom::item(shared, DCM_PixelMeasuresSequence), DCM_PixelSpacing, "1\\1");
  std::vector<uint16_t> pixels;
  for (int i = 0; i < 6; ++i) {
    const int z = i / 2, time = i % 2;
    DcmItem& own = file.item(DCM_PerFrameFunctionalGroupsSequence, i);
    DicomPhantom::put_in(DicomPhantom::item(own, DCM_PlanePositionSequence), DCM_ImagePositionPatient,
                         test::decimals({0, 0, 2.0 * z}));
    how(own, time);
    pixels.insert(pixels.end(), {static_cast<uint16_t>(z), static_cast<uint16_t>(time)});
  }
  file.pixels(pixels);
  return file;
}

TEST_F(DicomGroup, FramesOfTimePointsAreVolumes) {
  const auto by_echo = [](DcmItem& own, int time) {
    DcmItem& echo = DicomPhantom::item(own, DCM_MREchoSequence);
    echo.putAndInsertFloat64(DCM_EffectiveEchoTime, 20 - 10 * time);  // the second frame of a place has the shorter one
  };
  const auto by_nothing = [](DcmItem&, int) {};
  for (const bool has_echo : {true, false}) {
    const fs::path path = (has_echo ? frames(by_echo) : frames(by_nothing)).save(folder_ / "frames.dcm");
    const DicomTree tree = group_dicom({path});
    ASSERT_EQ(tree.series.size(), 2U);
    for (int64_t i = 0; i < 2; ++i) {
      const DicomSeries& series = tree.series[static_cast<size_t>(i)];
      EXPECT_EQ(series.volume, i);
      EXPECT_EQ(series.num_volumes, 2);
      EXPECT_EQ(series.header.size, (std::array<int64_t, 3>{2, 1, 3}));
      const float time = static_cast<float>(has_echo ? 1 - i : i);
      const Volume volume = read_dicom(series.files, series.volume);
      EXPECT_EQ(values(volume), (std::vector<float>{0, time, 1, time, 2, time}));
      EXPECT_EQ(volume.spacing_mm[2], 2);
      EXPECT_TRUE(
          contains(remarks(series), has_echo ? "told apart by EchoTime" : "told apart by nothing but the order"));
    }
    // One of several is never taken for all.
    const Error error = test::error_of([&] { read_dicom({path}); });
    EXPECT_TRUE(contains(error.what(), "holds 2 volumes where one is meant"));
    EXPECT_TRUE(contains(test::error_of([&] { read_dicom({path}, 2); }).what(), "has no volume 2"));
  }
}

TEST_F(DicomGroup, FramesOfOnePlaceAreAFilm) {
  DicomPhantom file = frames([](DcmItem& own, int) {
    DicomPhantom::put_in(DicomPhantom::item(own, DCM_PlanePositionSequence), DCM_ImagePositionPatient, "0\\0\\0");
  });
  const DicomTree tree = group_dicom({file.save(folder_ / "film.dcm")});
  ASSERT_EQ(tree.series.size(), 1U);
  EXPECT_EQ(tree.series[0].header.size[2], 6);
  EXPECT_TRUE(contains(remarks(tree.series[0]), "6 frames lie at one place"));
}

TEST_F(DicomGroup, FramesOfOtherDirectionsAreVolumesOfTheirOwn) {
  int number = 0;
  DicomPhantom file = frames([&](DcmItem& own, int) {
    const bool is_across = number++ >= 3;
    DicomPhantom::put_in(DicomPhantom::item(own, DCM_PlaneOrientationSequence), DCM_ImageOrientationPatient,
                         is_across ? "0\\1\\0\\0\\0\\-1" : "1\\0\\0\\0\\1\\0");
    DicomPhantom::put_in(DicomPhantom::item(own, DCM_PlanePositionSequence), DCM_ImagePositionPatient,
                         test::decimals({1.0 * number, 0, 1.0 * number}));
  });
  const DicomTree tree = group_dicom({file.save(folder_ / "localiser.dcm")});
  ASSERT_EQ(tree.series.size(), 2U);
  for (const DicomSeries& series : tree.series) {
    EXPECT_EQ(series.header.size[2], 3);
    EXPECT_TRUE(contains(remarks(series), "mixed geometry"));
  }
}

// Reconstructed nuclear medicine counts slices and time slots in vectors.
TEST_F(DicomGroup, GatedNuclearMedicine) {
  DicomPhantom file;
  file.set(DCM_SOPClassUID, UID_NuclearMedicineImageStorage)
      .set(DCM_Modality, "NM")
      .size(2, 1)
      .set(DCM_NumberOfFrames, "4")
      .at({0, 0, 0});
  file.set(DCM_SpacingBetweenSlices, "3").pixels({0, 0, 1, 0, 0, 1, 1, 1});
  const std::vector<Uint16> slices{1, 2, 1, 2}, slots{1, 1, 2, 2};
  file.data().putAndInsertUint16Array(DCM_SliceVector, slices.data(), 4);
  file.data().putAndInsertUint16Array(DCM_TimeSlotVector, slots.data(), 4);
  const DicomTree tree = group_dicom({file.save(folder_ / "nm.dcm")});
  ASSERT_EQ(tree.series.size(), 2U);
  EXPECT_TRUE(contains(remarks(tree.series[1]), "told apart by TimeSlotVector"));
  EXPECT_EQ(values(read_dicom(tree.series[1].files, 1)), (std::vector<float>{0, 1, 1, 1}));
}

TEST_F(DicomGroup, OnlyImagesAreImages) {
  const auto reason = [&](const std::string& sop_class, const std::string& modality = "OT") {
    const DicomTree tree =
        group_dicom({slice(0).set(DCM_SOPClassUID, sop_class).set(DCM_Modality, modality).save(folder_ / "one.dcm")});
    EXPECT_EQ(tree.series.size() + tree.refused.size(), 1U);
    return tree.refused.empty() ? "" : tree.refused[0].reason;
  };
  EXPECT_EQ(reason(UID_CTImageStorage), "");
  EXPECT_EQ(reason(UID_MultiframeTrueColorSecondaryCaptureImageStorage), "");
  EXPECT_TRUE(contains(reason(UID_ParametricMapStorage), "ParametricMap"));
  EXPECT_TRUE(contains(reason("1.2.840.10008.5.1.4.1.1.66.8"), "height map segmentation"));
  EXPECT_TRUE(contains(reason("1.3.12.2.1107.5.9.1"), "a private SOP class (1.3.12.2.1107.5.9.1)"));
  EXPECT_TRUE(contains(reason("1.2.840.10008.5.1.4.1.1.999"), "an unknown SOP class"));
  EXPECT_TRUE(contains(reason(UID_SecondaryCaptureImageStorage, "SEG"), "its modality is SEG"));
}

}  // namespace
}  // namespace vmae::io
