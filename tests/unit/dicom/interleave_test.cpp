// Volumes of one series whose slices lie between each other's: phantoms
// made with DCMTK, as single images and as the frames of one file.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

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

// A slice: where it lies, which volume it should be of, and what its tags say.
struct Slice {
  double place_mm;
  int volume;
  std::vector<std::pair<DcmTagKey, std::string>> tags;
};

class DicomInterleave : public ::testing::Test {
 protected:
  // Pixels say which volume a slice is of, and which of its slices it is.
  static std::vector<uint16_t> pixels_of(const Slice& slice, int number) {
    return {static_cast<uint16_t>(slice.volume), static_cast<uint16_t>(number)};
  }
  DicomTree single(const std::vector<Slice>& slices) {
    std::vector<fs::path> files;
    for (size_t i = 0; i < slices.size(); ++i) {
      DicomPhantom phantom;
      phantom.size(2, 1)
          .at({0, 0, slices[i].place_mm})
          .pixels(pixels_of(slices[i], static_cast<int>(i)))
          .set(DCM_Modality, "MR");
      for (const auto& [tag, value] : slices[i].tags) {
        if (DcmTag(tag).getEVR() == EVR_FD) {
          phantom.data().putAndInsertFloat64(tag, std::stod(value));
        } else {
          phantom.set(tag, value);
        }
      }
      files.push_back(phantom.save(folder_ / concat("s", i)));
    }
    return group_dicom(files);
  }
  // `put` writes what tells a frame's volume.
  DicomTree enhanced(const std::vector<Slice>& slices, const std::function<void(DcmItem&, const Slice&)>& put) {
    DicomPhantom file;
    file.set(DCM_SOPClassUID, UID_EnhancedMRImageStorage)
        .set(DCM_Modality, "MR")
        .size(2, 1)
        .set(DCM_NumberOfFrames, std::to_string(slices.size()));
    DcmItem& shared = file.item(DCM_SharedFunctionalGroupsSequence);
    DicomPhantom::put_in(DicomPhantom::item(shared, DCM_PlaneOrientationSequence), DCM_ImageOrientationPatient,
                         "1\\0\\0\\0\\1\\0");
    DicomPhantom::put_in(DicomPhantom::item(shared, DCM_PixelMeasuresSequence), DCM_PixelSpacing, "1\\1");
    std::vector<uint16_t> pixels;
    for (size_t i = 0; i < slices.size(); ++i) {
      DcmItem& own = file.item(DCM_PerFrameFunctionalGroupsSequence, static_cast<int>(i));
      DicomPhantom::put_in(DicomPhantom::item(own, DCM_PlanePositionSequence), DCM_ImagePositionPatient,
                           test::decimals({0, 0, slices[i].place_mm}));
      put(own, slices[i]);
      const std::vector<uint16_t> more = pixels_of(slices[i], static_cast<int>(i));
      pixels.insert(pixels.end(), more.begin(), more.end());
    }
    return group_dicom({file.pixels(pixels).save(folder_ / "frames")});
  }
  // `count` volumes of 4 slices every 3 mm, each `offset_mm` above the one before; stored place by place.
  static std::vector<Slice> shifted(double offset_mm, const DcmTagKey& tag, int count = 2) {
    std::vector<Slice> slices;
    for (int z = 0; z < 4; ++z) {
      for (int i = 0; i < count; ++i)
        slices.push_back({3.0 * z + offset_mm * i, i, {{tag, std::to_string(10 * (i + 1))}}});
    }
    return slices;
  }
  static std::string remarks(const DicomTree& tree) {
    std::string all;
    for (const DicomSeries& series : tree.series) all += join(series.remarks, "; ") + "\n";
    return all;
  }
  // Each volume whole: `count` of them, in order, of `size` slices.
  static void expect_whole(const DicomTree& tree, size_t count, int64_t size, double step_mm, const std::string& what) {
    ASSERT_EQ(tree.series.size(), count) << what << remarks(tree);
    for (size_t i = 0; i < count; ++i) {
      const DicomSeries& series = tree.series[i];
      const Volume volume = series.num_volumes > 1 ? read_dicom(series.files, series.volume) : read_dicom(series.files);
      ASSERT_EQ(volume.size[2], size) << what;
      EXPECT_NEAR(volume.spacing_mm[2], step_mm, 1e-6) << what;
      const std::vector<float> read = values(volume);
      for (size_t z = 0; z < read.size(); z += 2) EXPECT_EQ(read[z], static_cast<float>(i)) << what;
      EXPECT_FALSE(contains(remarks(tree), "uneven")) << what << remarks(tree);
    }
  }

  test::TempFolder folder_;
};

const std::vector<double> kOffsets{0,   1e-4, 0.001, 0.0015, 0.002, 0.005, 0.01, 0.02, 0.021, 0.1,  0.2,
                                   0.5, 0.7,  1,     1.2,    1.45,  1.5,   1.6,  2,    2.9,   2.998};

