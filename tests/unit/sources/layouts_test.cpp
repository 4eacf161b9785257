// The layouts of folders that are found out, on folders made for the purpose.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "support/errors.h"
#include "support/images.h"
#include "support/temp_folder.h"
#include "vmae/cases/channels.h"
#include "vmae/cases/read_image.h"
#include "vmae/image/image.h"
#include "vmae/image/picture.h"
#include "vmae/sources/source.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::nifti;
using test::ramp;
using test::TempFolder;

std::vector<std::string> names(const Source& source) {
  std::vector<std::string> result;
  for (const SourceFile& file : source.files) result.push_back(file.name);
  return result;
}

std::vector<std::string> remarks(const Source& source) {
  std::vector<std::string> result;
  for (const SourceRemark& remark : source.remarks) result.push_back(remark.name + ": " + remark.text);
  return result;
}

std::string png(int64_t height, int64_t width, float value) {
  return encode_png({height, width, 1, std::vector<float>(static_cast<size_t>(height * width), value), 255});
}

TEST(Layout, NnUnetChannelsAndTestImages) {
  const TempFolder folder;
  folder.write(
      "dataset.json",
      R"({"channel_names": {"0": "CT", "1": "T2"}, "labels": {"background": 0, "liver": 1, "tumour": 2}, "numTraining": 3, "file_ending": ".nii.gz"})");
  for (const char* name : {"imagesTr/liver_1_0000.nii.gz", "imagesTr/liver_1_0001.nii.gz",
                           "imagesTr/liver_2_0000.nii.gz", "imagesTr/liver_3_0000.nii.gz",
                           "imagesTr/liver_3_0001.nii.gz", "imagesTr/odd.nii.gz", "imagesTs/liver_8_0000.nii.gz",
                           "imagesTs/liver_8_0001.nii.gz", "imagesTs/liver_9_0001.nii.gz", "labelsTr/liver_1.nii.gz"})
    folder.write(name, "x");
  const Source source = find_source(folder.path());
  EXPECT_EQ(source.layout, "nnunet");
  EXPECT_EQ(source.mask_names, (std::vector<std::string>{"liver", "tumour"}));
  EXPECT_EQ(source.channel_names, (std::vector<std::string>{"CT", "T2"}));
  EXPECT_EQ(names(source), (std::vector<std::string>{"imagesTr/liver_1_0000.nii.gz", "imagesTr/liver_3_0000.nii.gz",
                                                     "imagesTs/liver_8_0000.nii.gz"}));
  const SourceFile& file = source.files[0];
  EXPECT_EQ(file.patient, "liver_1");
  EXPECT_EQ(file.modality, "CT");
  EXPECT_EQ(file.mask, folder / "labelsTr/liver_1.nii.gz");
  ASSERT_EQ(num_channels(file), 2);
  EXPECT_EQ(file.channels[0].path, folder / "imagesTr/liver_1_0001.nii.gz");
  const SourceFile single = channel_of(file, 1);
  EXPECT_EQ(single.name, "imagesTr/liver_1_0001.nii.gz");
  EXPECT_EQ(single.modality, "MR");
  EXPECT_EQ(single.mask, file.mask);
  EXPECT_EQ(single.patient, file.patient);
  EXPECT_EQ(num_channels(single), 1);
  EXPECT_TRUE(source.files[1].mask.empty());
  EXPECT_EQ(source.files[2].split, "test");
  EXPECT_EQ(remarks(source),
            (std::vector<std::string>{"imagesTr/odd.nii.gz: does not end in a channel number such as _0000; left out",
                                      "imagesTr/liver_3_0000.nii.gz: has no mask in labelsTr",
                                      ": patients are not known: each case counts as its own patient"}));
  ASSERT_EQ(source.refused.size(), 2U);
  EXPECT_EQ(source.refused[0].name + ": " + source.refused[0].text,
            "imagesTr/liver_2_0000.nii.gz: is of a case without channel 1");
  EXPECT_EQ(source.refused[1].name + ": " + source.refused[1].text,
            "imagesTs/liver_9_0001.nii.gz: is of a case without channel 0");
}

