// Datasets over sources: targets, several sources, and a worker's memory.
#include "vmae/data/sample_source.h"
#include "vmae/data/file_source.h"

#include <gtest/gtest.h>

#include <thread>

#include "allocations.h"
#include "data_folder.h"
#include "support/errors.h"
#include "vmae/data/loader.h"

namespace vmae::data {
namespace {

constexpr int64_t kSide = 32;

// Bytes in memory with mask and labels, as from a prepared dataset.
class MemorySource : public SampleSource {
 public:
  MemorySource(int64_t size, uint8_t first) : size_(size), first_(first) {}
  int64_t size() const override { return size_; }
  std::string id(int64_t index) const override { return concat("m", int{first_}, "#", index); }
  std::string file_name(int64_t index) const override { return id(index); }
  int64_t num_files() const override { return size_; }
  const float* labels(int64_t index) const override { return &labels_[static_cast<size_t>(index % 8)]; }
  uint32_t checksum(uint32_t crc) const override { return crc + first_; }
  Slice read(int64_t index, bool with_mask, SliceBuffer& buffer) const override {
    const auto value = static_cast<uint8_t>(first_ + index);
    buffer.pixels.assign(static_cast<size_t>(kSide * kSide), std::byte{value});
    Slice slice{kSide, kSide, 1, io::StoredType::u8, buffer.pixels.data(), {}, {0, 255}, nullptr};
    if (with_mask) {
      buffer.mask.assign(static_cast<size_t>(kSide * kSide), std::byte{value});
      slice.mask = reinterpret_cast<const uint8_t*>(buffer.mask.data());
    }
    return slice;
  }

