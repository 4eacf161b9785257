// RTSTRUCT and SEG on phantoms made with DCMTK.
#include <gtest/gtest.h>

#include <algorithm>

#include "support/dicom.h"
#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/dicom/masks.h"
#include "vmae/dicom/volume.h"
#include "vmae/image/image.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::decimals;
using test::DicomPhantom;
using test::error_of;

constexpr int kColumns = 8, kRows = 6, kSlices = 3;

// An image of 8 x 6 x 3 voxels of 2 x 1 x 3 mm whose corner is at (10, 20, 30).
class DicomMasks : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int z = 0; z < kSlices; ++z) {
      DicomPhantom slice;
      slice.size(kColumns, kRows)
          .at({10, 20, 30 + 3.0 * z}, {1, 0, 0, 0, 1, 0}, {1, 2})
          .pixels(std::vector<uint16_t>(kColumns * kRows));
      files_.push_back(slice.save(folder_ / std::to_string(z)));
    }
    image_ = read_dicom(files_);
  }

  DicomLabels labels(const fs::path& mask, const std::vector<std::string>& names = {}) {
    return read_dicom_mask(mask, files_, image_, names);
  }
  std::string what(const fs::path& mask, const std::vector<std::string>& names = {}) {
    const Error error = error_of([&] { labels(mask, names); });
    EXPECT_EQ(error.code(), ExitCode::data);
    return error.what();
  }

  // Slice z as text, one row after the other.
  static std::vector<std::string> slice(const DicomLabels& labels, int z) {
    std::vector<std::string> rows;
    for (int y = 0; y < kRows; ++y) {
      std::string row;
      for (int x = 0; x < kColumns; ++x)
        row += static_cast<char>('0' + labels.map[static_cast<size_t>(x + kColumns * (y + kRows * z))]);
      rows.push_back(row);
    }
    return rows;
  }

  // A polygon of (column, row) in slice z.
  static void add_contour(DicomPhantom& structures, int roi, int index, double z,
                          const std::vector<std::array<double, 2>>& points) {
    DcmItem& contour = DicomPhantom::item(structures.item(DCM_ROIContourSequence, roi), DCM_ContourSequence, index);
    std::vector<double> numbers;
    for (const auto& [column, row] : points) numbers.insert(numbers.end(), {10 + 2 * column, 20 + row, 30 + 3 * z});
    DicomPhantom::put_in(contour, DCM_ContourGeometricType, "CLOSED_PLANAR");
    DicomPhantom::put_in(contour, DCM_ContourData, decimals(numbers));
  }
  static DicomPhantom structure_set(const std::vector<std::string>& names) {
    DicomPhantom structures;
    structures.set(DCM_SOPClassUID, UID_RTStructureSetStorage).set(DCM_Modality, "RTSTRUCT");
    for (size_t i = 0; i < names.size(); ++i) {
      DcmItem& roi = structures.item(DCM_StructureSetROISequence, static_cast<int>(i));
      DicomPhantom::put_in(roi, DCM_ROINumber, std::to_string(i + 5));
      DicomPhantom::put_in(roi, DCM_ROIName, names[i]);
      DicomPhantom::put_in(structures.item(DCM_ROIContourSequence, static_cast<int>(i)), DCM_ReferencedROINumber,
                           std::to_string(i + 5));
    }
    return structures;
  }

  // Frames of the image's size, each (segment, z) with `bits` in the order of rows.
  static DicomPhantom segmentation(const std::vector<std::pair<int, int>>& frames) {
    DicomPhantom seg;
    seg.set(DCM_SOPClassUID, UID_SegmentationStorage)
        .set(DCM_Modality, "SEG")
        .set(DCM_SegmentationType, "BINARY")
        .format(1, 1, false)
        .size(kColumns, kRows);
    seg.set(DCM_NumberOfFrames, std::to_string(frames.size()));
    for (int i = 0; i < 2; ++i) {
      DcmItem& segment = seg.item(DCM_SegmentSequence, i);
      DicomPhantom::put_in(segment, DCM_SegmentNumber, std::to_string(i + 1));
      DicomPhantom::put_in(segment, DCM_SegmentLabel, i == 0 ? "liver" : "tumour");
    }
    DcmItem& shared = seg.item(DCM_SharedFunctionalGroupsSequence);
    DicomPhantom::put_in(DicomPhantom::item(shared, DCM_PlaneOrientationSequence), DCM_ImageOrientationPatient,
                         "1\\0\\0\\0\\1\\0");
    DicomPhantom::put_in(DicomPhantom::item(shared, DCM_PixelMeasuresSequence), DCM_PixelSpacing, "1\\2");
    for (size_t i = 0; i < frames.size(); ++i) {
      DcmItem& own = seg.item(DCM_PerFrameFunctionalGroupsSequence, static_cast<int>(i));
      DicomPhantom::put_in(DicomPhantom::item(own, DCM_PlanePositionSequence), DCM_ImagePositionPatient,
                           decimals({10, 20, 30 + 3.0 * frames[i].second}));
      DicomPhantom::put_in(DicomPhantom::item(own, DCM_SegmentIdentificationSequence), DCM_ReferencedSegmentNumber,
                           std::to_string(frames[i].first));
    }
    return seg;
  }

  test::TempFolder folder_;
  std::vector<fs::path> files_;
  Volume image_;
};