TEST(Layout, Decathlon) {
  const TempFolder folder;
  folder.write("dataset.json",
               R"({"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "Anterior", "2": "Posterior"},
    "training": [{"image": "./imagesTr/b.nii.gz", "label": "./labelsTr/b.nii.gz"}, {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}], "test": ["./imagesTs/c.nii.gz", "./imagesTs/gone.nii.gz"]})");
  for (const char* name :
       {"imagesTr/a.nii.gz", "imagesTr/b.nii.gz", "labelsTr/a.nii.gz", "labelsTr/b.nii.gz", "imagesTs/c.nii.gz"})
    folder.write(name, "x");
  const Source source = find_source(folder.path());
  EXPECT_EQ(source.layout, "decathlon");
  EXPECT_EQ(source.mask_names, (std::vector<std::string>{"Anterior", "Posterior"}));
  EXPECT_EQ(names(source), (std::vector<std::string>{"imagesTr/a.nii.gz", "imagesTr/b.nii.gz", "imagesTs/c.nii.gz"}));
  EXPECT_EQ(source.files[0].mask, folder / "labelsTr/a.nii.gz");
  EXPECT_EQ(source.files[0].modality, "MR");
  EXPECT_EQ(source.files[2].split, "test");
  EXPECT_EQ(remarks(source)[0], "dataset.json: 1 file (gone.nii.gz) of \"test\" are not there");
}

TEST(Layout, DamagedDescriptionsAreErrors) {
  const TempFolder folder;
  folder.write("imagesTr/a_0000.png", "x");
  for (const char* text : {"{", "[]", R"({"training": [{"image": 3}]})", R"({"file_ending": 7})"}) {
    folder.write("dataset.json", text);
    EXPECT_EQ(error_of([&] { find_source(folder.path()); }).code(), ExitCode::data) << text;
  }
}

TEST(Layout, ImagesBesideMasks) {
  const TempFolder folder;
  for (const char* name : {"images/a.jpg", "images/sub/b.png", "images/c.nii.gz", "masks/a.png", "masks/sub/b.png"})
    folder.write(name, "x");
  const Source source = find_source(folder.path());
  EXPECT_EQ(source.layout, "image_mask_folders");
  EXPECT_EQ(names(source), (std::vector<std::string>{"images/a.jpg", "images/c.nii.gz", "images/sub/b.png"}));
  EXPECT_EQ(source.files[0].mask, folder / "masks/a.png");
  EXPECT_EQ(source.files[2].mask, folder / "masks/sub/b.png");
  EXPECT_EQ(remarks(source),
            (std::vector<std::string>{"images/c.nii.gz: has no mask of the same name",
                                      ": patients are not known: each file counts as its own patient"}));
}

TEST(Layout, ClassFoldersButNotPatients) {
  const TempFolder folder;
  for (int i = 0; i < 12; ++i) {
    folder.write("glioma/" + std::to_string(i) + ".png", "x");
    folder.write("none/" + std::to_string(i) + ".png", "x");
  }
  const Source source = find_source(folder.path());
  EXPECT_EQ(source.layout, "class_folders");
  EXPECT_EQ(source.label_names, (std::vector<std::string>{"glioma", "none"}));
  EXPECT_FALSE(source.is_multi_label);
  EXPECT_EQ(source.files[0].labels, (std::vector<float>{1, 0}));
  EXPECT_EQ(source.files[23].labels, (std::vector<float>{0, 1}));
  EXPECT_TRUE(find_source(folder.path(), "files").label_names.empty());
  fs::rename(folder / "glioma", folder / "P00123");
  EXPECT_EQ(find_source(folder.path()).layout, "files");
  EXPECT_EQ(find_source(folder.path(), "class_folders").label_names[0], "P00123");
}

TEST(Layout, AManifestInTheFolderDescribesIt) {
  const TempFolder folder;
  folder.write("labels.csv", "image,label\na.png,x\nb.png,\n");
  folder.write("notes.csv", "who,when\na,b\n");
  folder.write("c.png", "x");
  const Source source = find_source(folder.path());
  EXPECT_EQ(source.layout, "manifest");
  EXPECT_EQ(names(source), (std::vector<std::string>{"a.png", "b.png"}));
  folder.write("more.csv", "image\nc.png\n");
  EXPECT_TRUE(contains(error_of([&] { find_source(folder.path()); }).what(), "2 manifests"));
}

TEST(Layout, ATableThatNamesImagesOtherwiseIsToldOf) {
  const TempFolder folder;
  folder.write("images/a.png", png(4, 4, 9)), folder.write("masks/a.png", png(4, 4, 1));
  folder.write("labels.csv", "img,mask,melanoma\nimages/a.png,masks/a.png,1\n");
  folder.write("patients.csv", "case,age\na,50\n");
  folder.write("empty.csv", "img,melanoma\n");
  folder.write("broken.csv", "img,\"melanoma\nimages/a.png,1\n");
  const Source source = find_source(folder.path());
  EXPECT_EQ(source.layout, "image_mask_folders");
  const std::string expected =
      "labels.csv: is not used: its column 'img' names images; call it `image` if this is the list of them";
  EXPECT_EQ(remarks(source), std::vector<std::string>{expected});
}

