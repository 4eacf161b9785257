// What masks say about their own numbers, and where two of them contradict each other.
#include "vmae/cases/mask_numbering.h"

#include <gtest/gtest.h>

#include <functional>

#include "support/errors.h"
#include "support/images.h"
#include "support/temp_folder.h"
#include "vmae/cases/read_image.h"
#include "vmae/image/picture.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::nifti;
using Bytes = std::vector<uint8_t>;
using Names = std::vector<std::string>;
using Segments = std::vector<std::pair<int, std::string>>;

class MaskNumbering : public ::testing::Test {
 protected:
  // As 3D Slicer writes it: 2 x 2 x 1 voxels.
  SourceFile slicer(const std::string& name, const Segments& segments, const Bytes& voxels = {0, 0, 0, 0}) {
    std::string header = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 1\nencoding: raw\n";
    for (size_t i = 0; i < segments.size(); ++i)
      header +=
          concat("Segment", i, "_Name:=", segments[i].second, "\nSegment", i, "_LabelValue:=", segments[i].first, "\n");
    SourceFile file =
        masked(name, folder_.write(name + ".seg.nrrd", header + "\n" + std::string(voxels.begin(), voxels.end())));
    file.path =
        folder_.write(name + ".nrrd", "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 1\nencoding: raw\n\nabcd");
    return file;
  }
  SourceFile volume(const std::string& name, const std::vector<int16_t>& size, const Bytes& voxels) {
    return masked(name, folder_.write(name + "_mask.nii", nifti<uint8_t>(size, voxels)));
  }
  // 4 x 1 pixels of 8 bits with a palette.
  SourceFile bitmap(const std::string& name, const std::vector<std::array<uint8_t, 3>>& palette, const Bytes& pixels) {
    const auto offset = static_cast<uint32_t>(54 + 4 * palette.size());
    std::string bytes(offset, '\0');
    bytes[0] = 'B';
    bytes[1] = 'M';
    test::put<uint32_t>(bytes, 2, offset + 4);
    test::put<uint32_t>(bytes, 10, offset);
    test::put<uint32_t>(bytes, 14, 40);
    test::put<int32_t>(bytes, 18, 4);
    test::put<int32_t>(bytes, 22, 1);
    test::put<uint16_t>(bytes, 26, 1);
    test::put<uint16_t>(bytes, 28, 8);
    test::put<uint32_t>(bytes, 46, static_cast<uint32_t>(palette.size()));
    for (size_t i = 0; i < palette.size(); ++i) {
      for (size_t c = 0; c < 3; ++c) bytes[54 + 4 * i + c] = static_cast<char>(palette[i][2 - c]);
    }
    return masked(name, folder_.write(name + ".bmp", bytes + std::string(pixels.begin(), pixels.end())));
  }
  SourceFile masked(const std::string& name, const fs::path& mask) {
    return {.path = folder_.write(name + ".nii", nifti<int16_t>({2, 2, 1}, {1, 2, 3, 4})), .name = name, .mask = mask};
  }
  static void expect_refused(const std::function<void()>& step, const Names& words) {
    const Error error = error_of(step);
    EXPECT_EQ(error.code(), ExitCode::data);
    for (const std::string& word : words) EXPECT_TRUE(contains(error.what(), word)) << word << ": " << error.what();
  }

  test::TempFolder folder_;
};

