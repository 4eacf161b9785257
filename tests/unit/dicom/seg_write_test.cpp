#include "vmae/dicom/seg_write.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>

#include "support/errors.h"
#include "support/full_disk.h"
#include "support/seg_cases.h"
#include "support/temp_folder.h"
#include "support/write_cases.h"
#include "vmae/dicom/group.h"
#include "vmae/dicom/masks.h"
#include "vmae/dicom/volume.h"
#include "vmae/image/image.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::DicomPhantom;
using test::error_of;
using test::made_up_labels;
using test::TempFolder;

std::string text(DcmItem& item, const DcmTagKey& tag) {
  OFString value;
  item.findAndGetOFStringArray(tag, value);
  return value.c_str();
}

// Columns to the patient's left and down; slices against the order of the
// files; everything identifying that the standard wants in the object.
class WriteDicomSeg : public ::testing::Test {
 protected:
  static std::vector<double> place(int z) { return {-10.5 + 1.5 * z, 20.25 - 2.0 * z, 100}; }
  DicomPhantom slice(int z) {
    DicomPhantom slice;
    slice.size(11, 7).at(place(z), {0.8, 0.6, 0, 0, 0, -1}, {0.9, 0.7}).pixels(std::vector<uint16_t>(77));
    slice.set(DCM_StudyInstanceUID, "1.2.9")
        .set(DCM_FrameOfReferenceUID, "1.2.8")
        .set(DCM_PatientName, "Zebedee^Quentin")
        .set(DCM_PatientID, "MRN-1");
    slice.set(DCM_SeriesNumber, "4")
        .set(DCM_AccessionNumber, "ACC-1")
        .set(DCM_InstanceNumber, std::to_string(z))
        .set(DCM_SOPInstanceUID, "1.2.7." + std::to_string(z));
    return slice;
  }
  void use(const std::vector<fs::path>& files) {
    files_ = files;
    image_ = read_dicom(files_);
    labels_ = made_up_labels(image_, 2);
  }
  void use_phantom(const std::function<void(DicomPhantom&)>& change = [](DicomPhantom&) {}) {
    std::vector<fs::path> files;
    for (int z = 0; z < 4; ++z) {
      DicomPhantom one = slice(z);
      change(one);
      files.push_back(one.save(folder_ / std::to_string(z)));
    }
    use(group_dicom(files).series.at(0).files);
  }
  fs::path write(const DicomSegDescription& description = test::kSegDescription) {
    write_dicom_seg(folder_ / "seg.dcm", files_, image_, labels_, description);
    return folder_ / "seg.dcm";
  }
  DcmItem& load(const fs::path& path) {
    EXPECT_TRUE(loaded_.loadFile(path.c_str()).good());
    return *loaded_.getDataset();
  }
  static DcmItem& item(DcmItem& parent, const DcmTagKey& sequence, int index = 0) {
    return DicomPhantom::item(parent, sequence, index);
  }
  DcmItem& frame(DcmItem& seg, int index) { return item(seg, DCM_PerFrameFunctionalGroupsSequence, index); }
  void expect_round_trip() {
    const DicomLabels back = read_dicom_mask(write(), files_, image_);
    EXPECT_EQ(back.names, test::kSegDescription.class_names);
    EXPECT_EQ(back.map, labels_);
  }

  TempFolder folder_;
  std::vector<fs::path> files_;
  Volume image_;
  std::vector<uint8_t> labels_;
  DcmFileFormat loaded_;
};

TEST_F(WriteDicomSeg, RealSeriesComeBackOnTheSameVoxels) {
  for (const char* name : {"CT", "MR_T1", "PET"}) {
    SCOPED_TRACE(name);
    use(test::sts001_series(name).files);
    expect_round_trip();
  }
}

