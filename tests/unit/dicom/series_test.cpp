// Which files are one series and which mask is whose, where UIDs, bits and
// references are not as they should be: variants of phantoms made with DCMTK.
#include <gtest/gtest.h>

#include <algorithm>

#include "support/dicom.h"
#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/dicom/group.h"
#include "vmae/dicom/volume.h"
#include "vmae/image/image.h"
#include "vmae/sources/source.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::DicomPhantom;

struct Names {
  std::string patient, study = "9.1", series = "9.1.1", frame = "9.1.2";
};

class DicomSeriesOf : public ::testing::Test {
 protected:
  DicomPhantom slice(const Names& names, double z_mm, uint16_t value) {
    DicomPhantom phantom;
    phantom.at({0, 0, z_mm}).rescale(1, 0).pixels(std::vector<uint16_t>(12, value));
    if (!names.patient.empty()) phantom.set(DCM_PatientID, names.patient);
    if (!names.study.empty()) phantom.set(DCM_StudyInstanceUID, names.study);
    return phantom.set(DCM_SeriesInstanceUID, names.series).set(DCM_FrameOfReferenceUID, names.frame);
  }
  void clear() {
    for (const fs::path& file : files_) fs::remove(file);
    files_.clear();
  }
  // Slices at 0, 1, 2, ... + from.
  void series(const Names& names, int count = 3, double from = 0, uint16_t value = 1) {
    for (int z = 0; z < count; ++z) save(slice(names, from + z, value));
  }
  fs::path save(DicomPhantom phantom) { return save(phantom, concat("f", ++number_)); }
  fs::path save(DicomPhantom& phantom, const std::string& name) {
    files_.push_back(phantom.save(folder_ / name));
    return files_.back();
  }

  // A SEG of one frame at z = 0; which series and images it names is up to the test.
  DicomPhantom mask(const std::string& patient, const std::string& study = "9.1") {
    DicomPhantom seg;
    seg.set(DCM_SOPClassUID, UID_SegmentationStorage)
        .set(DCM_Modality, "SEG")
        .set(DCM_SegmentationType, "BINARY")
        .format(1, 1, false);
    seg.set(DCM_NumberOfFrames, "1")
        .set(DCM_StudyInstanceUID, study)
        .set(DCM_SeriesInstanceUID, "9.9.9")
        .set(DCM_FrameOfReferenceUID, "9.1.2");
    if (!patient.empty()) seg.set(DCM_PatientID, patient);
    DcmItem& segment = seg.item(DCM_SegmentSequence);
    DicomPhantom::put_in(segment, DCM_SegmentNumber, "1");
    DicomPhantom::put_in(segment, DCM_SegmentLabel, "liver");
    DcmItem& frame = seg.item(DCM_PerFrameFunctionalGroupsSequence);
    DicomPhantom::put_in(DicomPhantom::item(frame, DCM_PlanePositionSequence), DCM_ImagePositionPatient, "0\\0\\0");
    DicomPhantom::put_in(DicomPhantom::item(frame, DCM_PlaneOrientationSequence), DCM_ImageOrientationPatient,
                         "1\\0\\0\\0\\1\\0");
    DicomPhantom::put_in(DicomPhantom::item(frame, DCM_PixelMeasuresSequence), DCM_PixelSpacing, "1\\1");
    DicomPhantom::put_in(DicomPhantom::item(frame, DCM_SegmentIdentificationSequence), DCM_ReferencedSegmentNumber,
                         "1");
    return seg.bytes({0x0F, 0});
  }
  static DicomPhantom& of_series(DicomPhantom& mask, const std::string& uid) {
    DicomPhantom::put_in(mask.item(DCM_ReferencedSeriesSequence), DCM_SeriesInstanceUID, uid);
    return mask;
  }
  static DicomPhantom& of_image(DicomPhantom& mask, DicomPhantom& image) {
    OFString uid;
    image.data().findAndGetOFString(DCM_SOPInstanceUID, uid);
    DcmItem& source = DicomPhantom::item(
        DicomPhantom::item(mask.item(DCM_PerFrameFunctionalGroupsSequence), DCM_DerivationImageSequence),
        DCM_SourceImageSequence);
    DicomPhantom::put_in(source, DCM_ReferencedSOPInstanceUID, uid.c_str());
    return mask;
  }

  struct Found {
    Source source;
    std::string remarks;
    size_t num_masks = 0;
    const SourceFile& of(const std::string& patient) const {
      return *std::find_if(source.files.begin(), source.files.end(),
                           [&](const SourceFile& file) { return contains(file.patient, patient); });
    }
  };
  Found find() {
    Found found{find_source(folder_.path()), "", 0};
    for (const SourceRemark& remark : found.source.remarks) found.remarks += remark.name + ": " + remark.text + "\n";
    for (const SourceFile& file : found.source.files) found.num_masks += file.mask.empty() ? 0 : 1;
    return found;
  }

