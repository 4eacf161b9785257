// Which mask an image gets, in every layout: generated names against what they were generated from.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/core/text.h"
#include "vmae/sources/case_names.h"
#include "vmae/sources/source.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::TempFolder;

class Names {
 public:
  explicit Names(unsigned seed) : random_(seed) {}
  size_t below(size_t n) { return random_() % n; }
  template <class List>
  auto draw(const List& list) {
    return list[below(list.size())];
  }
  // Few parts, so that one stem is often the beginning of another.
  std::string stem() {
    const std::vector<std::string> parts{"1", "p"}, joints{".", ".", "_"};
    std::string text = draw(parts);
    for (size_t n = below(3); n > 0; --n) text += draw(joints) + draw(parts);
    return text;
  }
  std::string ending() {
    const std::vector<std::string> endings{".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".NII.GZ", ".tif"};
    return draw(endings);
  }

 private:
  std::mt19937 random_;
};

const SourceFile& file_named(const Source& source, const std::string& name) {
  return *std::find_if(source.files.begin(), source.files.end(),
                       [&](const SourceFile& file) { return file.name == name; });
}

std::string all_remarks(const Source& source) {
  std::string text;
  for (const SourceRemark& remark : source.remarks) text += remark.name + ": " + remark.text + "\n";
  return text;
}

// images/ and labels/: images and masks are drawn as (stem, ending). The oracle compares every image with every mask.
TEST(Pairing, FoldersOfRandomNames) {
  int64_t num_refused = 0, num_pairs = 0;
  for (unsigned seed = 0; seed < 400; ++seed) {
    Names names(seed);
    const TempFolder folder;
    using File = std::pair<std::string, std::string>;
    const auto draw = [&](const char* where) {
      std::set<File> files;
      for (size_t n = 1 + names.below(6); n > 0; --n) files.emplace(names.stem(), names.ending());
      for (const auto& [stem, ending] : files) folder.write(fs::path(where) / (stem + ending), "x");
      return files;
    };
    const std::set<File> images = draw("images"), masks = draw("labels");
    std::map<std::string, std::string> expected;
    bool is_ambiguous = false;
    for (const auto& [stem, ending] : images) {
      const auto same_stem = [&stem = stem](const std::set<File>& files) {
        return std::count_if(files.begin(), files.end(), [&](const File& file) { return file.first == stem; });
      };
      const auto num_images = same_stem(images), num_masks = same_stem(masks);
      std::string mask = "labels/" + stem + ending;  // of exactly this name
      if (num_masks == 0) mask = "";
      if (num_images > 1 && num_masks > 0) is_ambiguous |= num_images != num_masks || !masks.contains({stem, ending});
      if (num_images == 1 && num_masks > 1) is_ambiguous = true;
      if (num_images == 1 && num_masks == 1) {
        for (const auto& [mask_stem, mask_ending] : masks)
          mask = mask_stem == stem ? "labels/" + mask_stem + mask_ending : mask;
      }
      expected["images/" + stem + ending] = mask;
    }
    if (is_ambiguous) {
      ++num_refused;
      const Error error = error_of([&] { find_source(folder.path()); });
      EXPECT_EQ(error.code(), ExitCode::data);
      EXPECT_TRUE(contains(error.what(), "two have the name"));
      continue;
    }
    const Source source = find_source(folder.path());
    ASSERT_EQ(source.files.size(), expected.size());
    for (const auto& [name, mask] : expected) {
      EXPECT_EQ(file_named(source, name).mask, mask.empty() ? fs::path() : folder / mask) << name;
      num_pairs += mask.empty() ? 0 : 1;
    }
    for (const auto& [stem, ending] : masks) {
      const bool is_used =
          std::any_of(images.begin(), images.end(), [&stem = stem](const File& image) { return image.first == stem; });
      EXPECT_EQ(
          all_remarks(source).find("labels/" + stem + ending + ": is a mask without an image") == std::string::npos,
          is_used)
          << stem << ending;
    }
  }
  EXPECT_GT(num_refused, 20);
  EXPECT_GT(num_pairs, 100);
}

TEST(Pairing, NamesThatWereCutTooShort) {
  const TempFolder folder;
  for (const char* name : {"1.2.826.101", "1.2.826.102", "p.T1", "p.T2", "a.b"}) {
    folder.write(std::string("images/") + name + ".nii.gz", "x");
    folder.write(std::string("labels/") + name + ".nii.gz", "x");
  }
  folder.write("images/s.nrrd", "x");
  folder.write("labels/s.seg.nrrd", "x");  // 3D Slicer's
  const Source source = find_source(folder.path());
  ASSERT_EQ(source.files.size(), 6U);
  for (const SourceFile& file : source.files)
    EXPECT_EQ(file.mask.filename(), file.name == "images/s.nrrd" ? fs::path("s.seg.nrrd") : file.path.filename());
}

TEST(Pairing, BothFilesAreNamed) {
  const TempFolder folder;
  for (const char* name : {"images/a.nii", "labels/a.nii.gz", "labels/a.nrrd"}) folder.write(name, "x");
  const std::string what = error_of([&] { find_source(folder.path()); }).what();
  for (const char* name : {"images/a.nii", "labels/a.nii.gz", "labels/a.nrrd"})
    EXPECT_TRUE(contains(what, (folder / name).string()));
}

TEST(Pairing, NnUnet) {
  for (unsigned seed = 0; seed < 100; ++seed) {
    Names names(seed);
    const TempFolder folder;
    folder.write(
        "dataset.json",
        R"({"channel_names": {"0": "CT", "1": "T2"}, "labels": {"background": 0, "a": 1}, "file_ending": ".nii.gz"})");
    std::map<std::string, std::set<int>> cases{{names.stem(), {0, 1}}};
    std::set<std::string> masks;
    for (size_t n = 1 + names.below(8); n > 0; --n) {
      const std::string name = names.below(2) ? cases.begin()->first : names.stem();
      cases[name].insert(static_cast<int>(names.below(2)));
      if (names.below(2)) cases[name] = {0, 1};
      if (names.below(4)) masks.insert(name);
      if (names.below(4) == 0) masks.insert(names.stem());
    }
    for (const auto& [name, channels] : cases) {
      for (const int channel : channels)
        folder.write("imagesTr/" + name + (channel ? "_0001" : "_0000") + ".nii.gz", "x");
    }
    for (const std::string& name : masks) folder.write("labelsTr/" + name + ".nii.gz", "x");
    folder.write("labelsTr/keep", "x");
    const Source source = find_source(folder.path());
    std::set<std::string> refused;
    for (const SourceRemark& remark : source.refused) refused.insert(remark.name + ": " + remark.text);
    size_t count = 0;
    for (const auto& [name, channels] : cases) {
      const std::string first = "imagesTr/" + name + (channels.contains(0) ? "_0000" : "_0001") + ".nii.gz";
      EXPECT_EQ(refused.contains(concat(first, ": is of a case without channel ", channels.contains(0) ? 1 : 0)),
                channels.size() == 1);
      if (channels.size() == 1) continue;
      ++count;
      const SourceFile& found = file_named(source, first);
      EXPECT_EQ(found.mask, masks.contains(name) ? folder / ("labelsTr/" + name + ".nii.gz") : fs::path());
      EXPECT_EQ(found.patient, name);
      ASSERT_EQ(found.channels.size(), 1U);
      EXPECT_EQ(found.channels[0].path, folder / ("imagesTr/" + name + "_0001.nii.gz"));
      EXPECT_EQ(all_remarks(source).find(first + ": has no mask in labelsTr") != std::string::npos,
                !masks.contains(name));
    }
    EXPECT_EQ(source.files.size(), count);
    EXPECT_EQ(refused.size(), cases.size() - count);
    for (const std::string& name : masks)
      EXPECT_EQ(
          all_remarks(source).find("labelsTr/" + name + ".nii.gz: is a mask without an image") != std::string::npos,
          !cases.contains(name));
  }
}

TEST(Pairing, NnUnetEndings) {
  const TempFolder folder;
  folder.write("dataset.json", R"({"labels": {"background": 0, "a": 1}, "file_ending": "nii.gz"})");
  for (const char* name : {"imagesTr/x_0000.NII.GZ", "imagesTr/y_0000.nii.gz", "imagesTr/z_0000.nrrd",
                           "labelsTr/x.nii.gz", "labelsTr/y.nrrd"})
    folder.write(name, "x");
  const Source source = find_source(folder.path());
  ASSERT_EQ(source.files.size(), 2U);
  EXPECT_EQ(source.files[0].mask, folder / "labelsTr/x.nii.gz");
  EXPECT_TRUE(contains(all_remarks(source), "imagesTr: holds 1 file (z_0000.nrrd) that do not end in .nii.gz"));
  EXPECT_TRUE(contains(all_remarks(source), "labelsTr: holds 1 file (y.nrrd) that do not end in .nii.gz"));
  folder.write("labelsTr/x.NII.gz", "x");
  const std::string what = error_of([&] { find_source(folder.path()); }).what();
  EXPECT_TRUE(contains(what, "the mask of case x is there twice"));
  EXPECT_TRUE(contains(what, "x.NII.gz"));
}

TEST(Pairing, NnUnetListsOfFiles) {
  const TempFolder folder;
  folder.write("dataset.json",
               R"({"labels": {"background": 0, "a": 1}, "channel_names": {"0": "CT", "1": "PET"}, "numTraining": 3,
    "dataset": {"p1": {"images": ["raw/1.ct.nii.gz", "raw/1.pt.nii.gz"], "label": "seg/1.nii.gz"}, "p2": {"images": ["raw/2.ct.nii.gz", "raw/2.pt.nii.gz"], "label": "seg/2.nii.gz"}}})");
  const Source source = find_source(folder.path());
  EXPECT_EQ(source.layout, "nnunet");
  ASSERT_EQ(source.files.size(), 2U);
  EXPECT_EQ(source.files[0].name, "raw/1.ct.nii.gz");
  EXPECT_EQ(source.files[0].mask, folder / "seg/1.nii.gz");
  EXPECT_EQ(source.files[0].patient, "p1");
  ASSERT_EQ(source.files[0].channels.size(), 1U);
  EXPECT_EQ(source.files[0].channels[0].name, "raw/1.pt.nii.gz");
  EXPECT_EQ(source.files[0].channels[0].modality, "PT");
  EXPECT_TRUE(contains(all_remarks(source), "numTraining is 3, but there are 2 training cases"));
}

