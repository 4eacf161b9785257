#include "vmae/sources/source.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/errors.h"
#include "support/images.h"
#include "support/temp_folder.h"
#include "vmae/cases/read_image.h"
#include "vmae/cases/read_label_map.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::TempFolder;

std::vector<std::string> names(const std::vector<SourceFile>& files) {
  std::vector<std::string> result;
  for (const SourceFile& file : files) result.push_back(file.name);
  return result;
}

std::string what_of(const fs::path& source) {
  const Error error = error_of([&] { list_source(source); });
  EXPECT_EQ(error.code(), ExitCode::data);
  return error.what();
}

TEST(Source, ManifestPathsAreRelativeToIt) {
  const TempFolder folder;
  const fs::path csv =
      folder.write("lists/train.csv", "patient,image,mask,split\np1,../images/a.png,m.png,Train\n,b.nii.gz,,\n");
  const std::vector<SourceFile> files = list_source(csv);
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[0].path, folder / "images/a.png");
  EXPECT_EQ(files[0].name, "../images/a.png");
  EXPECT_EQ(files[0].patient, "p1");
  EXPECT_EQ(files[0].split, "train");
  EXPECT_EQ(files[1].path, folder / "lists/b.nii.gz");
  EXPECT_EQ(files[1].patient, "b.nii.gz");
  EXPECT_EQ(files[1].split, "");
}

TEST(Source, AbsolutePathsInAManifestGetRelativeNames) {
  const TempFolder folder;
  const fs::path csv = folder.write("lists/train.csv", "image\n" + (folder / "images/a.png").string() + "\n");
  EXPECT_EQ(list_source(csv)[0].name, "../images/a.png");
  EXPECT_EQ(list_source(csv)[0].path, folder / "images/a.png");
}

TEST(Source, BackslashesInAManifestAreSeparatorsWhereNothingIsCalledSo) {
  const TempFolder folder;
  folder.write("scans/a.png", "x");
  folder.write("masks/a.png", "x");
  folder.write("odd\\b.png", "x");
  const Source source = find_source(folder.write("m.csv", "image,mask\nscans\\a.png,masks\\a.png\nodd\\b.png,\n"));
  EXPECT_EQ(names(source.files), (std::vector<std::string>{"scans/a.png", "odd\\b.png"}));
  EXPECT_EQ(source.files[0].path, folder / "scans/a.png");
  EXPECT_EQ(source.files[0].mask, folder / "masks/a.png");
  EXPECT_EQ(source.files[1].path, folder / "odd\\b.png");
  EXPECT_TRUE(std::any_of(source.remarks.begin(), source.remarks.end(),
                          [](const auto& remark) { return contains(remark.text, "backslashes"); }));
}

TEST(Source, BackslashesInAColumnLabelThatHoldsMasks) {
  const TempFolder folder;
  for (const char* name : {"scans/a.png", "scans/b.png", "masks/a.png"}) folder.write(name, "x");
  const Source source = find_source(folder.write("m.csv", "image,label\nscans\\a.png,masks\\a.png\nscans\\b.png,\n"));
  EXPECT_EQ(source.files[0].mask, folder / "masks/a.png");
  EXPECT_TRUE(contains(what_of(folder.write("n.csv", "image,label\nscans\\a.png,masks\\a.png\nscans\\b.png,none\n")),
                       "holds 'none'"));
  EXPECT_EQ(find_source(folder.write("c.csv", "image,label\nscans\\a.png,x\\y\nscans\\b.png,z\n")).label_names,
            (std::vector<std::string>{"x\\y", "z"}));
}

TEST(Source, CasesWithoutAChannelGiveNoClass) {
  const TempFolder folder;
  const Source source =
      find_source(folder.write("m.csv", "image:T1,image:FLAIR,label\na.png,b.png,x\nc.png,NA,y\n,d.png,x\n"));
  EXPECT_EQ(source.label_names, std::vector<std::string>{"x"});
  EXPECT_EQ(source.files.size(), 1U);
  ASSERT_EQ(source.refused.size(), 2U);
  EXPECT_TRUE(contains(source.refused[0].name, "m.csv:3"));
}