  test::TempFolder folder_;
  std::vector<fs::path> files_;
  int number_ = 0;
};

TEST_F(DicomSeriesOf, PatientsAndStudiesThatShareASeriesUid) {
  struct Case {
    Names a, b;
    const char* remark;
  };
  for (const Case& one :
       {Case{{"P1"}, {"P2"}, "2 patients: told apart by PatientID"}, Case{{"P1", "9.1"}, {"P2", "9.2"}, "2 patients"},
        Case{{"P1", "9.1"}, {"P1", "9.2"}, "2 studies of its patient"}, Case{{"", "9.1"}, {"", "9.2"}, "2 studies"}}) {
    for (const double from : {0.0, 3.0}) {  // at the same place, and behind each other
      clear();
      series(one.a, 3, 0, 1);
      series(one.b, 3, from, 2);
      const DicomTree tree = group_dicom(files_);
      ASSERT_EQ(tree.series.size(), 2U);
      for (size_t i = 0; i < 2; ++i) {
        const Volume volume = read_dicom(tree.series[i].files);
        EXPECT_EQ(volume.size[2], 3);
        EXPECT_EQ(values(volume), std::vector<float>(36, static_cast<float>(values(volume)[0])));
        EXPECT_TRUE(contains(join(tree.series[i].remarks, "; "), one.remark));
        EXPECT_FALSE(contains(join(tree.series[i].remarks, "; "), "P1"));
      }
      EXPECT_NE(values(read_dicom(tree.series[0].files))[0], values(read_dicom(tree.series[1].files))[0]);
      EXPECT_EQ(tree.series[0].patient != tree.series[1].patient, one.a.patient != one.b.patient);
    }
  }
}

TEST_F(DicomSeriesOf, FilesWithoutPatientOrStudyStayWithTheirSeries) {
  series({"P1"}, 2, 0);
  series({""}, 1, 2);
  series({"P1", ""}, 1, 3);
  save(slice({"P1"}, 4, 1).set(DCM_IssuerOfPatientID, "Clinic"));
  const DicomTree tree = group_dicom(files_);
  ASSERT_EQ(tree.series.size(), 1U);
  EXPECT_EQ(tree.series[0].files.size(), 5U);
  EXPECT_EQ(join(tree.series[0].remarks, "; "), "");
}

TEST_F(DicomSeriesOf, MaskOfASharedSeriesUidIsItsPatients) {
  series({"P1"}, 3, 0, 1);
  series({"P2", "9.2"}, 3, 0, 2);
  DicomPhantom seg = mask("P2", "9.2");
  save(of_series(seg, "9.1.1"), "seg");
  EXPECT_EQ(find().num_masks, 1U);
  EXPECT_TRUE(find().of("P1").mask.empty());
  EXPECT_EQ(find().of("P2").mask.filename(), "seg");
  // Without a patient: by its study; without that, by its images; else not at all.
  seg = mask("", "9.2");
  save(of_series(seg, "9.1.1"), "seg");
  EXPECT_FALSE(find().of("P2").mask.empty());
  EXPECT_EQ(find().num_masks, 1U);
  seg = mask("", "9.3");
  save(of_series(seg, "9.1.1"), "seg");
  EXPECT_EQ(find().num_masks, 0U);
  EXPECT_TRUE(contains(find().remarks, "seg: is not used: several patients or studies have the SeriesInstanceUID"));
  DicomPhantom image = slice({"P2", "9.2"}, 3, 2);
  save(image);
  save(of_image(seg, image), "seg");
  EXPECT_FALSE(find().of("P2").mask.empty());
  EXPECT_EQ(find().num_masks, 1U);
}

TEST_F(DicomSeriesOf, MaskOfAnotherPatientIsNotUsed) {
  series({"P1"});
  DicomPhantom seg = mask("P2");
  save(of_series(seg, "9.1.1"), "seg");
  EXPECT_EQ(find().num_masks, 0U);
  EXPECT_TRUE(contains(find().remarks, "seg: is not used: it was drawn on a series of another patient"));
  EXPECT_FALSE(contains(find().remarks, "P2"));
  for (const auto& [patient, issuer] : {std::pair("", ""), std::pair("P1", ""), std::pair("P1", "Clinic")}) {
    seg = mask(patient);
    if (*issuer != 0) seg.set(DCM_IssuerOfPatientID, issuer);
    save(of_series(seg, "9.1.1"), "seg");
    EXPECT_EQ(find().num_masks, 1U) << patient << issuer;
  }
}

