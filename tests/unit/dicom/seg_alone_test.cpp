// DICOM segmentations read without their images.
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/seg_cases.h"
#include "support/temp_folder.h"
#include "support/write_cases.h"
#include "vmae/cases/read_image.h"
#include "vmae/cases/read_label_map.h"
#include "vmae/cases/write_labels.h"
#include "vmae/dicom/volume.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::DicomPhantom;
using test::error_of;

class SegAlone : public ::testing::Test {
 protected:
  void use(const std::vector<fs::path>& files) {
    files_ = files;
    image_ = read_dicom(files_);
  }
  // Oblique slices of 5 x 4 pixels, 2.5 mm apart unless `places` says otherwise.
  void use_phantom(const std::vector<double>& places = {0, 2.5, 5, 7.5, 10, 12.5, 15}, bool has_places = true) {
    std::vector<fs::path> files;
    for (size_t z = 0; z < places.size(); ++z) {
      DicomPhantom slice;
      slice.size(5, 4)
          .at({-10.5 + 0.6 * places[z], 20.25 - 0.8 * places[z], 100}, {0.8, 0.6, 0, 0, 0, -1}, {0.9, 0.7})
          .pixels(std::vector<uint16_t>(20));
      slice.set(DCM_SliceThickness, "2.5")
          .set(DCM_InstanceNumber, std::to_string(z))
          .set(DCM_SOPInstanceUID, "1.2.7." + std::to_string(z));
      if (!has_places) slice.at({0, 0, 0});
      files.push_back(slice.save(folder_ / std::to_string(z)));
    }
    use(has_places ? group_dicom(files).series.at(0).files : files);
  }
  fs::path write(const std::vector<uint8_t>& labels, const std::string& name = "seg.dcm") {
    write_dicom_seg(folder_ / name, files_, image_, labels, test::kSegDescription);
    return folder_ / name;
  }
  // The made-up labels where `slices` has an x, background elsewhere.
  std::vector<uint8_t> labels_in(const std::string& slices) const {
    std::vector<uint8_t> labels(static_cast<size_t>(image_.size[0] * image_.size[1] * image_.size[2]), 0);
    const size_t slice_size = labels.size() / slices.size();
    for (size_t i = 0; i < labels.size(); ++i)
      labels[i] = slices[i / slice_size] == 'x' ? static_cast<uint8_t>(1 + i % 2) : uint8_t{0};
    return labels;
  }
  // A copy of the file with other values.
  template <class Change>
  fs::path changed(const fs::path& seg, Change&& change) const {
    DcmFileFormat file;
    EXPECT_TRUE(file.loadFile(seg.c_str()).good());
    change(*file.getDataset());
    EXPECT_TRUE(file.saveFile((folder_ / "changed").c_str()).good());
    return folder_ / "changed";
  }
  static DcmItem& measures(DcmItem& data) {
    return DicomPhantom::item(DicomPhantom::item(data, DCM_SharedFunctionalGroupsSequence), DCM_PixelMeasuresSequence);
  }
  LabelMap on_image(const std::vector<uint8_t>& labels) const {
    return {.size = image_.size,
            .spacing_mm = image_.spacing_mm,
            .origin_mm = image_.origin_mm,
            .direction = image_.direction,
            .labels = labels};
  }

  test::TempFolder folder_;
  std::vector<fs::path> files_;
  Volume image_;
};

TEST_F(SegAlone, AndNiftiOfRealSeriesAreEqual) {
  for (const char* name : {"CT", "MR_T1", "PET"}) {
    SCOPED_TRACE(name);
    use(test::sts001_series(name).files);
    const std::vector<uint8_t> labels = test::made_up_labels(image_, 2);
    write_label_volume(folder_ / "a.nii.gz", {files_[0], ""}, image_, labels);
    const LabelMap nifti = read_label_map(folder_ / "a.nii.gz"), seg = read_label_map(write(labels));
    EXPECT_EQ(seg.names, test::kSegDescription.class_names);
    EXPECT_TRUE(seg.has_millimetres);
    const auto [a, b] = onto_common_grid(seg, nifti);
    EXPECT_EQ(a.labels, labels);
    EXPECT_EQ(b.labels, labels);
    EXPECT_EQ(onto_grid(seg, nifti).labels, labels);
  }
}