TEST_F(DicomMasks, ContoursAreFilledHolesAreLeft) {
  DicomPhantom structures = structure_set({"body"});
  add_contour(structures, 0, 0, 1, {{0.5, 0.5}, {6.5, 0.5}, {6.5, 4.5}, {0.5, 4.5}});
  add_contour(structures, 0, 1, 1, {{2.5, 1.5}, {4.5, 1.5}, {4.5, 3.5}, {2.5, 3.5}});
  const DicomLabels result = labels(structures.save(folder_ / "rs"));
  EXPECT_EQ(result.names, (std::vector<std::string>{"body"}));
  EXPECT_EQ(slice(result, 1),
            (std::vector<std::string>{"00000000", "01111110", "01100110", "01100110", "01111110", "00000000"}));
  EXPECT_EQ(slice(result, 0), std::vector<std::string>(kRows, "00000000"));
}

// Even-odd makes nothing of a contour within its like: the one
// that is rounded otherwise is one, the other ones are told of.
TEST_F(DicomMasks, ContoursThatCancelAreToldOrCountOnce) {
  const std::vector<std::array<double, 2>> outline{{0.6, 0.6}, {6.4, 0.6}, {6.4, 4.4}, {0.6, 4.4}};
  const auto filled = [&](double inwards, double shift) {
    DicomPhantom structures = structure_set({"body"});
    add_contour(structures, 0, 0, 0, outline);
    add_contour(structures, 0, 1, 1, outline);
    std::vector<std::array<double, 2>> second;
    for (const auto& [x, y] : outline)
      second.push_back({x + shift + (x < 3 ? inwards : -inwards), y + shift + (y < 2 ? inwards : -inwards)});
    add_contour(structures, 0, 2, 1, second);
    return labels(structures.save(folder_ / "rs"));
  };
  const auto count = [](const DicomLabels& result, int z) {
    return std::count(result.map.begin() + z * kColumns * kRows, result.map.begin() + (z + 1) * kColumns * kRows, 1);
  };
  for (const double shift : {0.0, 0.02, 0.04, -0.049}) {
    const DicomLabels result = filled(0, shift);
    EXPECT_EQ(count(result, 1), count(result, 0)) << shift;
    EXPECT_GT(count(result, 0), 20);
  }
  const DicomLabels cancelled = filled(0.3, 0);
  EXPECT_EQ(count(cancelled, 1), 0);
  EXPECT_TRUE(std::any_of(cancelled.remarks.begin(), cancelled.remarks.end(),
                          [](const std::string& text) { return contains(text, "cancel out"); }));
}