TEST_F(DicomSeriesOf, MaskThatNamesNoSeries) {
  series({"P1"}, 2);
  DicomPhantom image = slice({"P1"}, 2, 1);
  save(image);
  DicomPhantom by_frame = mask("P1"), by_image = mask("P1"), lost = mask("P1"), of_others = mask("P1");
  of_image(by_image, image);
  lost.set(DCM_FrameOfReferenceUID, "7.7");
  of_series(of_others, "7.7.7");
  save(by_frame, "seg");
  EXPECT_EQ(find().num_masks, 1U);
  EXPECT_TRUE(contains(find().remarks,
                       "does not say which series it was drawn on: this is the only one of its frame of reference"));
  save(by_image, "seg");
  EXPECT_EQ(find().num_masks, 1U);
  EXPECT_FALSE(contains(find().remarks, "which series"));
  save(lost, "seg");
  EXPECT_EQ(find().num_masks, 0U);
  EXPECT_TRUE(contains(find().remarks, "seg: does not say which series it was drawn on"));
  save(of_others, "seg");
  EXPECT_EQ(find().num_masks, 0U);
  EXPECT_TRUE(contains(find().remarks, "seg: is a mask of a series that is not here"));
  // A second series of the frame of reference, of this patient; then of another, who does not count.
  series({"P1", "9.1", "9.1.7"});
  save(by_frame, "seg");
  EXPECT_EQ(find().num_masks, 0U);
  EXPECT_TRUE(contains(find().remarks, "and 2 series have its frame of reference"));
  save(by_image, "seg");
  EXPECT_EQ(find().num_masks, 1U);
}

TEST_F(DicomSeriesOf, OneOfSeveralMasksIsNeverTaken) {
  series({"P1"});
  DicomPhantom first = mask("P1"), second = mask("P1");
  save(of_series(first, "9.1.1"), "seg1");
  save(first, "copy");  // the same object is no second one
  EXPECT_EQ(find().num_masks, 1U);
  EXPECT_TRUE(contains(find().remarks, "is a copy of another mask"));
  save(of_series(second, "9.1.1"), "seg2");
  const Found found = find();
  EXPECT_EQ(found.num_masks, 0U);
  EXPECT_TRUE(contains(found.remarks, "has 2 RTSTRUCT or SEG objects"));
  EXPECT_TRUE(contains(found.remarks, "copy: is not used: it is 1 of 2 RTSTRUCT"));
  EXPECT_TRUE(contains(found.remarks, "seg2: is not used: it is 2 of 2 RTSTRUCT"));
}

// Slices in every pair of formats that hold the numbers 0 to 99 and, where
// signed, their negatives: one volume with the numbers of a plain one.
TEST_F(DicomSeriesOf, SlicesOfSeveralPixelFormats) {
  struct Format {
    int allocated, stored, high;
    bool is_signed;
  };
  const std::vector<Format> formats{{16, 16, 15, false}, {16, 12, 11, false}, {16, 12, 15, false},
                                    {16, 16, 15, true},  {16, 12, 11, true},  {8, 8, 7, false},
                                    {8, 8, 7, true},     {32, 32, 31, false}, {32, 20, 19, true}};
  for (const Format& a : formats) {
    for (const Format& b : formats) {
      clear();
      std::vector<float> expected;
      for (int z = 0; z < 6; ++z) {
        const Format& format = z % 3 == 0 ? b : a;
        DicomPhantom phantom = slice({"P1"}, z, 0).format(format.allocated, format.stored, format.is_signed);
        phantom.set(DCM_HighBit, std::to_string(format.high));
        std::vector<uint8_t> bytes;
        for (int i = 0; i < 12; ++i) {
          const int number = (format.is_signed && i % 2 == 0 ? -1 : 1) * (8 * z + i);
          expected.push_back(static_cast<float>(number));
          const uint64_t bits = (static_cast<uint64_t>(number) & ((uint64_t{1} << format.stored) - 1))
                                << (format.high + 1 - format.stored);
          for (int byte = 0; byte < format.allocated / 8; ++byte)
            bytes.push_back(static_cast<uint8_t>(bits >> (8 * byte)));
        }
        if (format.allocated == 8) {
          phantom.bytes(bytes);
        } else {
          std::vector<uint16_t> words;
          for (size_t i = 0; i < bytes.size(); i += 2)
            words.push_back(static_cast<uint16_t>(bytes[i] | bytes[i + 1] << 8));
          phantom.pixels(words);
        }
        save(phantom, concat("z", z));
      }
      const DicomTree tree = group_dicom(files_);
      ASSERT_EQ(tree.series.size(), 1U);
      const Volume volume = read_dicom(tree.series[0].files);
      EXPECT_EQ(volume.size, (std::array<int64_t, 3>{4, 3, 6}));
      EXPECT_EQ(volume.spacing_mm[2], 1);
      EXPECT_EQ(values(volume), expected) << a.allocated << ' ' << a.stored << ' ' << b.allocated << ' ' << b.stored;
      EXPECT_EQ(contains(join(tree.series[0].remarks, "; "), "different ways"), &a != &b);
    }
  }
}