 private:
  int64_t size_;
  uint8_t first_;
  std::array<float, 9> labels_{0, 1, 2, 3, 4, 5, 6, 7, 8};
};

ImageOptions plain_images() {
  ImageOptions options;
  options.image_size = {kSide, kSide};
  options.in_channels = 3;
  options.mean = {0};
  options.std = {1};
  return options;
}

std::shared_ptr<const Dataset> two_sources(const Targets& targets) {
  std::vector<std::unique_ptr<SampleSource>> sources;
  sources.push_back(std::make_unique<MemorySource>(6, 0));
  sources.push_back(std::make_unique<MemorySource>(4, 100));
  return std::make_shared<const Dataset>(std::move(sources), plain_images(), std::make_shared<Quarantine>("", 0.0),
                                         targets);
}

TEST(Sources, FollowEachOther) {
  const auto dataset = two_sources({});
  ASSERT_EQ(dataset->size(), 10);
  EXPECT_EQ(dataset->source_sizes(), (std::vector<int64_t>{6, 4}));
  EXPECT_EQ(dataset->id(5), "m0#5");
  EXPECT_EQ(dataset->id(6), "m100#0");
  EXPECT_EQ(dataset->load(9, 1, 0, nullptr).image.max().item<float>(), 103 / 255.0F);
}

TEST(Sources, TargetsComeWithTheImage) {
  const auto dataset = two_sources({.mask = true, .num_labels = 2});
  const Sample sample = dataset->load(7, 1, 0, nullptr);
  EXPECT_EQ(sample.mask.sizes(), (at::IntArrayRef{kSide, kSide}));
  EXPECT_EQ(sample.mask.min().item<int>(), 101);
  EXPECT_EQ(sample.labels.numel(), 2);
  EXPECT_EQ(sample.labels[1].item<float>(), 2);
  EXPECT_FALSE(two_sources({})->load(7, 1, 0, nullptr).mask.defined());

  Loader loader(dataset, {.batch_size = 5, .seed = 2, .workers = 2}, nullptr, {}, 1);
  Batch batch;
  ASSERT_TRUE(loader.next(batch));
  EXPECT_EQ(batch.mask.sizes(), (at::IntArrayRef{5, kSide, kSide}));
  EXPECT_EQ(batch.mask.scalar_type(), at::kByte);
  EXPECT_EQ(batch.labels.sizes(), (at::IntArrayRef{5, 2}));
  for (int64_t i = 0; i < 5; ++i) {
    const int64_t index = batch.indices[static_cast<size_t>(i)], value = index < 6 ? index : 100 + index - 6;
    EXPECT_EQ(batch.mask[i].max().item<int64_t>(), value);
    EXPECT_EQ(batch.image[i].max().item<float>(), static_cast<float>(value) / 255.0F);
    EXPECT_EQ(batch.labels[i][0].item<int64_t>(), index < 6 ? index : index - 6);
  }
}

TEST(Sources, WeightsChangeTheirSharesAndResumeIsExact) {
  const auto dataset = two_sources({});
  const auto batches = [&](Position start, int64_t rank, int64_t world_size) {
    Loader loader(dataset,
                  {.batch_size = 4, .seed = 2, .workers = 2, .rank = rank, .world_size = world_size, .weights = {1, 4}},
                  nullptr, start, 3);
    std::vector<Batch> result;
    for (Batch batch; loader.next(batch);) result.push_back(batch);
    return result;
  };
  const std::vector<Batch> all = batches({}, 0, 1);
  ASSERT_EQ(all.size(), 9U);
  int64_t num_second = 0;
  for (const Batch& batch : all)
    num_second += std::count_if(batch.indices.begin(), batch.indices.end(), [](int64_t i) { return i >= 6; });
  EXPECT_EQ(num_second, 24);  // 4 of 5 of 30
  for (size_t first = 0; first < all.size(); ++first)
    EXPECT_EQ(batches(all[first].position, 0, 1).front().indices, all[first].indices);
  const auto even = batches({}, 0, 2), odd = batches({}, 1, 2);
  for (size_t k = 0; k < all.size(); ++k) {
    for (size_t i = 0; i < all[k].indices.size(); ++i)
      EXPECT_EQ((i % 2 == 0 ? even : odd)[k].indices[i / 2], all[k].indices[i]);
  }
}

TEST(Sources, WeightsThatDoNotFitAreRefused) {
  const auto dataset = two_sources({});
  EXPECT_EQ(test::error_of([&] {
              Loader(dataset, {.batch_size = 4, .weights = {1, 2, 3}}, nullptr);
            }).code(),
            ExitCode::usage);
}

TEST(Sources, AWorkerAllocatesNothingPerSample) {
  if (!test::kCountsAllocations) GTEST_SKIP() << "the sanitizers bring their own operator new";
  const auto dataset = two_sources({.mask = true, .num_labels = 1});
  for (const AugmentOptions& augment :
       {pretraining_augmentation(), segmentation_augmentation(), classification_augmentation()}) {
    std::vector<float> image(3 * kSide * kSide), labels(1);
    std::vector<uint8_t> mask(kSide * kSide);
    int64_t during_warm_up = 0, after = 0;
    std::thread([&] {
      const auto load = [&](int64_t epoch) {
        for (int64_t index = 0; index < dataset->size(); ++index)
          dataset->load_readable_into(index, 1, epoch, &augment, {image.data(), mask.data(), labels.data()});
      };
      load(0);
      during_warm_up = test::num_allocations();
      for (int64_t epoch = 1; epoch < 30; ++epoch) load(epoch);
      after = test::num_allocations() - during_warm_up;
    }).join();
    EXPECT_GT(during_warm_up, 0);
    EXPECT_EQ(after, 0);
  }
}

std::vector<io::SourceFile> files_with_masks(const test::TempFolder& folder) {
  std::vector<io::SourceFile> files;
  for (int i = 0; i < 3; ++i) {
    io::SourceFile file;
    file.name = concat("p", i, ".png");
    file.path = folder.write(file.name, png(i * 30));
    io::Image labels{4, 6, 1, std::vector<float>(24, static_cast<float>(i + 1)), 255};
    file.mask = folder.write(concat("m", i, ".png"), io::encode_png(labels));
    file.labels = {static_cast<float>(i), 0.5F};
    files.push_back(file);
  }
  io::SourceFile volume;
  volume.name = "v.nii";
  volume.path =
      folder.write(volume.name, test::nifti<int16_t>({6, 4, 3}, test::ramp<int16_t>(72), {.spacing_mm = {1, 1, 4}}));
  std::vector<uint8_t> labels(72);
  for (size_t i = 0; i < 72; ++i) labels[i] = static_cast<uint8_t>(i / 24 + 7);
  volume.mask = folder.write("v_mask.nii", test::nifti<uint8_t>({6, 4, 3}, labels, {.spacing_mm = {1, 1, 4}}));
  volume.labels = {9, 9};
  files.push_back(volume);
  return files;
}

TEST(FileSource, ReadsMasksAndLabels) {
  const test::TempFolder folder;
  ImageOptions options = small_images();
  const Dataset dataset(files_with_masks(folder), options, std::make_shared<Quarantine>("", 0.0),
                        {.mask = true, .num_labels = 2});
  ASSERT_EQ(dataset.size(), 6);
  for (int64_t i = 0; i < 3; ++i) {
    const Sample picture = dataset.load(i, 1, 0, nullptr), slice = dataset.load(3 + i, 1, 0, nullptr);
    EXPECT_EQ(picture.mask.min().item<int64_t>(), i + 1);
    EXPECT_EQ(picture.mask.max().item<int64_t>(), i + 1);
    EXPECT_EQ(picture.labels[0].item<float>(), static_cast<float>(i));
    EXPECT_EQ(slice.mask.min().item<int64_t>(), i + 7);
    EXPECT_EQ(slice.mask.max().item<int64_t>(), i + 7);
    EXPECT_EQ(slice.labels[1].item<float>(), 9);
  }
}

TEST(FileSource, AMissingTargetNamesTheFile) {
  const test::TempFolder folder;
  std::vector<io::SourceFile> files = files_with_masks(folder);
  files[1].mask.clear();
  files[2].labels.pop_back();
  const auto error = [&](const Targets& targets) {
    return std::string(
        test::error_of([&] { Dataset(files, small_images(), std::make_shared<Quarantine>("", 0.0), targets); }).what());
  };
  EXPECT_TRUE(test::contains(error({.mask = true}), "p1.png has no mask"));
  EXPECT_TRUE(test::contains(error({.num_labels = 2}), "p2.png has 1 labels"));
}

TEST(Intensity, AutoFollowsTheModality) {
  const ImageOptions options;
  const auto rule = [&](const ImageKind& kind) { return intensity_rule(options, kind); };
  EXPECT_EQ(rule({"CT", io::Units::hu, 0}), IntensityRule::window);
  // DICOM without its rescaling: no Hounsfield units
  EXPECT_EQ(rule({"CT", io::Units::raw, 0}), IntensityRule::percentile);
  EXPECT_EQ(rule({"CT", io::Units::raw, 255}), IntensityRule::stored);  // a picture of a window
  EXPECT_EQ(rule({"PT", io::Units::suv, 0}), IntensityRule::suv);
  EXPECT_EQ(rule({"PT", io::Units::raw, 0}), IntensityRule::percentile);
  EXPECT_EQ(rule({"MR", io::Units::raw, 0}), IntensityRule::percentile);
  EXPECT_EQ(rule({"MR", io::Units::raw, 4095}), IntensityRule::percentile);
  for (const char* modality : {"US", "DX", "CR", "XC", ""})
    EXPECT_EQ(rule({modality, io::Units::raw, 4095}), IntensityRule::stored);
  EXPECT_EQ(rule({"", io::Units::raw, 0}), IntensityRule::percentile);
  ImageOptions zscore;
  zscore.intensity = "zscore";
  EXPECT_EQ(intensity_rule(zscore, {"CT", io::Units::hu, 0}), IntensityRule::zscore);
}

TEST(Intensity, WindowAndSuvHaveDefaults) {
  ImageOptions options;
  const IntensityRange ct = fixed_range(IntensityRule::window, 0, options);
  EXPECT_EQ(ct.low, -160);
  EXPECT_EQ(ct.high, 240);
  options.window = {-1000, 400};
  options.suv_max = 10;
  EXPECT_EQ(fixed_range(IntensityRule::window, 0, options).low, -1000);
  EXPECT_EQ(intensity_range({0, 5, 30}, {"PT", io::Units::suv, 0}, options).high, 10);
}

}  // namespace
}  // namespace vmae::data