// A manifest may name any mask beside any image: whose both are is held against each other there too.
TEST_F(DicomMasks, OfAnotherPatientAreRefused) {
  for (const fs::path& path : files_) {
    DcmFileFormat file;
    file.loadFile(path.c_str());
    file.getDataset()->putAndInsertString(DCM_PatientID, "P1");
    file.saveFile(path.c_str(), EXS_LittleEndianExplicit);
  }
  for (const bool is_seg : {true, false}) {
    DicomPhantom mask =
        is_seg ? segmentation({{1, 1}}).bytes(std::vector<uint8_t>(kColumns * kRows / 8, 1)) : structure_set({"body"});
    add_contour(mask, 0, 0, 1, {{0.5, 0.5}, {6.5, 0.5}, {6.5, 4.5}, {0.5, 4.5}});
    mask.set(DCM_PatientID, "P2");
    const std::string problem = what(mask.save(folder_ / "mask"));
    EXPECT_TRUE(contains(problem, "another patient")) << problem;
    EXPECT_FALSE(contains(problem, "P2"));
    for (const char* patient : {"P1", ""})
      EXPECT_FALSE(labels(mask.set(DCM_PatientID, patient).save(folder_ / "mask")).map.empty());
  }
}

TEST_F(DicomMasks, TriangleAndCentresOnItsSides) {
  DicomPhantom structures = structure_set({"triangle"});
  add_contour(structures, 0, 0, 2, {{1, 0.5}, {5, 0.5}, {1, 4.5}});  // left side through pixel centres
  EXPECT_EQ(slice(labels(structures.save(folder_ / "rs")), 2),
            (std::vector<std::string>{"00000000", "01111000", "01110000", "01100000", "01000000", "00000000"}));
}

TEST_F(DicomMasks, LaterStructuresWinAndNamesChoose) {
  DicomPhantom structures = structure_set({"a", "b"});
  add_contour(structures, 0, 0, 0, {{-0.5, -0.5}, {3.5, -0.5}, {3.5, 5.5}, {-0.5, 5.5}});
  add_contour(structures, 1, 0, 0, {{1.5, -0.5}, {5.5, -0.5}, {5.5, 5.5}, {1.5, 5.5}});
  const fs::path path = structures.save(folder_ / "rs");
  EXPECT_EQ(slice(labels(path), 0)[0], "11222200");
  EXPECT_EQ(slice(labels(path, {"b", "a"}), 0)[0], "22221100");
  EXPECT_EQ(slice(labels(path, {"b"}), 0)[0], "00111100");
  EXPECT_TRUE(contains(what(path, {"c"}), "no structure 'c'"));
}

TEST_F(DicomMasks, StructuresOfAnotherSeries) {
  DicomPhantom structures = structure_set({"a"});
  add_contour(structures, 0, 0, 40, {{0, 0}, {3, 0}, {3, 3}});
  EXPECT_TRUE(contains(what(structures.save(folder_ / "rs")), "no closed contour in the slices"));
  EXPECT_TRUE(contains(what(files_[0]), "neither"));
}

TEST_F(DicomMasks, BitsOfSegmentsByPosition) {
  DicomPhantom seg = segmentation({{2, 2}, {1, 0}});
  std::vector<uint8_t> bytes(12, 0);
  bytes[0] = 0b00000110;  // frame 0, row 0: columns 1 and 2
  bytes[6] = 0b10000001;  // frame 1, row 0
  bytes[11] = 0xFF;       // frame 1, row 5
  const DicomLabels result = labels(seg.bytes(bytes).save(folder_ / "seg"));
  EXPECT_EQ(result.names, (std::vector<std::string>{"liver", "tumour"}));
  EXPECT_EQ(slice(result, 2)[0], "02200000");
  EXPECT_EQ(slice(result, 0)[0], "10000001");
  EXPECT_EQ(slice(result, 0)[5], "11111111");
  EXPECT_EQ(slice(result, 1), std::vector<std::string>(kRows, "00000000"));
}