TEST_F(WriteDicomSeg, EveryFrameNamesWhatItWasMadeFrom) {
  use_phantom();
  expect_round_trip();
  DcmItem& seg = load(write());
  EXPECT_EQ(text(seg, DCM_NumberOfFrames), "4");  // two segments in the two slices in the middle
  EXPECT_EQ(files_.front().filename(), "3") << "slices are sorted along their normal";
  for (int i = 0; i < 4; ++i) {
    const int segment = i / 2 + 1, z = i % 2 + 1;
    EXPECT_EQ(text(item(frame(seg, i), DCM_SegmentIdentificationSequence), DCM_ReferencedSegmentNumber),
              std::to_string(segment));
    EXPECT_EQ(text(item(frame(seg, i), DCM_FrameContentSequence), DCM_DimensionIndexValues),
              std::to_string(segment) + "\\" + std::to_string(z));
    EXPECT_EQ(text(item(frame(seg, i), DCM_PlanePositionSequence), DCM_ImagePositionPatient),
              test::decimals(place(3 - z)));
    DcmItem& source = item(item(frame(seg, i), DCM_DerivationImageSequence), DCM_SourceImageSequence);
    EXPECT_EQ(text(source, DCM_ReferencedSOPInstanceUID), "1.2.7." + std::to_string(3 - z));
    EXPECT_EQ(text(source, DCM_ReferencedSOPClassUID), UID_CTImageStorage);
    EXPECT_FALSE(source.tagExists(DCM_ReferencedFrameNumber));
  }
  DcmItem& shared = item(seg, DCM_SharedFunctionalGroupsSequence);
  EXPECT_EQ(text(item(shared, DCM_PlaneOrientationSequence), DCM_ImageOrientationPatient), "0.8\\0.6\\0\\0\\0\\-1");
  EXPECT_EQ(text(item(shared, DCM_PixelMeasuresSequence), DCM_PixelSpacing), "0.9\\0.7");
  EXPECT_EQ(text(item(shared, DCM_PixelMeasuresSequence), DCM_SpacingBetweenSlices), "2.5");
  DcmItem& series = item(seg, DCM_ReferencedSeriesSequence);
  EXPECT_EQ(text(series, DCM_SeriesInstanceUID), "1.2.3");
  for (int z = 0; z < 4; ++z)
    EXPECT_EQ(text(item(series, DCM_ReferencedInstanceSequence, z), DCM_ReferencedSOPInstanceUID),
              "1.2.7." + std::to_string(3 - z));
}

// Frames lie in the order 2, 0, 3, 1; the slices follow their places.
TEST_F(WriteDicomSeg, FramesOfAMultiFrameFile) {
  DicomPhantom many = slice(0);
  many.set(DCM_SOPClassUID, UID_EnhancedCTImageStorage)
      .set(DCM_NumberOfFrames, "4")
      .pixels(std::vector<uint16_t>(4 * 77))
      .remove(DCM_ImagePositionPatient);
  DcmItem& shared = many.item(DCM_SharedFunctionalGroupsSequence);
  DicomPhantom::put_in(item(shared, DCM_PlaneOrientationSequence), DCM_ImageOrientationPatient, "1\\0\\0\\0\\1\\0");
  DicomPhantom::put_in(item(shared, DCM_PixelMeasuresSequence), DCM_PixelSpacing, "0.9\\0.7");
  const std::vector<int> place{2, 0, 3, 1};
  for (int i = 0; i < 4; ++i) {
    DicomPhantom::put_in(item(many.item(DCM_PerFrameFunctionalGroupsSequence, i), DCM_PlanePositionSequence),
                         DCM_ImagePositionPatient, test::decimals({0, 0, 2.5 * place[static_cast<size_t>(i)]}));
  }
  use({many.save(folder_ / "many")});
  ASSERT_EQ(image_.size[2], 4);
  expect_round_trip();
  DcmItem& seg = load(write());
  for (int i = 0; i < 4; ++i) {  // two segments in the slices 1 and 2, which are the file's frames 4 and 1
    EXPECT_EQ(text(item(item(frame(seg, i), DCM_DerivationImageSequence), DCM_SourceImageSequence),
                   DCM_ReferencedFrameNumber),
              i % 2 == 0 ? "4" : "1");
    EXPECT_EQ(text(item(frame(seg, i), DCM_PlanePositionSequence), DCM_ImagePositionPatient),
              i % 2 == 0 ? "0\\0\\2.5" : "0\\0\\5");
  }
  DcmSequenceOfItems* instances = nullptr;
  item(seg, DCM_ReferencedSeriesSequence).findAndGetSequence(DCM_ReferencedInstanceSequence, instances);
  EXPECT_EQ(instances->card(), 1U);
}

