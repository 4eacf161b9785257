// Trees that nothing describes: generated ones against what they were generated from.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "support/errors.h"
#include "support/images.h"
#include "support/temp_folder.h"
#include "vmae/core/text.h"
#include "vmae/sources/source.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::TempFolder;

using Texts = std::vector<std::string>;

std::string remarks_of(const Source& source) {
  std::string text;
  for (const SourceRemark& remark : source.remarks) text += remark.name + ": " + remark.text + "\n";
  return text;
}

struct Expected {
  std::string mask, patient;  // "": none; not known
};
using Tree = std::map<std::string, Expected>;  // by image

void expect_tree(const fs::path& folder, const Tree& tree, const std::string& what) {
  const Source source = find_source(folder);
  ASSERT_EQ(source.files.size(), tree.size()) << what << remarks_of(source);
  for (const SourceFile& file : source.files) {
    const auto expected = tree.find(file.name);
    ASSERT_NE(expected, tree.end()) << what << file.name;
    EXPECT_EQ(file.mask, expected->second.mask.empty() ? fs::path() : folder / expected->second.mask)
        << what << file.name;
    EXPECT_EQ(file.patient, expected->second.patient.empty() ? file.name : expected->second.patient)
        << what << file.name;
  }
}

// One patient's files: images with their masks, in one of the ways that people lay them out.
using Layout = void (*)(const std::string& p, const Texts& kinds, const std::string& mask, Tree& tree);
const std::vector<std::pair<const char*, Layout>> kLayouts{
    {"p/t1, p/seg",
     [](const std::string& p, const Texts& kinds, const std::string& mask, Tree& tree) {
       for (const std::string& kind : kinds) tree[p + "/" + kind + ".nii.gz"] = {p + "/" + mask + ".nii.gz", p};
     }},
    {"p/p_t1, p/p_seg",
     [](const std::string& p, const Texts& kinds, const std::string& mask, Tree& tree) {
       for (const std::string& kind : kinds)
         tree[p + "/" + p + "_" + kind + ".nii.gz"] = {p + "/" + p + "_" + mask + ".nii.gz", p};
     }},
    {"p/mr/t1, p/mask",
     [](const std::string& p, const Texts& kinds, const std::string& mask, Tree& tree) {
       for (const std::string& kind : kinds) tree[p + "/mr/" + kind + ".nrrd"] = {p + "/" + mask + ".nii.gz", p};
     }},
    {"p/mr/t1, p/masks/seg",
     [](const std::string& p, const Texts& kinds, const std::string& mask, Tree& tree) {
       for (const std::string& kind : kinds) tree[p + "/mr/" + kind + ".nrrd"] = {p + "/masks/" + mask + ".nii.gz", p};
     }},
    {"p/images/t1, p/labels/t1",
     [](const std::string& p, const Texts& kinds, const std::string&, Tree& tree) {
       for (const std::string& kind : kinds)
         tree[p + "/images/" + kind + ".nii.gz"] = {p + "/labels/" + kind + ".nii.gz", p};
     }},
    {"p/images/t1, p/labels/seg",
     [](const std::string& p, const Texts& kinds, const std::string& mask, Tree& tree) {
       for (const std::string& kind : kinds)
         tree[p + "/images/" + kind + ".nii.gz"] = {p + "/labels/" + mask + ".nii.gz", p};
     }},
    {"p/day1/t1, p/day1/seg",
     [](const std::string& p, const Texts& kinds, const std::string& mask, Tree& tree) {
       for (const char* day : {"/day1/", "/day2/"}) {
         for (const std::string& kind : kinds) tree[p + day + kind + ".mha"] = {p + day + mask + ".mha", p};
       }
     }},
    {"p/t1, p/t1_seg",
     [](const std::string& p, const Texts& kinds, const std::string& mask, Tree& tree) {
       for (const std::string& kind : kinds) tree[p + "/" + kind + ".png"] = {p + "/" + kind + "_" + mask + ".png", p};
     }},
    {"p/t1.nrrd, p/t1.seg.nrrd",
     [](const std::string& p, const Texts& kinds, const std::string&, Tree& tree) {
       for (const std::string& kind : kinds) tree[p + "/" + kind + ".nrrd"] = {p + "/" + kind + ".seg.nrrd", p};
     }},
    {"p_t1, p_seg",
     [](const std::string& p, const Texts& kinds, const std::string& mask, Tree& tree) {
       for (const std::string& kind : kinds)
         tree[p + "_" + kind + ".nii.gz"] = {p + "_" + mask + ".nii.gz", to_lower(p)};
     }},
    {"t1/p, labels/p",
     [](const std::string& p, const Texts& kinds, const std::string&, Tree& tree) {
       for (const std::string& kind : kinds)
         tree[kind + "/" + p + ".nii.gz"] = {"labels/" + p + ".nii.gz", to_lower(p)};
     }},
    {"p/t1, p/t2",
     [](const std::string& p, const Texts& kinds, const std::string&, Tree& tree) {  // and no masks
       for (const std::string& kind : kinds) tree[p + "/" + kind + ".nii.gz"] = {"", p};
     }},
};