TEST_F(DicomSeriesOf, ReconstructionsThatOnlyTheirBitsTellApart) {
  for (int i = 0; i < 6; ++i) {
    DicomPhantom phantom =
        slice({"P1"}, i / 2, static_cast<uint16_t>(i % 2)).set(DCM_InstanceNumber, std::to_string(i % 3));
    save(i % 2 == 0 ? phantom : phantom.set(DCM_BitsStored, "12").set(DCM_HighBit, "11"));
  }
  const DicomTree tree = group_dicom(files_);
  ASSERT_EQ(tree.series.size(), 2U);
  for (const DicomSeries& series : tree.series) {
    const std::vector<float> read = values(read_dicom(series.files));
    EXPECT_EQ(read, std::vector<float>(36, read[0]));
    EXPECT_TRUE(contains(join(series.remarks, "; "), "told apart by pixel format"));
  }
}

// Of a picture, whose numbers are parts of its range, other bits are another scale; padding is that of each file.
TEST_F(DicomSeriesOf, BitsThatAreAnotherScale) {
  save(slice({"P1"}, 0, 5).set(DCM_Modality, "XA"));
  save(slice({"P1"}, 1, 5).set(DCM_Modality, "XA").set(DCM_BitsStored, "12").set(DCM_HighBit, "11"));
  EXPECT_EQ(group_dicom(files_).series.size(), 2U);
  clear();
  save(slice({"P1"}, 0, 5));
  DicomPhantom padded = slice({"P1"}, 1, 5).format(16, 16, true);
  padded.pixels({65535, 65535, 7, 7, 7, 7, 7, 7, 7, 7, 7, 9}).set_word(DCM_PixelPaddingValue, 65535);
  save(padded);
  const std::vector<float> read = values(read_dicom(files_));
  EXPECT_EQ(std::vector<float>(read.begin() + 12, read.end()),
            (std::vector<float>{7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 9}));
}

TEST_F(DicomSeriesOf, LocalizersAndMosaicsAreNoImages) {
  struct Case {
    const char *modality, *type;
    bool is_image;
    const char* reason;
  };
  for (const Case& one :
       {Case{"CT", "ORIGINAL\\PRIMARY\\LOCALIZER", false, "is a localizer"},
        Case{"CT", "ORIGINAL\\PRIMARY\\LOCALIZER\\CT_SOM5 TOP", false, "is a localizer"},
        Case{"MR", "ORIGINAL\\PRIMARY\\M\\ND\\MOSAIC", false, "is a Siemens mosaic"},
        Case{"MR", "ORIGINAL\\PRIMARY\\M\\ND", true, ""}, Case{"CT", "ORIGINAL\\PRIMARY\\AXIAL", true, ""},
        Case{"OT", "DERIVED\\SECONDARY\\MOSAIC", true, ""}, Case{"MR", "DERIVED\\PRIMARY\\LOCALIZERS", true, ""}}) {
    clear();
    save(slice({"P1"}, 0, 1).set(DCM_Modality, one.modality).set(DCM_ImageType, one.type));
    const DicomTree tree = group_dicom(files_);
    EXPECT_EQ(tree.series.size(), one.is_image ? 1U : 0U) << one.type;
    if (!one.is_image) {
      ASSERT_EQ(tree.refused.size(), 1U);
      EXPECT_TRUE(contains(tree.refused[0].reason, one.reason));
    }
  }
  clear();
  DicomPhantom nameless = slice({"P1"}, 0, 1).set(DCM_Modality, "MR");  // a mosaic that only its private group tells
  nameless.data().putAndInsertString(DcmTag(0x0019, 0x0010, EVR_LO), "SIEMENS MR HEADER");
  nameless.data().putAndInsertUint16(DcmTag(0x0019, 0x100A, EVR_US), 9);
  save(nameless);
  EXPECT_TRUE(contains(group_dicom(files_).refused.at(0).reason, "is a Siemens mosaic"));
}

}  // namespace
}  // namespace vmae::io