// Radiographs and ultrasound: what a frame was made from is all there is.
TEST_F(WriteDicomSeg, ImagesWithoutAPlace) {
  const auto check = [&](int num_slices) {
    ASSERT_EQ(image_.size[2], num_slices);
    labels_ = made_up_labels(image_, 2);
    std::fill(labels_.begin(), labels_.begin() + image_.size[0], uint8_t{2});  // in the first slice too
    expect_round_trip();
    DcmItem& seg = load(write());
    EXPECT_FALSE(frame(seg, 0).tagExists(DCM_PlanePositionSequence));
    EXPECT_FALSE(item(seg, DCM_SharedFunctionalGroupsSequence).tagExists(DCM_PlaneOrientationSequence));
  };
  use({slice(0).remove(DCM_ImagePositionPatient).save(folder_ / "one")});
  check(1);
  use({test::dicom_files() / "SC_rgb_rle_16bit_2frame.dcm"});
  ASSERT_EQ(image_.channels, 3);
  check(2);
  EXPECT_FALSE(load(write()).tagExists(DCM_FrameOfReferenceUID));
  // Three images of the same place, one after the other.
  std::vector<fs::path> files;
  for (int z = 0; z < 3; ++z) files.push_back(slice(z).at({0, 0, 0}).save(folder_ / ("time" + std::to_string(z))));
  use(files);
  check(3);
}

TEST_F(WriteDicomSeg, AllBackground) {
  use_phantom();
  std::fill(labels_.begin(), labels_.end(), uint8_t{0});
  expect_round_trip();
  DcmItem& seg = load(write());
  EXPECT_EQ(text(seg, DCM_NumberOfFrames), "1");
  EXPECT_EQ(text(item(frame(seg, 0), DCM_SegmentIdentificationSequence), DCM_ReferencedSegmentNumber), "1");
}

TEST_F(WriteDicomSeg, LabelsKeepTheirNumbers) {
  use_phantom();
  for (uint8_t& label : labels_) label = label == 1 ? 3 : 0;
  const DicomSegDescription three{{"a", "b", "c"}, "swin-unet", "0.1.0", ""};
  const DicomLabels back = read_dicom_mask(write(three), files_, image_);
  EXPECT_EQ(back.names, three.class_names);
  EXPECT_EQ(back.map, labels_);
}

TEST_F(WriteDicomSeg, PatientAndStudyAreTheSourcesAndStandNowhereElse) {
  use_phantom();
  DcmItem& seg = load(write());
  EXPECT_EQ(text(seg, DCM_PatientName), "Zebedee^Quentin");
  EXPECT_EQ(text(seg, DCM_PatientID), "MRN-1");
  EXPECT_EQ(text(seg, DCM_AccessionNumber), "ACC-1");
  EXPECT_EQ(text(seg, DCM_StudyInstanceUID), "1.2.9");
  EXPECT_EQ(text(seg, DCM_FrameOfReferenceUID), "1.2.8");
  EXPECT_EQ(text(seg, DCM_SeriesNumber), "1004");
  EXPECT_NE(text(seg, DCM_SeriesInstanceUID), "1.2.3");
  const std::string bytes = test::slurp(folder_ / "seg.dcm");
  for (const std::string identity : {"Zebedee", "MRN-1", "ACC-1"})
    EXPECT_EQ(bytes.find(identity), bytes.rfind(identity)) << identity;
  EXPECT_FALSE(contains(bytes, folder_.path().string()));
}

TEST_F(WriteDicomSeg, BadValuesOfTheSourceDoNotSpoilTheObject) {
  const std::string long_id(70, '7');
  use_phantom([&](DicomPhantom& slice) {
    slice.set(DCM_PatientAge, "45")
        .set(DCM_StudyDate, "2001-1-1")
        .set(DCM_PatientSex, "male")
        .set(DCM_StudyID, "an id that is much too long");
    slice.set(DCM_PatientID, long_id).remove(DCM_FrameOfReferenceUID).remove(DCM_StudyInstanceUID);
  });
  expect_round_trip();
  DcmItem& seg = load(write());
  EXPECT_FALSE(seg.tagExists(DCM_PatientAge));
  for (const DcmTagKey& tag : {DCM_StudyDate, DCM_PatientSex, DCM_StudyID}) {
    EXPECT_TRUE(seg.tagExists(tag));
    EXPECT_EQ(text(seg, tag), "");
  }
  EXPECT_EQ(text(seg, DCM_PatientID), long_id);
  EXPECT_TRUE(text(seg, DCM_FrameOfReferenceUID).starts_with("2.25."));
  EXPECT_TRUE(text(seg, DCM_StudyInstanceUID).starts_with("2.25."));
  EXPECT_NE(text(seg, DCM_FrameOfReferenceUID), text(seg, DCM_StudyInstanceUID));
}