TEST(Layout, ABrokenManifestIsNotPassedOver) {
  std::string utf16 = "\xFF\xFE";
  for (const char c : std::string("image,label\na.png,1\n")) {
    utf16 += c;
    utf16 += '\0';
  }
  for (const std::string& text :
       {std::string("image,label\na.png,1,2\n"), std::string("\r\n\"Path\";label\r\na.png\r\n"),
        std::string("Image\tImage\na.png\tb\n"), std::string("image,label\n\"a.png,1\n"), utf16}) {
    const TempFolder folder;
    folder.write("a.png", "x");
    folder.write("list.csv", text);
    const Error error = error_of([&] { find_source(folder.path()); });
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_TRUE(contains(error.what(), "list.csv")) << error.what();
    EXPECT_TRUE(contains(error.hint(), "move it elsewhere"));
    folder.write("good.csv", "image\na.png\n");  // the one that is meant
    EXPECT_EQ(find_source(folder.path()).layout, "manifest");
  }
  const TempFolder folder;  // some other table is none of ours
  folder.write("a.png", "x");
  folder.write("notes.csv", "date,remark\n1,2,3\n");
  EXPECT_EQ(find_source(folder.path()).layout, "files");
}

TEST(Source, WhatCannotBeLookedAtIsNotAbsent) {
  const TempFolder folder;
  std::filesystem::create_symlink("loop.csv", folder / "loop.csv");
  EXPECT_TRUE(contains(error_of([&] { find_source(folder / "loop.csv"); }).what(),
                       "can't be looked at: Too many levels of symbolic links"));
  EXPECT_TRUE(contains(error_of([&] { find_source(folder / "none.csv"); }).what(), "does not exist"));
}

TEST(Manifest, OneNamedColumnOfWordsHoldsTheClasses) {
  const TempFolder folder;
  const auto file = folder.write("m.csv",
                                 "image,label,dx,grade,Edema,mixed,file,note\na.png,1,nv,2,0,x,m.png,p\nb.png,0,mel,3,"
                                 "1,1,m.png,q\nc.png,0,,0,-1,,,\n"
                                 "d.png,1,nv,2,0,x,n.png,r\ne.png,0,mel,1,0,1,n.png,s\n");
  const Source classes = find_source(file, "auto", {"DX"});
  EXPECT_EQ(classes.label_names, (std::vector<std::string>{"mel", "nv"}));
  EXPECT_FALSE(classes.is_multi_label);
  EXPECT_EQ(classes.files[0].labels, (std::vector<float>{0, 1}));
  EXPECT_TRUE(std::isnan(classes.files[2].labels[0]));
  EXPECT_TRUE(std::any_of(classes.remarks.begin(), classes.remarks.end(),
                          [](const auto& one) { return one.text == "the classes are those of the column dx"; }));
  EXPECT_TRUE(find_source(file, "auto", {"Edema"}).is_multi_label);
  const auto refused = [&](const std::vector<std::string>& names) {
    return std::string(error_of([&] { find_source(file, "auto", names); }).what());
  };
  EXPECT_TRUE(contains(refused({"grade"}), "m.csv:2: the finding grade is '2'"));
  // a slip among findings makes no classes
  EXPECT_TRUE(contains(refused({"mixed"}), "m.csv:2: the finding mixed is 'x'"));
  EXPECT_TRUE(contains(refused({"file"}), "the finding file is 'm.png'"));
  EXPECT_TRUE(contains(refused({"Edema", "Edema"}), "names the column Edema twice"));
  // a finding that is written in words, and no second task
  for (const std::string no : {"False", "no", "Negative", "n"}) {
    const auto words = folder.write("w.csv", "image,Edema\na.png,1\nb.png," + no + "\nc.png," + no + "\n");
    EXPECT_TRUE(contains(error_of([&] { find_source(words, "auto", {"Edema"}); }).what(),
                         "w.csv:3: the finding Edema is '" + no + "'"))
        << no;
  }
  EXPECT_TRUE(contains(refused({"dx", "Edema"}), "the finding dx is 'nv'"));
  const auto sorts = folder.write("s.csv",
                                  "image,a,b\na.png,positive,N\nb.png,negative,S\nc.png,equivocal,F\nd.png,negative,"
                                  "N\ne.png,positive,S\nf.png,equivocal,F\n");
  EXPECT_EQ(find_source(sorts, "auto", {"a"}).label_names,
            (std::vector<std::string>{"equivocal", "negative", "positive"}));
  // not all are yes or no
  EXPECT_EQ(find_source(sorts, "auto", {"b"}).label_names, (std::vector<std::string>{"F", "N", "S"}));
}