TEST(Pairing, DecathlonAndManifestAreOneToOne) {
  const TempFolder folder;
  for (const char* name : {"imagesTr/a.nii.gz", "imagesTr/b.nii.gz"}) folder.write(name, "x");
  const auto decathlon = [&](const char* first_mask, const char* second, const char* second_mask) {
    folder.write("dataset.json", concat(R"({"training": [{"image": "imagesTr/a.nii.gz", "label": ")", first_mask,
                                        R"("}, {"image": ")", second, R"(", "label": ")", second_mask, R"("}]})"));
    return std::string(error_of([&] { find_source(folder.path()); }).what());
  };
  std::string what = decathlon("labelsTr/m.nii.gz", "imagesTr/b.nii.gz", "./labelsTr/m.nii.gz");
  EXPECT_TRUE(contains(what, "two images have the same mask"));
  EXPECT_TRUE(contains(what, "imagesTr/a.nii.gz and imagesTr/b.nii.gz"));
  EXPECT_TRUE(contains(decathlon("imagesTr/b.nii.gz", "imagesTr/b.nii.gz", "l.nii.gz"),
                       "is the mask of imagesTr/a.nii.gz and an image too"));
  EXPECT_TRUE(contains(decathlon("l.nii.gz", "./imagesTr/a.nii.gz", "l2.nii.gz"),
                       "two images have the name imagesTr/a.nii.gz"));

  const auto manifest = [&](const std::string& text) { return folder.write("m.csv", text); };
  what = error_of([&] { find_source(manifest("image,mask\na.png,m.png\nb.png,./m.png\n")); }).what();
  EXPECT_TRUE(contains(what, "m.png: a.png and b.png"));
  EXPECT_TRUE(contains(error_of([&] { find_source(manifest("image,mask\na.png,b.png\nb.png,\n")); }).what(),
                       "is the mask of a.png and an image too, b.png"));
  // Two sequences of one patient, drawn on once.
  EXPECT_EQ(find_source(manifest("image,mask,patient\nt1.nii,m.nii,p\nt2.nii,m.nii,p\n")).files.size(), 2U);
  EXPECT_TRUE(
      contains(error_of([&] { find_source(manifest("image,mask,patient\nt1.nii,m.nii,p\nt2.nii,m.nii,q\n")); }).what(),
               "t1.nii and t2.nii"));
}