TEST_F(WriteDicomSeg, TextsOfOtherAlphabets) {
  use_phantom(
      [](DicomPhantom& slice) { slice.set(DCM_SpecificCharacterSet, "ISO_IR 100").set(DCM_PatientName, "M\xFCller"); });
  const std::string name = "Gef\xC3\xA4\xC3\x9F\\Wand\n";
  DcmItem& seg = load(write({{name, "b"}, "", "", ""}));
  EXPECT_EQ(text(seg, DCM_SpecificCharacterSet), "ISO_IR 192");
  EXPECT_EQ(text(seg, DCM_PatientName), "M\xC3\xBCller");
  EXPECT_EQ(text(item(seg, DCM_SegmentSequence), DCM_SegmentLabel), "Gef\xC3\xA4\xC3\x9F/Wand");
  // Bytes that are not of the set they claim to be: kept, and what is ours stays ASCII.
  use_phantom(
      [](DicomPhantom& slice) { slice.set(DCM_SpecificCharacterSet, "ISO_IR 192").set(DCM_PatientName, "M\xFCller"); });
  DcmItem& kept = load(write({{name, std::string(100, 'x')}, "", "", ""}));
  EXPECT_EQ(text(kept, DCM_PatientName), "M\xFCller");
  EXPECT_EQ(text(item(kept, DCM_SegmentSequence), DCM_SegmentLabel),
            "Gef?"
            "?/Wand");
  EXPECT_EQ(text(item(kept, DCM_SegmentSequence, 1), DCM_SegmentLabel), std::string(64, 'x'));
}

TEST_F(WriteDicomSeg, UidsFollowFromTheContent) {
  use_phantom();
  const auto uids = [&](const DicomSegDescription& description) {
    DcmItem& seg = load(write(description));
    return std::vector<std::string>{text(seg, DCM_SOPInstanceUID), text(seg, DCM_SeriesInstanceUID),
                                    text(item(seg, DCM_DimensionOrganizationSequence), DCM_DimensionOrganizationUID)};
  };
  const std::vector<std::string> first = uids(test::kSegDescription), again = uids(test::kSegDescription);
  EXPECT_EQ(first, again);
  EXPECT_EQ((std::set<std::string>(first.begin(), first.end()).size()), 3U);
  for (const std::string& uid : first) {
    EXPECT_TRUE(uid.starts_with("2.25."));
    EXPECT_LE(uid.size(), 64U);
  }
  DicomSegDescription other = test::kSegDescription;
  other.algorithm_version = "0.2.0";
  EXPECT_NE(uids(other)[0], first[0]);
  std::swap(labels_[80], labels_[81]);
  EXPECT_NE(uids(test::kSegDescription)[0], first[0]);
}

TEST_F(WriteDicomSeg, AFullDiskLeavesTheOldFile) {
  use_phantom();
  folder_.write("seg.dcm", "old");
  EXPECT_EXIT(test::end_on_full_disk([&] { write(); }, "seg.dcm", 1000), ::testing::ExitedWithCode(42), "");
  EXPECT_EQ(test::slurp(folder_ / "seg.dcm"), "old");
}

TEST_F(WriteDicomSeg, RefusedWithItsReason) {
  use_phantom([](DicomPhantom& slice) { slice.remove(DCM_SOPInstanceUID); });
  const Error no_uid = error_of([&] { write(); });
  EXPECT_EQ(no_uid.code(), ExitCode::data);
  EXPECT_TRUE(contains(no_uid.what(), "no SOP class or instance UID"));
  EXPECT_FALSE(fs::exists(folder_ / "seg.dcm"));
  use({slice(0).at({0, 0, 0}).save(folder_ / "a"), slice(0).at({0, 0, 0}).save(folder_ / "b")});
  EXPECT_TRUE(contains(error_of([&] { write(); }).what(), "the same UID"));
  use_phantom();
  EXPECT_EQ(error_of([&] { write({{"one"}, "", "", ""}); }).code(), ExitCode::internal);  // two labels
  EXPECT_EQ(error_of([&] { write({}); }).code(), ExitCode::internal);
  labels_.pop_back();
  EXPECT_EQ(error_of([&] { write(); }).code(), ExitCode::internal);
}

}  // namespace
}  // namespace vmae::io