// What was measured tells volumes apart at whatever offset.
TEST_F(DicomInterleave, VolumesOfWhatWasMeasured) {
  for (const DcmTagKey& tag : {DCM_TemporalPositionIdentifier, DCM_EchoTime, DCM_EchoNumbers, DCM_StackID,
                               DCM_NominalPercentageOfCardiacPhase, DCM_ConvolutionKernel}) {
    for (const double offset : kOffsets) {
      const std::string what = concat(DcmTag(tag).getTagName(), " at ", offset, ": ");
      const DicomTree tree = single(shifted(offset, tag));
      expect_whole(tree, 2, 4, 3, what);
      const bool is_same = offset < 0.015 || offset > 2.99;
      if (is_same || offset > 0.03) {
        EXPECT_TRUE(contains(remarks(tree),
                             is_same ? "2 of 2 at the same place" : "2 of 2 whose slices lie between each other's"))
            << what << remarks(tree);
      }
    }
  }
  for (const double offset : {0.0, 0.002, 0.01, 0.4, 0.75, 1.0, 1.5})
    expect_whole(single(shifted(offset, DCM_TemporalPositionIdentifier, 3)), 3, 4, 3, "three: ");
}

// Acquisitions and times, unless all slices together are even: then they may be one volume that was acquired in turns.
TEST_F(DicomInterleave, VolumesOfAcquisitions) {
  for (const DcmTagKey& tag : {DCM_AcquisitionNumber, DCM_TriggerTime, DCM_AcquisitionTime}) {
    for (const double offset : kOffsets) {
      const std::string what = concat(DcmTag(tag).getTagName(), " at ", offset, ": ");
      const DicomTree tree = single(shifted(offset, tag));
      if (std::abs(offset - 1.5) > 0.06) {
        expect_whole(tree, 2, 4, 3, what);
        continue;
      }
      ASSERT_EQ(tree.series.size(), 1U) << what << remarks(tree);
      EXPECT_EQ(tree.series[0].files.size(), 8U);
      EXPECT_TRUE(contains(remarks(tree), "take turns along it, evenly: they are kept as one volume")) << remarks(tree);
    }
  }
}

TEST_F(DicomInterleave, FramesOfOneFile) {
  const std::vector<std::function<void(DcmItem&, const Slice&)>> ways{
      [](DcmItem& own, const Slice& slice) {
        DicomPhantom::item(own, DCM_FrameContentSequence)
            .putAndInsertUint32(DCM_TemporalPositionIndex, static_cast<Uint32>(slice.volume + 1));
      },
      [](DcmItem& own, const Slice& slice) {
        DicomPhantom::put_in(DicomPhantom::item(own, DCM_FrameContentSequence), DCM_StackID,
                             std::to_string(slice.volume + 1));
      },
      [](DcmItem& own, const Slice& slice) {
        DicomPhantom::item(own, DCM_MREchoSequence).putAndInsertFloat64(DCM_EffectiveEchoTime, 10 * slice.volume + 5);
      }};
  for (size_t way = 0; way < ways.size(); ++way) {
    for (const double offset : kOffsets)
      expect_whole(enhanced(shifted(offset, DCM_EchoTime), ways[way]), 2, 4, 3,
                   concat("way ", way, " at ", offset, ": "));
  }
}

// Rounding alone makes no places of its own, whether a tag helps or not.
TEST_F(DicomInterleave, PlacesThatAreRoundedDifferently) {
  for (const DcmTagKey& tag : {DCM_TemporalPositionIdentifier, DCM_Manufacturer}) {
    for (const double rounding : {0.0005, 0.0012, 0.004, 0.009}) {
      std::vector<Slice> slices = shifted(0, tag);
      for (size_t i = 0; i < slices.size(); ++i)
        slices[i].place_mm += i % 3 == 0 ? rounding : i % 4 == 1 ? -rounding : 0;
      const DicomTree tree = single(slices);
      ASSERT_EQ(tree.series.size(), 2U) << rounding << remarks(tree);
      for (const DicomSeries& series : tree.series) EXPECT_NEAR(series.header.spacing_mm[2], 3, 0.02);
    }
  }
  // Very thin slices, with a gap, are places of their own.
  std::vector<Slice> thin;
  for (int z = 0; z < 12; ++z) thin.push_back({0.004 * z + (z > 5 ? 1 : 0), 0, {}});
  EXPECT_EQ(single(thin).series.size(), 1U);
}