TEST_F(MaskNumbering, SegmentsAreKnownByValueWhateverTheirOrder) {
  const SourceFile both = slicer("both", {{2, "edema"}, {1, "tumour"}}), one = slicer("one", {{2, "edema"}}),
                   gap = slicer("gap", {{4, "necrosis"}});
  EXPECT_EQ(structure_names(both), (Names{"tumour", "edema"}));
  EXPECT_EQ(structure_names(std::vector{both, one}), (Names{"tumour", "edema"}));
  EXPECT_EQ(structure_names(std::vector{one, both}), (Names{"tumour", "edema"}));
  EXPECT_EQ(structure_names(std::vector{one, both, gap}), (Names{"tumour", "edema", "3", "necrosis"}));
  // no numbering: the values are asked for
  EXPECT_EQ(structure_names(std::vector{both, slicer("far", {{200, "liver"}})}), Names{});
  EXPECT_EQ(structure_names(std::vector{volume("plain", {2, 2, 1}, {0, 1, 1, 0}), both}), (Names{"tumour", "edema"}));
  EXPECT_EQ(structure_names(std::vector{volume("other", {2, 2, 1}, {0, 1, 1, 0})}), Names{});
  const SourceFile without{.path = both.path, .name = "without"};
  EXPECT_EQ(structure_names(std::vector{without, both}), (Names{"tumour", "edema"}));
}

TEST_F(MaskNumbering, DetachedHeadersNameSegmentsToo) {
  folder_.write("voxels.raw", std::string(4, '\0'));
  const std::string header =
      "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 1\nencoding: raw\ndata file: voxels.raw\n";
  const SourceFile file =
      masked("detached", folder_.write("detached.seg.nhdr", header + "Segment0_Name:=liver\nSegment0_LabelValue:=2\n"));
  EXPECT_EQ(value_names(file), (std::map<int64_t, std::string>{{2, "liver"}}));
}

TEST_F(MaskNumbering, ContradictionsAreRefusedByName) {
  const SourceFile a = slicer("a", {{1, "tumour"}, {3, "edema"}}), b = slicer("b", {{1, "edema"}, {3, "tumour"}});
  expect_refused(
      [&] {
        structure_names(std::vector{a, b});
      },
      {"the mask of a", "the mask of b", "'edema' as 1", "as 3"});
  expect_refused(
      [&] {
        structure_names(std::vector{a, slicer("c", {{1, "Tumour"}})});
      },
      {"the mask of c", "'Tumour'", "the mask of a", "'tumour'"});
  expect_refused([&] { structure_names(std::vector{a}, {"edema", "tumour"}); }, {"the mask of a", "the dataset"});
  // Beside others that name nothing, too.
  expect_refused(
      [&] {
        structure_names(std::vector{volume("plain", {2, 2, 1}, {0, 1, 1, 0}), a, b});
      },
      {"the mask of b"});
  EXPECT_EQ(structure_names(std::vector{a}, {"tumour", "core"}), (Names{"tumour", "core", "edema"}));
}

TEST_F(MaskNumbering, SegmentsAreNumberedByTheNamesAskedFor) {
  const SourceFile a = slicer("a", {{1, "tumour"}, {7, "edema"}}, {0, 1, 7, 7}),
                   b = slicer("b", {{7, "tumour"}, {1, "edema"}}, {0, 1, 7, 7});
  const auto read = [](const SourceFile& file, const Names& names) { return read_mask(file, read_image(file), names); };
  EXPECT_EQ(read(a, {}), (Bytes{0, 1, 7, 7}));
  EXPECT_EQ(read(a, {"edema", "tumour"}), (Bytes{0, 2, 1, 1}));
  EXPECT_EQ(read(b, {"edema", "tumour"}), (Bytes{0, 1, 2, 2}));
  EXPECT_EQ(read(b, {"tumour"}), (Bytes{0, 0, 1, 1}));
  const SourceFile more = slicer("more", {{1, "tumour"}}, {0, 1, 2, 0});
  expect_refused([&] { read(more, {"edema"}); }, {"more.seg.nrrd", "value 2"});
}