TEST_F(DicomMasks, PartsOfSlicesFlipped) {
  DicomPhantom seg = segmentation({{1, 1}});
  seg.size(2, 3);
  // Columns run to -x from column 5, rows to -y from row 4.
  DicomPhantom::put_in(DicomPhantom::item(seg.item(DCM_SharedFunctionalGroupsSequence), DCM_PlaneOrientationSequence),
                       DCM_ImageOrientationPatient, "-1\\0\\0\\0\\-1\\0");
  DicomPhantom::put_in(DicomPhantom::item(seg.item(DCM_PerFrameFunctionalGroupsSequence), DCM_PlanePositionSequence),
                       DCM_ImagePositionPatient, "20\\24\\33");
  const DicomLabels result = labels(seg.bytes({0b00100101, 0}).save(folder_ / "seg"));  // (0,0), (0,1), (1,2)
  EXPECT_EQ(slice(result, 1),
            (std::vector<std::string>{"00000000", "00000000", "00001000", "00000100", "00000100", "00000000"}));
}

TEST_F(DicomMasks, FractionsFromTheirHalf) {
  DicomPhantom seg = segmentation({{1, 0}});
  seg.set(DCM_SegmentationType, "FRACTIONAL").set(DCM_MaximumFractionalValue, "200").format(8, 8, false);
  std::vector<uint8_t> bytes(kColumns * kRows, 0);
  bytes[0] = 99;
  bytes[1] = 100;
  bytes[2] = 200;
  EXPECT_EQ(slice(labels(seg.bytes(bytes).save(folder_ / "seg")), 0)[0], "01100000");
}

TEST_F(DicomMasks, SegmentsOffTheGrid) {
  const auto moved = [&](const std::string& position, const std::string& spacing) {
    DicomPhantom seg = segmentation({{1, 1}});
    DicomPhantom::put_in(DicomPhantom::item(seg.item(DCM_PerFrameFunctionalGroupsSequence), DCM_PlanePositionSequence),
                         DCM_ImagePositionPatient, position);
    DicomPhantom::put_in(DicomPhantom::item(seg.item(DCM_SharedFunctionalGroupsSequence), DCM_PixelMeasuresSequence),
                         DCM_PixelSpacing, spacing);
    return what(seg.bytes(std::vector<uint8_t>(6, 0xFF)).save(folder_ / "seg"));
  };
  EXPECT_TRUE(contains(moved("10.8\\20\\33", "1\\2"), "does not lie on the grid"));
  EXPECT_TRUE(contains(moved("10\\20\\33", "1\\1"), "does not lie on the grid"));
  EXPECT_TRUE(contains(moved("10\\20\\34", "1\\2"), "does not lie on the grid"));
  EXPECT_TRUE(contains(moved("12\\20\\33", "1\\2"), "reaches beyond the image"));
  EXPECT_TRUE(contains(moved("10\\20\\90", "1\\2"), "no frame in the slices"));
}

using Rows = std::vector<std::string>;
const Rows kBlock{"00000000", "01111000", "01111000", "01111000", "00000000", "00000000"};
const std::vector<std::array<double, 2>> kBox{{0.5, 0.5}, {4.5, 0.5}, {4.5, 3.5}, {0.5, 3.5}};

std::string said(const DicomLabels& labels) { return join(labels.remarks, "; "); }

TEST_F(DicomMasks, ContoursBelongToTheirPlane) {
  DicomPhantom structures = structure_set({"solid"});
  int index = 0;
  for (const double z : {0.0, 0.25, 0.5, 0.75, 1.0, 1.4, 2.0}) add_contour(structures, 0, index++, z, kBox);
  const DicomLabels result = labels(structures.save(folder_ / "rs"));
  for (int z = 0; z < kSlices; ++z) EXPECT_EQ(slice(result, z), kBlock);
  EXPECT_TRUE(contains(said(result), "several planes of contours lie in one slice"));
}

TEST_F(DicomMasks, OfPlanesBesideASliceTheNearerIsTaken) {
  for (const bool is_lower_nearer : {true, false}) {
    DicomPhantom structures = structure_set({"solid"});
    const std::vector<std::array<double, 2>> far{{0.5, 0.5}, {6.5, 0.5}, {6.5, 4.5}, {0.5, 4.5}};
    add_contour(structures, 0, 0, is_lower_nearer ? 0.6 : 1.1, is_lower_nearer ? far : kBox);
    add_contour(structures, 0, 1, is_lower_nearer ? 1.1 : 0.6, is_lower_nearer ? kBox : far);
    EXPECT_EQ(slice(labels(structures.save(folder_ / "rs")), 1), kBlock);
  }
}

