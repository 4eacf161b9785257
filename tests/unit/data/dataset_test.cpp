#include "vmae/data/dataset.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/flip.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <thread>

#include "data_folder.h"
#include "support/errors.h"
#include "vmae/core/random.h"
#include "vmae/sources/source.h"

namespace vmae::data {
namespace {

using test::contains;
using test::error_of;
using test::TempFolder;

std::shared_ptr<Quarantine> lenient() { return std::make_shared<Quarantine>("", 1.0); }

TEST(Dataset, PicturesAreOneSampleVolumesOnePerSlice) {
  const TempFolder folder;
  write_good_files(folder);
  const auto dataset = make_dataset(folder, lenient());
  ASSERT_EQ(dataset->size(), kGoodSamples);
  EXPECT_EQ(dataset->id(0), "p100.png");
  EXPECT_EQ(dataset->id(11), "v1.nii#z0");
  EXPECT_EQ(dataset->id(18), "v2.nii#z2");
  EXPECT_EQ(dataset->source_sizes(), std::vector<int64_t>{kGoodSamples});
}

TEST(Dataset, TheSliceAxisCanBeChosen) {
  const TempFolder folder;
  write_good_files(folder);
  ImageOptions options = small_images();
  options.slice_axis = "x";
  const Dataset dataset(io::list_source(folder / "v1.nii"), options, lenient());
  EXPECT_EQ(dataset.size(), 6);
  EXPECT_EQ(dataset.id(5), "v1.nii#x5");
}

TEST(Dataset, SlicesShareTheRangeOfTheirVolume) {
  const TempFolder folder;
  folder.write("v.nii", test::nifti<int16_t>({2, 2, 3}, {0, 0, 0, 0, 50, 50, 50, 50, 100, 100, 100, 100},
                                             {.spacing_mm = {1, 1, 4}}));
  ImageOptions options = small_images();
  options.percentiles = {0, 100};
  options.mean = {0};
  options.std = {1};
  const Dataset dataset(io::list_source(folder.path()), options, lenient());
  for (const auto& [slice, value] : {std::pair{0, 0.0F}, {1, 0.5F}, {2, 1.0F}}) {
    const Sample sample = dataset.load(slice, 1, 0, nullptr);
    EXPECT_EQ(sample.image.sizes(), (at::IntArrayRef{1, 8, 8}));
    EXPECT_EQ(sample.image.min().item<float>(), value);
    EXPECT_EQ(sample.image.max().item<float>(), value);
  }
}

TEST(Dataset, ASampleIsAFunctionOfSeedEpochAndIndex) {
  const TempFolder folder;
  write_good_files(folder);
  const auto dataset = make_dataset(folder, lenient());
  const AugmentOptions augment{.flip_horizontal = 0.5, .flip_vertical = 0.0};
  int num_flipped = 0, num_changed = 0;
  for (int64_t index = 0; index < dataset->size(); ++index) {
    for (int64_t epoch = 0; epoch < 4; ++epoch) {
      const Sample sample = dataset->load(index, 7, epoch, &augment);
      const at::Tensor plain = dataset->load(index, 7, epoch, nullptr).image;
      EXPECT_TRUE(at::equal(sample.image, dataset->load(index, 7, epoch, &augment).image));
      EXPECT_EQ(sample.seed, derive_seed(uint64_t{7}, epoch, index));
      const bool is_flipped = !at::equal(sample.image, plain);
      EXPECT_TRUE(at::equal(is_flipped ? at::flip(plain, {2}) : plain, sample.image));
      num_flipped += is_flipped;
      num_changed += !at::equal(sample.image, dataset->load(index, 7, epoch + 1, &augment).image);
    }
  }
  EXPECT_GT(num_flipped, 19 * 4 / 4);
  EXPECT_LT(num_flipped, 19 * 4 * 3 / 4);
  EXPECT_GT(num_changed, 19 * 4 / 4);
}

TEST(Dataset, UnreadableHeadersAreLeftOutAndQuarantined) {
  const TempFolder folder;
  write_good_files(folder);
  write_broken_files(folder);
  const auto quarantine = std::make_shared<Quarantine>(folder / "q.jsonl", 1.0);
  const auto dataset = make_dataset(folder, quarantine);
  EXPECT_EQ(quarantine->count(), 2);
  EXPECT_TRUE(quarantine->contains("u_header.nii.gz"));
  EXPECT_TRUE(quarantine->contains("v1c_header.nii"));
}

TEST(Dataset, BrokenFilesThrowAndKeepThrowing) {
  const TempFolder folder;
  write_good_files(folder);
  write_broken_files(folder);
  const auto dataset = make_dataset(folder, lenient());
  std::set<std::string> failed;
  for (const int repeat : {0, 1}) {
    for (int64_t index = 0; index < dataset->size(); ++index) {
      try {
        dataset->load(index, 1, repeat, nullptr);
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::data);
        const std::string id = dataset->id(index), name = id.substr(0, id.find('#'));
        EXPECT_TRUE(contains(error.what(), name));
        failed.insert(name);
      }
    }
  }
  EXPECT_EQ(failed, (std::set<std::string>{"p100b.png", "p103b.jpg", "p105b.png", "p105c.tif", "p107b.bmp", "p108b.png",
                                           "v1b.nii.gz", "v2b.nii", "w.nii"}));
}

TEST(Dataset, AFileThatFailedStaysBadWhenItIsRepaired) {
  const TempFolder folder;
  folder.write("a.png", "broken");
  folder.write("b.png", png(1));
  const auto dataset = make_dataset(folder, lenient());
  EXPECT_THROW(dataset->load(0, 1, 0, nullptr), Error);
  folder.write("a.png", png(2));
  EXPECT_THROW(dataset->load(0, 1, 0, nullptr), Error);
}

TEST(Dataset, NothingReadableIsAnError) {
  const TempFolder folder;
  folder.write("a.nii", "text");
  EXPECT_TRUE(contains(error_of([&] { make_dataset(folder, lenient()); }).what(), "none of 1 files is readable"));
  folder.write("b.png", "text");
  const auto dataset = make_dataset(folder, lenient());
  std::vector<float> image(64);
  EXPECT_TRUE(contains(error_of([&] { dataset->load_readable_into(0, 1, 0, nullptr, {image.data()}); }).what(),
                       "none of 2 files is readable"));
}

TEST(Dataset, ManyThreadsShareTheVolumes) {
  const Dataset dataset(io::list_source(test::hippocampus() / "images"), small_images(), lenient());
  EXPECT_GT(dataset.size(), 60 * 20);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&dataset, t] {
      std::vector<float> image(64);
      for (int64_t i = 0; i < 60; ++i)
        dataset.load_into((i * 37 + (t % 2) * 5) % dataset.size(), 1, 0, nullptr, {image.data()});
    });
  }
}

TEST(DataOptions, EveryKeyIsDocumented) {
  Options options;
  ImageOptions image;
  AugmentOptions augment;
  describe(options, image);
  describe(options, augment);
  std::vector<std::string> keys;
  for (const Option& option : options.all()) {
    keys.push_back(option.key);
    EXPECT_GT(option.doc.size(), 40U) << option.key;
  }
  EXPECT_EQ(keys, (std::vector<std::string>{"intensity",
                                            "modality",
                                            "window",
                                            "percentiles",
                                            "suv_max",
                                            "mean",
                                            "std",
                                            "resize",
                                            "slice_axis",
                                            "flip_horizontal",
                                            "flip_vertical",
                                            "rot90",
                                            "rotate",
                                            "rotate_degrees",
                                            "rotate_whole",
                                            "interpolation",
                                            "affine",
                                            "affine_degrees",
                                            "affine_shift",
                                            "affine_scale",
                                            "affine_shear_degrees",
                                            "enlarge",
                                            "brightness",
                                            "contrast",
                                            "gamma",
                                            "minmax"}));
}

}  // namespace
}  // namespace vmae::data