TEST_F(SegAlone, AbsentSlicesAreGapsOrOutside) {
  use_phantom();
  for (const char* slices : {"xxxxxxx", "-xx--x-", "x-----x", "---x---", "x-x-x-x", "-x---x-", "-------"}) {
    SCOPED_TRACE(slices);
    const std::vector<uint8_t> labels = labels_in(slices);
    const LabelMap seg = read_label_map(write(labels));
    const std::string text = slices;
    const size_t first = text.find('x');
    EXPECT_EQ(seg.size[2], first == std::string::npos ? 1 : static_cast<int64_t>(text.rfind('x') - first) + 1);
    EXPECT_NEAR(seg.spacing_mm[2], 2.5, 1e-6);
    EXPECT_EQ(onto_grid(seg, on_image(labels)).labels, labels);
  }
}

TEST_F(SegAlone, TwoOfOneSeriesWithOtherSlicesMeet) {
  use_phantom();
  const std::vector<uint8_t> low = labels_in("xxx----"), high = labels_in("--x-xx-");
  const auto [a, b] = onto_common_grid(read_label_map(write(low, "low")), read_label_map(write(high, "high")));
  EXPECT_EQ(a.size, (std::array<int64_t, 3>{5, 4, 6}));
  EXPECT_EQ(grid_difference(a, b), "");
  EXPECT_EQ(onto_grid(a, on_image(low)).labels, low);
  EXPECT_EQ(onto_grid(b, on_image(high)).labels, high);
  const auto [c, d] = onto_common_grid(read_label_map(folder_ / "high"), read_label_map(folder_ / "low"));
  EXPECT_EQ(onto_grid(c, on_image(low)).labels, high);
  EXPECT_EQ(onto_grid(d, on_image(low)).labels, low);
}

// Of one slice the file may know the thickness only, 2 mm here; the other knows how far slices are apart.
TEST_F(SegAlone, OneSliceWithoutAStep) {
  use_phantom();
  const std::vector<uint8_t> one = labels_in("---x---"), many = labels_in("-xxxx--");
  const LabelMap alone = read_label_map(changed(write(one),
                                                [](DcmItem&data) {
                                                  measures(data).findAndDeleteElement(DCM_SpacingBetweenSlices);
                                                  DicomPhantom::put_in(measures(data), DCM_SliceThickness, "2");
                                                })),
                 others = read_label_map(write(many));
  EXPECT_EQ(alone.spacing_mm[2], 2);
  for (const bool is_first : {true, false}) {
    auto [a, b] = is_first ? onto_common_grid(alone, others) : onto_common_grid(others, alone);
    if (!is_first) std::swap(a, b);
    EXPECT_EQ(onto_grid(a, on_image(one)).labels, one);
    EXPECT_EQ(onto_grid(b, on_image(one)).labels, many);
  }
}

TEST_F(SegAlone, GapsBetweenSlicesAreNotTheirStep) {
  use_phantom();
  const std::vector<uint8_t> labels = labels_in("-xxx-x-");
  const LabelMap seg = read_label_map(changed(write(labels), [](DcmItem& data) {
    DicomPhantom::put_in(measures(data), DCM_SpacingBetweenSlices, "0.5");
    DicomPhantom::put_in(measures(data), DCM_SliceThickness, "2");
  }));
  EXPECT_EQ(onto_grid(seg, on_image(labels)).labels, labels);
}

