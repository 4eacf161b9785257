#include "vmae/image/file_name.h"

#include <gtest/gtest.h>

#include <random>

#include "vmae/core/text.h"
#include "vmae/image/picture.h"
#include "vmae/volume/volume.h"

namespace vmae::io {
namespace {

TEST(FileName, OnlyKnownEndingsAreEndings) {
  const auto expect = [](const std::string& name, const std::string& stem, const std::string& ending, FileKind kind) {
    const FileName found = take_apart(name);
    EXPECT_EQ(found.stem, stem) << name;
    EXPECT_EQ(found.ending, ending) << name;
    EXPECT_EQ(found.kind, kind) << name;
  };
  expect("1.2.826.101.nii.gz", "1.2.826.101", ".nii.gz", FileKind::volume);
  expect("p.T1.nii.gz", "p.T1", ".nii.gz", FileKind::volume);
  expect("a.b.c.nii", "a.b.c", ".nii", FileKind::volume);
  expect("IMG.NII.GZ", "IMG", ".nii.gz", FileKind::volume);
  expect("case.seg.nrrd", "case", ".seg.nrrd", FileKind::volume);
  expect("case.label.nrrd", "case.label", ".nrrd", FileKind::volume);
  expect("x_mask.png", "x_mask", ".png", FileKind::picture);
  expect("a/b.c/d.PNG", "a/b.c/d", ".png", FileKind::picture);
  expect("a.png/b", "a.png/b", "", FileKind::other);
  expect("1.2.840.113619.2.5", "1.2.840.113619.2.5", "", FileKind::other);
  expect("x.gz", "x.gz", "", FileKind::other);
  expect(".png", ".png", "", FileKind::other);
  expect("a/.nii.gz", "a/.nii.gz", "", FileKind::other);
  expect("SEG.DCM", "SEG", ".dcm", FileKind::dicom);
}

// Random names: the stem is what was put in front of the ending, whatever
// it looks like, as long as it does not itself make a longer ending.
TEST(FileName, RandomStemsAndEndings) {
  const std::vector<std::string> endings{".nii.gz", ".nii",  ".nrrd", ".nhdr", ".mha", ".mhd", ".png",
                                         ".jpg",    ".jpeg", ".tif",  ".tiff", ".bmp", ".dcm"};
  const std::vector<std::string> parts{"a",   "T1", ".",   ".",   "_",     "-", "0",     "7",
                                       "nii", "gz", "seg", "png", "label", " ", "\u00e9"};
  std::mt19937 random(1);
  const auto draw = [&](const auto& list) { return list[random() % list.size()]; };
  for (int i = 0; i < 5000; ++i) {
    std::string stem = draw(parts);
    for (size_t n = random() % 8; n > 0; --n) stem += draw(parts);
    std::string ending = draw(endings);
    std::string written = ending;
    for (char& c : written) {
      if (random() % 3 == 0 && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    if ((ending == ".nrrd" || ending == ".nhdr") && to_lower(stem).ends_with(".seg") && stem.size() > 4) {
      stem.resize(stem.size() - 4);
      written = ".seg" + written;
      ending = ".seg" + ending;
    }
    const FileName found = take_apart(stem + written);
    EXPECT_EQ(found.stem, stem) << stem << written;
    EXPECT_EQ(found.ending, ending) << stem << written;
    EXPECT_EQ(is_picture(stem + written), found.kind == FileKind::picture) << stem << written;
    EXPECT_EQ(is_volume(stem + written), found.kind == FileKind::volume) << stem << written;
  }
}

TEST(FileName, WithoutEnding) {
  EXPECT_EQ(without_ending("c1_0000.NII.GZ", ".nii.gz"), "c1_0000");
  EXPECT_EQ(without_ending("c1.nii", ".nii.gz"), "");
  EXPECT_EQ(without_ending(".nii.gz", ".nii.gz"), "");
  EXPECT_EQ(without_ending("a", ""), "");
}

}  // namespace
}  // namespace vmae::io