TEST(Source, ManifestProblemsNameTheLine) {
  const TempFolder folder;
  const auto manifest = [&](const std::string& text) { return what_of(folder.write("m.csv", text)); };
  EXPECT_TRUE(contains(manifest("picture,label\na,1\n"), "its columns are: picture, label"));
  EXPECT_TRUE(contains(manifest("image\na.png\nb.png\n./a.png\n"),
                       "m.csv:4: names ./a.png a second time; the first is line 2"));
  EXPECT_TRUE(contains(manifest("image,split\na.png,holdout\n"), "m.csv:2: split is 'holdout'"));
  EXPECT_TRUE(contains(manifest("image,split\n,train\n"), "m.csv:2: no image is named"));
  EXPECT_TRUE(contains(manifest("image\n"), "no rows"));
}

TEST(Source, FoldersAreSearchedInAFixedOrder) {
  const TempFolder folder;
  for (const char* name :
       {"z/2.png", "a/x.NII.GZ", "a/10.jpeg", "b.tif", "a/notes.txt", ".hidden/c.png", "a/.d.png", "x.png/inner.bmp"})
    folder.write(name, "x");
  fs::create_directory_symlink(folder.path(), folder / "z/loop");
  fs::create_symlink("nowhere", folder / "z/dangling.png");
  const std::vector<SourceFile> files = list_source(folder.path());
  EXPECT_EQ(names(files), (std::vector<std::string>{"a/10.jpeg", "a/x.NII.GZ", "b.tif", "x.png/inner.bmp", "z/2.png",
                                                    "z/dangling.png"}));
  EXPECT_EQ(files[0].path, folder / "a/10.jpeg");
  EXPECT_EQ(files[0].patient, "a/10.jpeg");
}

TEST(Source, OneFileIsASource) {
  const TempFolder folder;
  EXPECT_EQ(names(list_source(folder.write("v.nrrd", "x"))), std::vector<std::string>{"v.nrrd"});
}

// Of Analyze 7.5 and of NIfTI in two files, however such a file is met.
TEST(Source, PairsOfTwoFilesAreRefusedByName) {
  const TempFolder folder;
  for (const char* name : {"a.hdr", "A.IMG", "b.img.gz", "c.d.hdr.gz"}) {
    const fs::path path = folder.write(name, std::string(400, 'x'));
    const fs::path image = folder.write("in/v.nii", test::nifti<uint8_t>({2, 3, 4}, test::ramp<uint8_t>(24)));
    const SourceFile alone{.path = path, .name = name}, masked{.path = image, .name = "v.nii", .mask = path};
    const std::vector<Error> errors{error_of([&] { list_source(path); }), error_of([&] { read_image(alone); }),
                                    error_of([&] { read_image_header(alone); }),
                                    error_of([&] { read_mask(masked, read_image(masked)); }),
                                    error_of([&] { read_label_map(path); })};
    for (const Error& error : errors) {
      EXPECT_EQ(error.code(), ExitCode::data);
      EXPECT_TRUE(contains(error.what(), name)) << error.what();
      EXPECT_TRUE(contains(error.what(), "is one of a pair of .hdr and .img")) << error.what();
      EXPECT_TRUE(contains(error.hint(), "one .nii")) << error.hint();
    }
    const fs::path pair = folder.write(concat("pair/", name), "x");
    const Error empty = error_of([&] { list_source(pair.parent_path()); });
    EXPECT_TRUE(contains(empty.what(), "holds no images")) << empty.what();
    EXPECT_TRUE(contains(empty.hint(), "convert the pair to one .nii")) << empty.hint();
    folder.write(concat("in/", name), "x");
  }
  const Source source = find_source(folder / "in");
  EXPECT_EQ(names(source.files), std::vector<std::string>{"v.nii"});
  const auto is_said = [](const SourceRemark& remark) {
    return contains(remark.text, "4 files of pairs of .hdr and .img");
  };
  EXPECT_EQ(std::count_if(source.remarks.begin(), source.remarks.end(), is_said), 1);
}

TEST(Source, SaysWhatItFoundInstead) {
  const TempFolder folder;
  EXPECT_TRUE(contains(what_of(folder / "none"), "does not exist"));
  EXPECT_TRUE(contains(what_of(folder.write("x/readme", "x")), "neither a manifest"));
  folder.write("x/1.txt", "x");
  folder.write("x/2.TXT", "x");
  EXPECT_TRUE(contains(what_of(folder / "x"), "found: 1 without extension, 2 .txt"));
  folder.write("x/3.dcm", "x");
  EXPECT_TRUE(contains(what_of(folder / "x"), "1 DICOM files were refused"));
}

}  // namespace
}  // namespace vmae::io