TEST_F(MaskNumbering, ChannelsWithAndWithoutABackgroundDoNotGoTogether) {
  const SourceFile one_hot = volume("one_hot", {2, 2, 1, 2}, {1, 0, 0, 1, 0, 1, 1, 0}),
                   part = volume("part", {2, 2, 1, 2}, {1, 0, 0, 0, 0, 1, 0, 0});
  const SourceFile labels = volume("labels", {2, 2, 1}, {0, 1, 1, 0}),
                   broken = masked("broken", folder_.write("broken.nii.gz", "no volume"));
  EXPECT_NO_THROW(check_numbering({one_hot, labels, broken, volume("other", {2, 2, 1, 2}, {1, 1, 1, 1, 0, 0, 0, 0})}));
  EXPECT_NO_THROW(check_numbering({part, labels}));
  // Two channels are a background and one class, or two classes.
  EXPECT_NO_THROW(check_numbering({one_hot}, {"organ"}));
  EXPECT_NO_THROW(check_numbering({part}, {"organ", "tumour"}));
  expect_refused(
      [&] {
        check_numbering({one_hot}, {"organ", "tumour"});
      },
      {"the mask of one_hot", "2 channels for the classes organ, tumour"});
  expect_refused(
      [&] {
        check_numbering({one_hot, labels, part});
      },
      {"the mask of one_hot", "the mask of part", "background"});
  expect_refused([&] { check_numbering({part, one_hot}); }, {"the mask of one_hot", "the mask of part"});
}

TEST_F(MaskNumbering, PalettesThatExchangeTheirIndicesAreRefused) {
  const std::array<uint8_t, 3> black{0, 0, 0}, red{200, 0, 0}, green{0, 200, 0}, blue{0, 0, 200};
  const SourceFile whole = bitmap("whole", {black, red, green}, {0, 1, 2, 0}),
                   beginning = bitmap("beginning", {black, red}, {0, 1, 1, 0});
  const SourceFile exchanged = bitmap("exchanged", {black, green, red}, {0, 1, 1, 0}),
                   unused = bitmap("unused", {black, red, blue, green}, {0, 1, 0, 0});
  EXPECT_EQ(picture_palette(whole.mask), (std::vector{black, red, green}));
  EXPECT_NO_THROW(check_numbering({whole, beginning, unused}));
  expect_refused(
      [&] {
        check_numbering({whole, beginning, exchanged});
      },
      {"the mask of exchanged", "(0, 200, 0) as index 1", "the mask of whole as 2"});
  EXPECT_NO_THROW(check_numbering({beginning, exchanged}));  // other colours: warned of
  const SourceFile greys = bitmap("greys", {black, {128, 128, 128}, {255, 255, 255}}, {0, 1, 2, 0}),
                   two = bitmap("two", {black, {255, 255, 255}}, {0, 1, 1, 0});
  expect_refused([&] { check_numbering({greys, two}); }, {"(255, 255, 255) as index 1"});
  // Beside greys without a palette that hold these greys, they may be
  // the labels; colours, and greys that are nowhere else, are none.
  std::vector<std::array<uint8_t, 3>> ramp;  // a palette that is none
  for (size_t i = 0; i < 256; ++i)
    ramp.push_back({static_cast<uint8_t>(i), static_cast<uint8_t>(i), static_cast<uint8_t>(i)});
  const SourceFile plain = bitmap("plain", ramp, {0, 1, 2, 0}),
                   smaller = bitmap("smaller", {black, {2, 2, 2}}, {0, 1, 1, 0});
  expect_refused(
      [&] {
        check_numbering({plain, smaller});
      },
      {"the mask of smaller", "index 1 is the grey 2", "the mask of plain"});
  EXPECT_NO_THROW(check_numbering({plain, two}));
  EXPECT_NO_THROW(check_numbering({plain, whole}));
}

TEST(Palettes, AreReadWithoutPixels) {
  int64_t num_palettes = 0;
  for (const auto& entry : fs::directory_iterator(test::tests_folder() / "golden" / "pictures")) {
    if (!is_picture(entry.path())) continue;
    LabelPicture picture;
    try {
      picture = read_label_picture(entry.path());
    } catch (const Error&) {  // no mask
      continue;
    }
    EXPECT_EQ(picture_palette(entry.path()), picture.palette) << entry.path();
    num_palettes += picture.palette.empty() ? 0 : 1;
  }
  EXPECT_GE(num_palettes, 2);
}

}  // namespace
}  // namespace vmae::io
