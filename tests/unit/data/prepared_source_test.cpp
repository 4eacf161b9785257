// Prepared datasets as sources, against the same images as files in memory.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <thread>

#include "allocations.h"
#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/core/random.h"
#include "vmae/data/loader.h"
#include "vmae/data/prepared_source.h"
#include "vmae/prepared/writer.h"

namespace vmae::data {
namespace {

using test::contains;
using test::error_of;

constexpr int64_t kHeight = 20, kWidth = 24;

struct Written {
  io::PreparedItem item;
  std::vector<std::byte> pixels;
  std::vector<uint8_t> mask;
};

Written noise(io::StoredType type, uint64_t key, bool has_mask) {
  Written written;
  written.item.height = kHeight;
  written.item.width = kWidth;
  written.item.channels = 1;
  written.item.type = type;
  written.item.stored_max = type == io::StoredType::u8 ? 255 : 0;
  written.item.stats = {0, 255, 100, 20, 30, 220};
  written.pixels.resize(written.item.pixel_bytes());
  Random random(key);
  if (type == io::StoredType::u8) {
    for (std::byte& pixel : written.pixels) pixel = static_cast<std::byte>(random.below(256));
  } else {
    std::vector<int16_t> values(kHeight * kWidth);
    for (int16_t& value : values) value = static_cast<int16_t>(random.below(3000) - 1000);
    std::memcpy(written.pixels.data(), values.data(), written.pixels.size());
  }
  if (has_mask) {
    for (int64_t i = 0; i < kHeight * kWidth; ++i) written.mask.push_back(static_cast<uint8_t>(random.below(4)));
  }
  return written;
}

// Cases 0 (3 slices of CT), 1 (failed), 2 to 6 (one grey picture each, the last without mask).
class PreparedSourceTest : public ::testing::Test {
 protected:
  PreparedSourceTest() {
    {
      io::ShardWriter shard(folder_ / "shard-0.mdb", 0);
      add(shard, 0, "ct", io::StoredType::i16, 3, "CT", io::Units::hu);
      io::PreparedCase failed;
      failed.name = "bad";
      failed.failure = "is cut off";
      shard.add(failed, {});
      for (int64_t number = 2; number < 7; ++number)
        add(shard, number, concat("picture", number), io::StoredType::u8, 1, "DX", io::Units::raw);
      shard.commit();
    }
    io::PreparedInfo info;
    info.shards = {{"shard-0.mdb", 0, 7, 0, 0}};
    info.label_names = {"x", "y"};
    info.has_masks = true;
    io::write_index(folder_.path(), io::complete_info(folder_.path(), info));
    prepared_ = std::make_shared<const io::PreparedDataset>(folder_.path());
    options_.image_size = {kHeight, kWidth};
    options_.mean = {0};
    options_.std = {1};
  }

  void add(io::ShardWriter& shard, int64_t number, const std::string& name, io::StoredType type, int64_t num_slices,
           const char* modality, io::Units units) {
    std::vector<io::PackedItem> items;
    for (int64_t slice = 0; slice < num_slices; ++slice) {
      written_.push_back(noise(type, static_cast<uint64_t>(100 * number + slice), number != 6));
      written_.back().item.slice = slice;
      items.push_back(io::pack_item(written_.back().item, written_.back().pixels, written_.back().mask, number));
    }
    io::PreparedCase one;
    one.name = name;
    one.modality = modality;
    one.units = units;
    one.labels = {static_cast<float>(number), NAN};
    one.num_items = num_slices;
    one.items_sha256 = io::items_digest(items);
    shard.add(one, items);
  }

  Dataset dataset(const std::vector<int64_t>& cases, const Targets& targets = {.mask = true, .num_labels = 2}) const {
    std::vector<std::unique_ptr<SampleSource>> sources;
    std::vector<PreparedChoice> chosen;
    for (const int64_t number : cases) chosen.push_back({number});
    sources.push_back(prepared_source(prepared_, chosen, options_, targets));
    return {std::move(sources), options_, std::make_shared<Quarantine>("", 0.0), targets};
  }