TEST_F(DicomMasks, RepeatedContoursCountOnce) {
  const std::vector<std::vector<std::array<double, 2>>> again{
      kBox,
      {kBox[2], kBox[3], kBox[0], kBox[1]},
      {kBox[3], kBox[2], kBox[1], kBox[0]},
      {kBox[0], {2.5, 0.5}, kBox[1], kBox[2], kBox[3], kBox[0]}};
  for (const auto& other : again) {
    DicomPhantom structures = structure_set({"twice"});
    add_contour(structures, 0, 0, 1, kBox);
    add_contour(structures, 0, 1, 1, other);
    const DicomLabels result = labels(structures.save(folder_ / "rs"));
    EXPECT_EQ(slice(result, 1), kBlock);
    EXPECT_TRUE(contains(said(result), "count once: 1 of 'twice'"));
  }
}

TEST_F(DicomMasks, KeyholesAndXorContours) {
  const std::vector<std::array<double, 2>> outer{{0.5, 0.5}, {6.5, 0.5}, {6.5, 4.5}, {0.5, 4.5}},
      inner{{2.5, 1.5}, {4.5, 1.5}, {4.5, 3.5}, {2.5, 3.5}};
  std::vector<std::array<double, 2>> keyhole = outer;
  keyhole.insert(keyhole.end(), {outer[0], inner[0], inner[1], inner[2], inner[3], inner[0]});
  const Rows ring{"00000000", "01111110", "01100110", "01100110", "01111110", "00000000"};
  DicomPhantom structures = structure_set({"x"});
  add_contour(structures, 0, 0, 0, keyhole);
  add_contour(structures, 0, 1, 1, outer);
  add_contour(structures, 0, 2, 1, inner);
  for (const int index : {1, 2}) {
    DcmItem& contour = DicomPhantom::item(structures.item(DCM_ROIContourSequence), DCM_ContourSequence, index);
    DicomPhantom::put_in(contour, DCM_ContourGeometricType, "CLOSEDPLANAR_XOR");
  }
  const DicomLabels result = labels(structures.save(folder_ / "rs"));
  EXPECT_EQ(slice(result, 0), ring);
  EXPECT_EQ(slice(result, 1), ring);
}

TEST_F(DicomMasks, WhatIsLeftOutOfStructuresIsSaid) {
  DicomPhantom structures = structure_set({"a", "b", "none"});
  add_contour(structures, 0, 0, 0, kBox);
  add_contour(structures, 0, 1, 40, kBox);
  add_contour(structures, 0, 2, 0, kBox);
  DicomPhantom::put_in(DicomPhantom::item(structures.item(DCM_ROIContourSequence), DCM_ContourSequence, 2),
                       DCM_ContourGeometricType, "OPEN_PLANAR");
  add_contour(structures, 1, 0, 0, {{2.5, 0.5}, {6.5, 0.5}, {6.5, 1.5}, {2.5, 1.5}});
  const std::string remarks = said(labels(structures.save(folder_ / "rs")));
  for (const char* words :
       {"outside of the image's slices are left out: 1 of 'a'",
        "open contours, which have no inside, are left out: 1 of 'a'", "without a voxel in the image: 'none'",
        "'a' and 'b' overlap in 2 voxels: the mask can't say both, they are 'b'"})
    EXPECT_TRUE(contains(remarks, words)) << words << ": " << remarks;
}