TEST(SourceTree, PatientsAndTheirMasks) {
  const std::vector<Texts> styles{{"p190", "p191", "p7"},
                                  {"patient_1", "patient_2", "patient_10"},
                                  {"BraTS20_Training_001", "BraTS20_Training_002", "BraTS20_Training_003"},
                                  {"sub-01", "sub-02", "sub-x3"},
                                  {"0042", "0043", "1001"},
                                  {"TCGA-02-0006", "TCGA-02-0009", "TCGA-08-0350"}};
  const Texts modalities{"t1", "t2", "flair", "t1ce", "ct"};
  const Texts masks{"seg", "mask", "label", "segmentation"};
  std::mt19937 random(3);
  for (const auto& [name, lay_out] : kLayouts) {
    for (const Texts& style : styles) {
      for (size_t num_patients = 1; num_patients <= style.size(); ++num_patients) {
        for (const std::string& prefix : {std::string(), std::string("site_a/")}) {
          Texts kinds = modalities;
          std::shuffle(kinds.begin(), kinds.end(), random);
          kinds.resize(2 + random() % 3);
          const std::string mask = masks[random() % masks.size()];
          Tree inner, tree;
          for (size_t i = 0; i < num_patients; ++i) lay_out(style[i], kinds, mask, inner);
          const TempFolder folder;
          for (const auto& [image, expected] : inner) {
            tree[prefix + image] = {expected.mask.empty() ? "" : prefix + expected.mask, prefix + expected.patient};
            folder.write(prefix + image, "x");
            if (!expected.mask.empty()) folder.write(prefix + expected.mask, "x");
          }
          const std::string what =
              concat(name, ", ", num_patients, " like ", prefix, style[0], ", ", join(kinds, " "), ", ", mask, ": ");
          expect_tree(folder.path(), tree, what);
          const std::string remarks = remarks_of(find_source(folder.path()));
          const bool are_channels = num_patients > 1 && !contains(name, "day");  // of two days there are two of each
          for (const std::string& kind : kinds)
            EXPECT_EQ(contains(remarks, "image:" + kind), are_channels) << what << remarks;
        }
      }
    }
  }
}

TEST(SourceTree, FoldersOfNamesThatSayNothing) {
  const TempFolder folder;
  Tree tree;
  for (const char* name : {"anna", "bob", "o'neill"}) {
    for (const char* kind : {"/first.nii", "/second.nii"}) tree[concat(name, kind)] = {concat(name, "/seg.nii"), name};
  }
  for (const auto& [image, expected] : tree) folder.write(image, "x"), folder.write(expected.mask, "x");
  expect_tree(folder.path(), tree, "");
}

TEST(SourceTree, ImagesBesideLabelsOneLevelDown) {
  for (const auto& [images, labels, image_end] : {std::tuple{"images", "labels", ""},
                                                  {"image", "masks", ""},
                                                  {"imagesTr", "labelsTr", "_0000"},
                                                  {"Images", "Segmentation", ""}}) {
    const TempFolder folder;
    Tree tree;
    for (const char* part : {"train", "val", "hospital one", "site2"}) {
      for (int i = 0; i < 4; ++i) {
        const std::string image = concat(part, "/", images, "/x", i, image_end, ".png");
        tree[image] = {i == 3 ? "" : concat(part, "/", labels, "/x", i, ".png"), ""};
        folder.write(image, "x");
        if (i != 3) folder.write(tree[image].mask, "x");
      }
    }
    folder.write(concat("val/", labels, "/alone.png"), "x");
    expect_tree(folder.path(), tree, images);
    const std::string remarks = remarks_of(find_source(folder.path()));
    EXPECT_TRUE(contains(
        remarks,
        concat("val/", labels, "/alone.png: is left out: it is named as a label map, and no image belongs to it")))
        << remarks;
    EXPECT_TRUE(contains(remarks, "is a label map, by its name (and 11 more): the mask of the image"));
  }
}

TEST(SourceTree, WhatIsNoPatient) {
  const std::vector<Texts> trees{{"T1/a.nii", "T1/b.nii", "T2/c.nii"},             // modalities of nobody in common
                                 {"train1/a.png", "train1/b.png", "test1/a.png"},  // parts of a dataset
                                 {"fold0/a.png", "fold1/b.png", "fold2/a.png"},
                                 {"0/a.png", "1/a.png", "2/b.png"},  // classes by number
                                 {"covid19/a.png", "covid19/b.png", "normal/a.png"},
                                 {"BIRADS2/a.png", "BIRADS3/a.png"},
                                 {"a1.png", "a2.png", "a3.png"},
                                 {"a_1.png", "a_2.png"},
                                 {"x/y/a.png", "x/y/b.png"}};
  for (const Texts& names : trees) {
    const TempFolder folder;
    Tree tree;
    for (const std::string& name : names) folder.write(name, "x"), tree[name] = {};
    expect_tree(folder.path(), tree, names[0]);
  }
}