TEST(Pairing, MasksThatWouldBeImages) {
  const TempFolder folder;
  for (int i = 0; i < 12; ++i) {
    for (const char* name : {"benign/b (", "normal/n ("}) folder.write(concat(name, i, ").png"), "x");
  }
  EXPECT_EQ(find_source(folder.path()).layout, "class_folders");
  folder.write("benign/b (3)_mask.png", "x");
  const std::string what = error_of([&] { find_source(folder.path()); }).what();
  EXPECT_TRUE(contains(what, "b (3)_mask.png is named as the mask of "));
  EXPECT_TRUE(contains(what, "b (3).png"));
  EXPECT_TRUE(contains(all_remarks(find_source(folder.path(), "files")),
                       "benign/b (3)_mask.png: is named as the mask of the file beside it"));
  const TempFolder other;
  for (const char* name : {"imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "labelsTr/b.nii.gz"}) other.write(name, "x");
  EXPECT_TRUE(contains(all_remarks(find_source(other.path(), "files")),
                       "labelsTr/a.nii.gz: lies in a folder that is named as one of masks (and 1 more)"));
}

// No two cases have one name, and a case that is alone in having its name is called so whoever else is there.
TEST(Pairing, CaseNamesAreUnique) {
  for (unsigned seed = 0; seed < 500; ++seed) {
    Names names(seed);
    std::vector<SourceFile> files;
    std::set<std::string> seen;
    std::map<std::string, int64_t> stems;
    std::vector<std::string> own;
    for (size_t n = 1 + names.below(8); n > 0; --n) {
      const std::string stem = names.stem(), name = stem + names.ending();
      if (!seen.insert(name).second) continue;
      SourceFile file{fs::path(name), name};
      ++stems[stem];
      own.push_back(stem);
      files.push_back(file);
    }
    const std::vector<std::string> found = case_names(files, {});
    EXPECT_EQ(std::set<std::string>(found.begin(), found.end()).size(), files.size());
    for (size_t i = 0; i < files.size(); ++i) {
      EXPECT_EQ(found[i], stems[own[i]] == 1 ? own[i] : files[i].name);
    }
  }
}

TEST(Pairing, CaseNamesOfTimePointsAndUids) {
  const auto names_of = [](const std::vector<std::string>& names) {
    std::vector<SourceFile> files;
    for (const std::string& name : names) {
      SourceFile file{fs::path(name), name};
      if (const size_t at = name.find("#t"); at != std::string::npos) file.time_point = std::stoll(name.substr(at + 2));
      files.push_back(file);
    }
    return case_names(files, {});
  };
  using List = std::vector<std::string>;
  EXPECT_EQ(names_of({"1.2.840.5", "1.2.840.6"}), (List{"1.2.840.5", "1.2.840.6"}));  // DICOM without an ending
  EXPECT_EQ(names_of({"a.nii.gz#t0", "a.nii.gz#t1", "b.nii"}), (List{"a_t0", "a_t1", "b"}));
  EXPECT_EQ(names_of({"a.nii.gz#t0", "a_t0.nii"}), (List{"a.nii.gz_t0", "a_t0.nii"}));
  EXPECT_EQ(names_of({"x.1_0000.nii.gz", "x.2_0000.nii.gz"}), (List{"x.1", "x.2"}));
}

TEST(Pairing, NamesThatAreNotUtf8) {
  const TempFolder folder;
  folder.write(
      "images/Gr\xf6\xdf"
      "e.png",
      "x");
  folder.write("images/b.png", "x");
  folder.write(
      "labels/Gr\xf6\xdf"
      "e.png",
      "x");
  const Source source = find_source(folder.path());
  ASSERT_EQ(source.files.size(), 2U);
  EXPECT_EQ(source.files[0].name, "images/Gr%F6%DFe.png");
  EXPECT_EQ(source.files[0].patient, source.files[0].name);
  EXPECT_FALSE(source.files[0].mask.empty());
  EXPECT_TRUE(fs::exists(source.files[0].path));
  EXPECT_TRUE(contains(all_remarks(source), "images/Gr%F6%DFe.png: has a name that is not UTF-8"));
}

// Two headers may share a file of voxels where they say that they begin
// at different places; else one is a copy that was not corrected.
TEST(Pairing, HeadersThatShareTheirVoxels) {
  const auto mhd = [](int offset) {
    return concat("NDims = 3\nDimSize = 2 1 1\nElementType = MET_UCHAR\nHeaderSize = ", offset,
                  "\nElementDataFile = all.raw\n");
  };
  const auto nhdr = [](int offset) {
    return concat("NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 1 1\nencoding: raw\nbyte skip: ", offset,
                  "\ndata file: all.raw\n");
  };
  const auto listed = [&](const std::string& ending, const std::string& a, const std::string& b) {
    const TempFolder folder;
    folder.write("all.raw", "abcd");
    folder.write("a" + ending, a);
    folder.write("b" + ending, b);
    return find_source(folder.path()).files.size();
  };
  EXPECT_EQ(listed(".mhd", mhd(0), mhd(2)), 2U);
  EXPECT_EQ(listed(".nhdr", nhdr(0), nhdr(2)), 2U);
  for (const auto& [ending, header] : {std::pair{".mhd", mhd(2)}, {".nhdr", nhdr(2)}})
    EXPECT_TRUE(contains(error_of([&] { listed(ending, header, header); }).what(), "all.raw")) << ending;
}

// A numbered series is shared where a number is in both ranges.
TEST(Pairing, HeadersThatShareNumberedFiles) {
  const TempFolder folder;
  for (int number = 1; number <= 6; ++number) folder.write(concat("s", number, ".raw"), "ab");
  folder.write("s1x.raw", "ab");
  const auto listed = [&](const std::string& a, const std::string& b) {
    for (const auto& [name, range] : {std::pair{"a.nhdr", a}, {"b.nhdr", b}})
      folder.write(name, concat("NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 1 3\nencoding: raw\ndata file: s%d.raw",
                                range, "\n"));
    return find_source(folder.path()).files.size();
  };
  EXPECT_EQ(listed(" 1 3 1", " 4 6 1"), 2U);
  EXPECT_EQ(listed(" 1 5 2", " 2 6 2"), 2U);
  EXPECT_EQ(listed(" 3 1 -1", " 6 4 -1"), 2U);
  for (const auto& [a, b] : {std::pair{" 1 3 1", " 3 6 1"}, {"", ""}, {" 6 2 -2", " 4 4 1"}})
    EXPECT_TRUE(contains(error_of([&] { listed(a, b); }).what(), "both have their voxels in s")) << a << b;
}

}  // namespace
}  // namespace vmae::io