// A tag that changes along the axis tells no volumes apart: counters, blocks, table positions.
TEST_F(DicomInterleave, TagsThatChangeAlongTheAxis) {
  const std::vector<std::pair<const char*, std::function<int(int)>>> patterns{
      {"counts slices", [](int z) { return z; }},
      {"counts down", [](int z) { return 12 - z; }},
      {"blocks", [](int z) { return z / 4; }},
      {"pairs", [](int z) { return z / 2; }},
      {"one of its own", [](int z) { return z == 5 ? 1 : 0; }},
      {"blocks that come back", [](int z) { return z / 3 % 2; }},
      {"two by two", [](int z) { return z / 2 % 2; }}};
  for (const DcmTagKey& tag : {DCM_TemporalPositionIdentifier, DCM_AcquisitionNumber, DCM_EchoTime, DCM_DiffusionBValue,
                               DCM_StackID, DCM_TriggerTime}) {
    for (const auto& [name, value] : patterns) {
      for (const bool is_even : {true, false}) {
        std::vector<Slice> slices;
        for (int z = 0; z < 12; ++z)
          slices.push_back({2.0 * z + (is_even ? 0.0 : 0.3 * (z % 5)), 0, {{tag, std::to_string(value(z))}}});
        const DicomTree tree = single(slices);
        EXPECT_EQ(tree.series.size(), 1U) << DcmTag(tag).getTagName() << ' ' << name << is_even << remarks(tree);
        if (is_even) {
          EXPECT_EQ(remarks(tree), "\n") << DcmTag(tag).getTagName() << ' ' << name;
        }
      }
    }
  }
}

// Odd slices in one acquisition, even ones in another; or every third.
TEST_F(DicomInterleave, OneVolumeThatWasAcquiredInTurns) {
  for (const int turns : {2, 3}) {
    for (const bool lacks_one : {false, true}) {
      std::vector<Slice> slices;
      for (int z = 0; z < 12; ++z) {
        if (!lacks_one || z != 4)
          slices.push_back({2.0 * z, 0, {{DCM_AcquisitionNumber, std::to_string(z % turns + 1)}}});
      }
      const DicomTree tree = single(slices);
      ASSERT_EQ(tree.series.size(), 1U) << remarks(tree);
      EXPECT_EQ(tree.series[0].header.spacing_mm[2], 2);
      EXPECT_TRUE(contains(remarks(tree), "slices of different AcquisitionNumber take turns along it"))
          << remarks(tree);
    }
  }
}

// Two echoes at the same places, at two time points that lie beside
// each other; two echoes and two time points at four offsets.
TEST_F(DicomInterleave, TwoTagsTogether) {
  for (const double echo_offset : {0.0, 0.4}) {
    std::vector<Slice> slices;
    for (int z = 0; z < 4; ++z) {
      for (int i = 0; i < 4; ++i) {
        slices.push_back(
            {3.0 * z + 1.1 * (i % 2) + echo_offset * (i / 2),
             i,
             {{DCM_EchoTime, std::to_string(i / 2 + 1)}, {DCM_TemporalPositionIdentifier, std::to_string(i % 2 + 1)}}});
      }
    }
    const DicomTree tree = single(slices);
    ASSERT_EQ(tree.series.size(), 4U) << remarks(tree);
    for (const DicomSeries& series : tree.series) {
      const std::vector<float> read = values(read_dicom(series.files));
      ASSERT_EQ(read.size(), 8U);
      for (size_t z = 0; z < 8; z += 2) EXPECT_EQ(read[z], read[0]);
    }
    EXPECT_TRUE(contains(remarks(tree), "EchoTime and TemporalPositionIdentifier") ||
                contains(remarks(tree), "TemporalPositionIdentifier and EchoTime"));
  }
}

// Half a step apart, and no tag tells them from each other: one volume, and a word where the files give a hint.
TEST_F(DicomInterleave, VolumesThatNoTagTellsApart) {
  const auto remarks_of = [&](bool is_in_order, const std::string& spacing, int count) {
    std::vector<Slice> slices;
    for (int i = 0; i < 4 * count; ++i) {
      const double place_mm = is_in_order ? 3.0 / count * i : 3.0 * (i % 4) + 3.0 / count * (i / 4);
      slices.push_back(
          {place_mm, 0, {{DCM_InstanceNumber, std::to_string(i + 1)}, {DCM_SpacingBetweenSlices, spacing}}});
    }
    const DicomTree tree = single(slices);
    EXPECT_EQ(tree.series.size(), 1U);
    return remarks(tree);
  };
  for (const int count : {2, 3}) {
    EXPECT_EQ(remarks_of(true, std::to_string(3.0 / count), count), "\n");
    EXPECT_TRUE(contains(remarks_of(false, std::to_string(3.0 / count), count),
                         "earlier and later images take turns along it"));
    EXPECT_TRUE(contains(remarks_of(true, "3", count),
                         concat("SpacingBetweenSlices says 3: they are kept as one volume, but may be ", count)));
  }
}

// A time point that lacks a slice, or stops early.
TEST_F(DicomInterleave, VolumesThatLackSlices) {
  for (const double offset : {0.005, 0.7, 1.5}) {
    for (const size_t lacks : {3, 5, 7}) {
      std::vector<Slice> slices = shifted(offset, DCM_TemporalPositionIdentifier);
      slices.erase(slices.begin() + static_cast<std::ptrdiff_t>(lacks));
      const DicomTree tree = single(slices);
      ASSERT_EQ(tree.series.size(), 2U) << offset << ' ' << lacks << remarks(tree);
      EXPECT_EQ(tree.series[0].files.size(), 4U);
      EXPECT_EQ(tree.series[1].files.size(), 3U);
      EXPECT_NEAR(tree.series[1].header.spacing_mm[2], 3, 1e-6);
    }
  }
}

}  // namespace
}  // namespace vmae::io