  test::TempFolder folder_;
  std::vector<Written> written_;  // by item
  std::shared_ptr<const io::PreparedDataset> prepared_;
  ImageOptions options_;
};

TEST_F(PreparedSourceTest, ChosenCasesAreTheirItems) {
  const Dataset all = dataset({0, 1, 2, 3, 4, 5}), some = dataset({4, 0, 2});
  ASSERT_EQ(all.size(), 7);
  EXPECT_EQ(all.id(2), "ct#z2");
  EXPECT_EQ(all.id(3), "picture2");
  ASSERT_EQ(some.size(), 5);
  const std::vector<int64_t> items{5, 0, 1, 2, 3};  // of all
  for (int64_t i = 0; i < 5; ++i) {
    const Sample a = some.load(i, 1, 0, nullptr), b = all.load(items[static_cast<size_t>(i)], 1, 0, nullptr);
    EXPECT_EQ(a.id, b.id);
    EXPECT_TRUE(a.image.equal(b.image));
    EXPECT_TRUE(a.mask.equal(b.mask));
  }
  EXPECT_NE(all.checksum(), some.checksum());
}

TEST_F(PreparedSourceTest, PixelsMasksAndLabelsAreThoseThatWereWritten) {
  const Dataset data = dataset({0, 1, 2, 3, 4, 5});
  for (int64_t i = 0; i < data.size(); ++i) {
    const Written& written = written_[static_cast<size_t>(i)];
    const Sample sample = data.load(i, 1, 0, nullptr);
    for (int64_t pixel = 0; pixel < kHeight * kWidth; ++pixel) {
      float expected = 0;
      if (i < 3) {  // CT: the soft tissue window
        int16_t stored = 0;
        std::memcpy(&stored, written.pixels.data() + 2 * pixel, 2);
        expected = std::clamp((static_cast<float>(stored) + 160) / 400, 0.0F, 1.0F);
      } else {
        expected = static_cast<float>(std::to_integer<int>(written.pixels[static_cast<size_t>(pixel)])) / 255;
      }
      for (int64_t channel = 0; channel < 3; ++channel)
        ASSERT_NEAR(sample.image[channel].flatten()[pixel].item<float>(), expected, 1e-6);
      ASSERT_EQ(sample.mask.flatten()[pixel].item<int>(),
                written.mask.empty() ? 0 : written.mask[static_cast<size_t>(pixel)]);
    }
    EXPECT_EQ(sample.labels[0].item<float>(), i < 3 ? 0.0F : static_cast<float>(i - 1));
    EXPECT_TRUE(std::isnan(sample.labels[1].item<float>()));
  }
}

TEST_F(PreparedSourceTest, RulesOfWholeVolumesUseTheirStatistics) {
  options_.intensity = "percentile";
  const Sample percentile = dataset({2}).load(0, 1, 0, nullptr);
  options_.intensity = "zscore";
  const Sample zscore = dataset({2}).load(0, 1, 0, nullptr);
  const auto stored = static_cast<float>(std::to_integer<int>(written_[3].pixels[7]));
  EXPECT_NEAR(percentile.image.flatten()[7].item<float>(), std::clamp((stored - 30) / 190, 0.0F, 1.0F), 1e-6);
  EXPECT_NEAR(zscore.image.flatten()[7].item<float>(), (stored - 100) / 20, 1e-5);
}

TEST_F(PreparedSourceTest, WhatDoesNotFitIsRefused) {
  EXPECT_TRUE(test::contains(test::error_of([&] { dataset({2, 6}); }).what(), "case picture6 has no mask"));
  options_.intensity = "percentile";
  options_.percentiles = {1, 99};
  EXPECT_TRUE(contains(error_of([&] { dataset({2}); }).what(), "data.percentiles is [1, 99]"));
  options_ = {};
  EXPECT_TRUE(contains(error_of([&] { dataset({2}, {.num_labels = 3}); }).what(), "2 labels; needed: 3"));
}

TEST_F(PreparedSourceTest, AWorkerAllocatesNothingPerSample) {
  if (!test::kCountsAllocations) GTEST_SKIP() << "the sanitizers bring their own operator new";
  const Dataset data = dataset({0, 2, 4, 5});
  for (const AugmentOptions& augment :
       {pretraining_augmentation(), segmentation_augmentation(), classification_augmentation()}) {
    std::vector<float> image(3 * kHeight * kWidth), labels(2);
    std::vector<uint8_t> mask(kHeight * kWidth);
    int64_t after = 0;
    std::thread([&] {
      const auto load = [&](int64_t epoch) {
        for (int64_t i = 0; i < data.size(); ++i)
          data.load_readable_into(i, 1, epoch, &augment, {image.data(), mask.data(), labels.data()});
      };
      load(0);
      const int64_t before = test::num_allocations();
      for (int64_t epoch = 1; epoch < 30; ++epoch) load(epoch);
      after = test::num_allocations() - before;
    }).join();
    EXPECT_EQ(after, 0);
  }
}

}  // namespace
}  // namespace vmae::data
