#include "vmae/io/source.h"

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/temp_folder.h"

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
  const fs::path csv = folder.write("lists/train.csv", "patient,image,mask,split\np1,../images/a.png,m.png,Train\n,b.nii.gz,,\n");
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

TEST(Source, ManifestProblemsNameTheLine) {
  const TempFolder folder;
  const auto manifest = [&](const std::string& text) { return what_of(folder.write("m.csv", text)); };
  EXPECT_TRUE(contains(manifest("picture,label\na,1\n"), "its columns are: picture, label"));
  EXPECT_TRUE(contains(manifest("image\na.png\nb.png\n./a.png\n"), "m.csv:4: names ./a.png a second time; the first is line 2"));
  EXPECT_TRUE(contains(manifest("image,split\na.png,holdout\n"), "m.csv:2: split is 'holdout'"));
  EXPECT_TRUE(contains(manifest("image,split\n,train\n"), "m.csv:2: no image is named"));
  EXPECT_TRUE(contains(manifest("image\n"), "no rows"));
}

TEST(Source, FoldersAreSearchedInAFixedOrder) {
  const TempFolder folder;
  for (const char* name : {"z/2.png", "a/x.NII.GZ", "a/10.jpeg", "b.tif", "a/notes.txt", ".hidden/c.png", "a/.d.png", "x.png/inner.bmp"})
    folder.write(name, "x");
  fs::create_directory_symlink(folder.path(), folder / "z/loop");
  fs::create_symlink("nowhere", folder / "z/dangling.png");
  const std::vector<SourceFile> files = list_source(folder.path());
  EXPECT_EQ(names(files), (std::vector<std::string>{"a/10.jpeg", "a/x.NII.GZ", "b.tif", "x.png/inner.bmp", "z/2.png", "z/dangling.png"}));
  EXPECT_EQ(files[0].path, folder / "a/10.jpeg");
  EXPECT_EQ(files[0].patient, "a/10.jpeg");
}

TEST(Source, OneFileIsASource) {
  const TempFolder folder;
  EXPECT_EQ(names(list_source(folder.write("v.nrrd", "x"))), std::vector<std::string>{"v.nrrd"});
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