TEST(SourceTree, LabelMapsAloneStay) {
  for (const Texts& names :
       {Texts{"a_seg.nii", "b_seg.nii"}, Texts{"p1/seg.nii", "p2/seg.nii"}, Texts{"labels/a.nii", "labels/b.nii"}}) {
    const TempFolder folder;
    for (const std::string& name : names) folder.write(name, "x");
    EXPECT_EQ(find_source(folder.path()).files.size(), 2U) << names[0];
  }
}

TEST(SourceTree, WhatCantBeToldIsLeftOut) {
  struct Case {
    Texts images, masks;
    std::string says;
  };
  const std::vector<Case> cases{
      {{"p1/t1.nii", "p1/t2.nii"}, {"p1/a_seg.nii", "p1/b_seg.nii"}, "is one of 2 of its patient"},
      {{"p1/t1.nii"}, {"p1/seg.nii", "p1/mask.nii"}, "is one of 2 of its patient"},
      {{"a.png"}, {"a_seg.png", "a_mask.png"}, "is one of 2 of one image"},
      {{"a.png", "a.nii"}, {"a_mask.png"}, "2 images have its name"},
      {{"a.png", "b.png"}, {"c_mask.png"}, "no image belongs to it"},
      {{"a.png", "b.png"}, {"mask.png"}, "no image belongs to it"}};
  for (const Case& one : cases) {
    const TempFolder folder;
    for (const Texts* names : {&one.images, &one.masks}) {
      for (const std::string& name : *names) folder.write(name, "x");
    }
    const Source source = find_source(folder.path());
    ASSERT_EQ(source.files.size(), one.images.size()) << one.masks[0];
    for (const SourceFile& file : source.files) EXPECT_TRUE(file.mask.empty()) << file.name;
    for (const std::string& mask : one.masks)
      EXPECT_TRUE(contains(remarks_of(source), mask + ": is left out: it is named as a label map, and " + one.says))
          << remarks_of(source);
  }
}

// Several images of a patient, drawn on one of them.
TEST(SourceTree, OnlyImagesOfTheMasksSize) {
  const TempFolder folder;
  const auto volume = [](int16_t depth) {
    return test::nifti<uint8_t>({4, 3, depth}, test::ramp<uint8_t>(static_cast<size_t>(12 * depth)));
  };
  for (const char* p : {"p1/", "p2/"}) {
    folder.write(concat(p, "t1.nii"), volume(5));
    folder.write(concat(p, "t2.nii"), volume(7));
    folder.write(concat(p, "seg.nii"), volume(5));
  }
  expect_tree(folder.path(),
              {{"p1/t1.nii", {"p1/seg.nii", "p1"}},
               {"p1/t2.nii", {"", "p1"}},
               {"p2/t1.nii", {"p2/seg.nii", "p2"}},
               {"p2/t2.nii", {"", "p2"}}},
              "");
  EXPECT_TRUE(contains(remarks_of(find_source(folder.path())),
                       "p1/t2.nii: has another size than the label map of its patient"));
}

TEST(SourceTree, AnImageBesideItsMask) {
  const TempFolder folder;
  for (const char* name : {"t1.nii", "seg.nii"}) folder.write(name, "x");
  expect_tree(folder.path(), {{"t1.nii", {"seg.nii", ""}}}, "");
  const TempFolder many;
  for (const char* name : {"a.png", "b.png", "a_mask.png", "b-seg.png"}) many.write(name, "x");
  expect_tree(many.path(), {{"a.png", {"a_mask.png", ""}}, {"b.png", {"b-seg.png", ""}}}, "");
}

TEST(SourceTree, FilesByOrderAreImages) {
  const TempFolder folder;
  for (const char* name : {"p1/t1.nii", "p1/seg.nii"}) folder.write(name, "x");
  const Source source = find_source(folder.path(), "files");
  EXPECT_EQ(source.files.size(), 2U);
}

TEST(SourceTree, PatientsAmongImagesBesideLabels) {
  const TempFolder folder;
  Tree tree;
  for (const char* name : {"p1/t1.nii", "p1/t2.nii", "p2/t1.nii", "p2/t2.nii"}) {
    tree[concat("images/", name)] = {concat("labels/", name), std::string(name, 2)};
    folder.write(concat("images/", name), "x"), folder.write(concat("labels/", name), "x");
  }
  expect_tree(folder.path(), tree, "");
}

}  // namespace
}  // namespace vmae::io