TEST_F(DicomMasks, EqualNamesAreOneStructure) {
  DicomPhantom structures = structure_set({"liver", " liver", "", "Liver"});
  for (int i = 0; i < 4; ++i)
    add_contour(structures, i, 0, std::min(i, 2),
                i == 1 ? kBox : std::vector<std::array<double, 2>>{{-0.5, -0.5}, {1.5, -0.5}, {1.5, 0.5}, {-0.5, 0.5}});
  // overlaps the other one of its name: both are it
  add_contour(structures, 1, 1, 0, {{0.5, -0.5}, {2.5, -0.5}, {2.5, 0.5}, {0.5, 0.5}});
  const fs::path path = structures.save(folder_ / "rs");
  const DicomLabels result = labels(path);
  EXPECT_EQ(result.names, (Rows{"liver", "ROI 7", "Liver"}));
  EXPECT_EQ(dicom_structure_names(path), result.names);
  EXPECT_EQ(slice(result, 0)[0], "11100000");
  EXPECT_EQ(slice(result, 1), kBlock);
  EXPECT_TRUE(contains(said(result), "'liver': they are one class"));
  EXPECT_TRUE(contains(said(result), "differ in case only"));
  EXPECT_EQ(slice(labels(path, {"liver "}), 1), kBlock);
  EXPECT_TRUE(contains(what(path, {"liver", " liver"}), "twice"));
}

TEST_F(DicomMasks, EqualNumbersAreRefused) {
  DicomPhantom structures = structure_set({"a", "b"});
  DicomPhantom::put_in(structures.item(DCM_StructureSetROISequence, 1), DCM_ROINumber, "5");
  EXPECT_TRUE(contains(what(structures.save(folder_ / "rs")), "two structures of number 5"));
  DicomPhantom seg = segmentation({{1, 0}});
  DicomPhantom::put_in(seg.item(DCM_SegmentSequence, 1), DCM_SegmentNumber, "1");
  EXPECT_TRUE(contains(what(seg.bytes(std::vector<uint8_t>(6, 0)).save(folder_ / "seg")), "two segments of number 1"));
}

TEST_F(DicomMasks, OverlappingSegmentsAreSaid) {
  DicomPhantom seg = segmentation({{1, 0}, {2, 0}});
  std::vector<uint8_t> bytes(12, 0);
  bytes[0] = 0b00000111;
  bytes[6] = 0b00001110;
  const DicomLabels result = labels(seg.bytes(bytes).save(folder_ / "seg"));
  EXPECT_EQ(slice(result, 0)[0], "12220000");
  EXPECT_TRUE(contains(said(result), "'liver' and 'tumour' overlap in 2 voxels"));
}

// Pixels are segment numbers: 8 and 16 bits, grey and with a palette.
TEST_F(DicomMasks, LabelMapSegmentations) {
  for (const int bits : {8, 16}) {
    for (const char* photometric : {"MONOCHROME2", "PALETTE COLOR"}) {
      DicomPhantom seg = segmentation({{1, 2}, {1, 0}});
      seg.set(DCM_SOPClassUID, "1.2.840.10008.5.1.4.1.1.66.7")
          .set(DCM_SegmentationType, "LABELMAP")
          .set(DCM_PhotometricInterpretation, photometric);
      seg.format(bits, bits, false).set_word(DCM_PixelPaddingValue, 0);
      DicomPhantom::put_in(seg.item(DCM_SegmentSequence, 1), DCM_SegmentNumber, bits == 8 ? "200" : "700");
      std::vector<uint16_t> numbers(static_cast<size_t>(2 * kColumns * kRows), 0);
      numbers[1] = 1;
      numbers[2] = numbers[48] = bits == 8 ? 200 : 700;
      const std::vector<uint8_t> bytes(numbers.begin(), numbers.end());
      if (bits == 8) {
        seg.bytes(bytes);
      } else {
        seg.pixels(numbers);
      }
      const fs::path path = seg.save(folder_ / "seg");
      const DicomLabels result = labels(path);
      EXPECT_EQ(result.names, (Rows{"liver", "tumour"}));
      EXPECT_EQ(slice(result, 2)[0], "01200000");
      EXPECT_EQ(slice(result, 0)[0], "20000000");
      EXPECT_EQ(slice(labels(path, {"tumour"}), 2)[0], "00100000");
      DicomPhantom::put_in(seg.item(DCM_SegmentSequence, 1), DCM_SegmentNumber, "3");
      EXPECT_TRUE(contains(what(seg.save(folder_ / "seg")), bits == 8 ? "the value 200, which is none of its segments"
                                                                      : "the value 700, which is none"));
    }
  }
}

}  // namespace
}  // namespace vmae::io