// A frame that begins two columns further left than the others (0.7 mm each), and one row further down (0.9 mm).
TEST_F(SegAlone, FramesOfOtherCorners) {
  use_phantom();
  const std::vector<uint8_t> labels = labels_in("xx-----");
  const auto move_last = [](double columns, double rows) {
    return [=](DcmItem& data) {
      // label 2 in slice 1, at 12.5 mm
      DcmItem& group = DicomPhantom::item(data, DCM_PerFrameFunctionalGroupsSequence, 3);
      const double mm = 0.7 * columns;
      DicomPhantom::put_in(DicomPhantom::item(group, DCM_PlanePositionSequence), DCM_ImagePositionPatient,
                           test::decimals({-10.5 + 7.5 + 0.8 * mm, 20.25 - 10 + 0.6 * mm, 100 - 0.9 * rows}));
    };
  };
  const LabelMap whole = read_label_map(write(labels)),
                 moved = read_label_map(changed(write(labels), move_last(-2, 1)));
  EXPECT_EQ(moved.size, (std::array<int64_t, 3>{7, 5, 2}));
  for (int64_t z = 0; z < 2; ++z) {
    for (int64_t y = 0; y < 4; ++y) {
      for (int64_t x = 0; x < 5; ++x) {
        const uint8_t label = whole.labels[static_cast<size_t>(x + 5 * (y + 4 * z))];
        const bool is_moved = z == 1 && label == 2;
        const int64_t at = x + (is_moved ? 0 : 2) + 7 * (y + (is_moved ? 1 : 0) + 5 * z);
        if (label == 0 || (label == 1 && z == 1)) continue;  // the moved one wins over others
        EXPECT_EQ(moved.labels[static_cast<size_t>(at)], label) << x << ' ' << y << ' ' << z;
      }
    }
  }
  const fs::path halfway = changed(write(labels), move_last(0.5, 0));
  EXPECT_TRUE(contains(error_of([&] { read_label_map(halfway); }).what(), "parts of a pixel"));
}

TEST_F(SegAlone, UnevenSlicesAreRefused) {
  use_phantom({0, 2.5, 5, 8.2, 10.7});
  const fs::path seg = write(labels_in("xxxxx"));
  const Error error = error_of([&] { read_label_map(seg); });
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_TRUE(contains(error.what(), seg.string()));
  EXPECT_TRUE(contains(error.what(), "uneven distances"));
  use_phantom({0, 2.5, 5, 10, 12.5});  // one is missing: a gap
  EXPECT_EQ(read_label_map(write(labels_in("xxxxx"))).size[2], 6);
}

TEST_F(SegAlone, ImagesWithoutAPlace) {
  const auto check = [&](int64_t num_slices, const std::string& slices) {
    ASSERT_EQ(image_.size[2], num_slices);
    const LabelMap seg = read_label_map(write(labels_in(slices)));
    EXPECT_FALSE(seg.has_millimetres);
    EXPECT_EQ(seg.size, image_.size);
    EXPECT_EQ(seg.labels, labels_in(slices));
  };
  use({test::dicom_files() / "SC_rgb_rle_16bit_2frame.dcm"});
  check(2, "-x");
  check(2, "xx");
  use_phantom({0, 1, 2, 3}, false);
  for (const char* slices : {"xxxx", "-x--", "---x", "x-x-"}) check(4, slices);
}

// tests/golden/make_seg_highdicom.py says where the labels are.
TEST_F(SegAlone, OfHighdicom) {
  const LabelMap seg = read_label_map(test::tests_folder() / "golden" / "seg_highdicom.dcm");
  EXPECT_EQ(seg.names, (std::vector<std::string>{"liver", "tumour"}));
  EXPECT_EQ(seg.size, (std::array<int64_t, 3>{10, 8, 5}));
  LabelMap series{.size = {10, 8, 7}, .spacing_mm = {0.9, 0.7, 2.5}, .origin_mm = {-10, 20, 30}};
  for (int z = 0; z < 7; ++z) {
    for (int y = 0; y < 8; ++y) {
      for (int x = 0; x < 10; ++x) {
        const bool is_liver = (z == 1 || z == 2 || z == 5) && (x + 2 * y + z) % 5 == 0,
                   is_tumour = z == 2 && (x + 2 * y) % 7 == 1;
        series.labels.push_back(is_tumour ? 2 : is_liver ? 1 : 0);
      }
    }
  }
  EXPECT_EQ(onto_grid(seg, series).labels, series.labels);
}

TEST_F(SegAlone, OtherDicomIsRefused) {
  DicomPhantom structures;
  structures.set(DCM_SOPClassUID, UID_RTStructureSetStorage).set(DCM_Modality, "RTSTRUCT");
  const fs::path rtstruct = structures.save(folder_ / "rs.dcm"), ct = test::dicom_files() / "JPEG2000.dcm";
  EXPECT_TRUE(contains(error_of([&] { read_label_map(rtstruct); }).what(), "structure set"));
  EXPECT_TRUE(contains(error_of([&] { read_label_map(ct); }).what(), "is no DICOM segmentation"));
  EXPECT_EQ(error_of([&] { read_label_map(ct); }).code(), ExitCode::data);
}

}  // namespace
}  // namespace vmae::io