TEST(Manifest, FindingsClassesAndMasks) {
  const TempFolder folder;
  const Source findings = find_source(folder.write(
      "m.csv", "image,mask,Effusion,age,Nodule,sex,fold,modality\na.png,m/a.png,1,60,,f,2,X-ray\nb.png,,0,1,-1,m,,\n"));
  // of Nodule nothing is known; age and sex are no findings
  EXPECT_EQ(findings.label_names, (std::vector<std::string>{"Effusion"}));
  EXPECT_TRUE(findings.is_multi_label);
  EXPECT_EQ(findings.files[0].mask, folder / "m/a.png");
  EXPECT_EQ(findings.files[0].fold, 2);
  EXPECT_EQ(findings.files[1].fold, -1);
  EXPECT_EQ(findings.files[0].modality, "DX");
  const Source classes = find_source(folder.write("c.csv", "image,label\na.png,10\nb.png,9\nc.png,\n"));
  EXPECT_EQ(classes.label_names, (std::vector<std::string>{"9", "10"}));
  EXPECT_FALSE(classes.is_multi_label);
  EXPECT_EQ(classes.files[0].labels, (std::vector<float>{0, 1}));
  EXPECT_TRUE(std::isnan(classes.files[2].labels[0]));
  const Source masks = find_source(folder.write("s.csv", "image,label\na.png,la.png\nb.png,lb.nii.gz\n"));
  EXPECT_TRUE(masks.label_names.empty());
  EXPECT_EQ(masks.files[1].mask, folder / "lb.nii.gz");
  EXPECT_TRUE(contains(error_of([&] { find_source(folder.write("f.csv", "image,fold\na.png,-1\n")); }).what(),
                       "f.csv:2: fold is '-1'"));
}

TEST(ReadImage, PicturesAreVolumesOfOneSlice) {
  const TempFolder folder;
  const Volume volume = read_image({folder.write("a.png", png(2, 3, 77)), "a.png"});
  EXPECT_EQ(volume.size, (std::array<int64_t, 3>{3, 2, 1}));
  EXPECT_EQ(volume.type, StoredType::u8);
  EXPECT_EQ(volume.stored_max, 255);
  EXPECT_EQ(values(volume), std::vector<float>(6, 77));
}

TEST(ReadImage, ModalityComesFromTheSource) {
  const TempFolder folder;
  SourceFile file{folder.write("v.nii", nifti<int16_t>({2, 2, 2}, ramp<int16_t>(8))), "v.nii"};
  EXPECT_EQ(read_image(file).units, Units::raw);
  file.modality = "CT";
  EXPECT_EQ(read_image(file).units, Units::hu);
}

TEST(ReadMask, GridsMustAgree) {
  const TempFolder folder;
  const auto volume_file = [&](const char* name, const test::NiftiOptions& options,
                               std::vector<int16_t> size = {2, 2, 3}) {
    size_t n = 1;
    for (const int16_t side : size) n *= static_cast<size_t>(side);
    return folder.write(name, nifti<uint8_t>(size, ramp<uint8_t>(n), options));
  };
  SourceFile file{volume_file("image.nii", {.spacing_mm = {1, 1, 3}}), "image.nii"};
  const Volume image = read_image(file);
  EXPECT_TRUE(read_mask(file, image).empty());
  file.mask = volume_file("good.nii", {.spacing_mm = {1, 1, 3}});
  EXPECT_EQ(read_mask(file, image), ramp<uint8_t>(12));
  file.mask = volume_file("spacing.nii", {.spacing_mm = {1, 1, 2}});
  EXPECT_TRUE(contains(error_of([&] { read_mask(file, image); }).what(), "lies elsewhere along axis 2"));
  file.mask = volume_file("size.nii", {}, {2, 3, 2});
  EXPECT_TRUE(contains(error_of([&] { read_mask(file, image); }).what(), "has 2 x 3 x 2 voxels, the image 2 x 2 x 3"));
  file.mask =
      folder.write("half.nii", nifti<float>({2, 2, 3}, std::vector<float>(12, 0.5F), {.spacing_mm = {1, 1, 3}}));
  EXPECT_TRUE(contains(error_of([&] { read_mask(file, image); }).what(), "holds the value 0.5"));
  file.mask = folder / "gone.nii";
  EXPECT_TRUE(contains(error_of([&] { read_mask(file, image); }).what(), "does not exist"));
}

TEST(ReadMask, KeepsTheNumbersOfPictures) {
  const TempFolder folder;
  SourceFile file{folder.write("a.png", png(4, 4, 9)), "a.png"};
  file.mask = folder.write("m.png", png(4, 4, 255));
  EXPECT_EQ(read_mask(file, read_image(file)), std::vector<uint8_t>(16, 255));
  file.mask = folder.write("n.png", png(4, 4, 7));
  EXPECT_EQ(read_mask(file, read_image(file)), std::vector<uint8_t>(16, 7));
}

}  // namespace
}  // namespace vmae::io
