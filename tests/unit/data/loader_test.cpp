#include "vmae/data/loader.h"

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "data_folder.h"
#include "support/errors.h"

namespace vmae::data {
namespace {

using test::contains;
using test::error_of;
using test::TempFolder;

const AugmentOptions kAugment{.flip_horizontal = 0.5, .flip_vertical = 0.3};

std::vector<Batch> all_batches(const std::shared_ptr<const Dataset>& dataset, const LoaderOptions& options,
                               Position start, int64_t epochs) {
  Loader loader(dataset, options, &kAugment, start, epochs);
  std::vector<Batch> batches;
  for (Batch batch; loader.next(batch);) batches.push_back(batch);
  return batches;
}

void expect_same(const Batch& a, const Batch& b) {
  EXPECT_EQ(a.indices, b.indices);
  EXPECT_EQ(a.seeds, b.seeds);
  EXPECT_EQ(a.position, b.position);
  EXPECT_EQ(a.next, b.next);
  EXPECT_TRUE(at::equal(a.image, b.image));
}

// Good files and broken ones; the expectations hold for both kinds.
class LoaderTest : public ::testing::TestWithParam<bool> {
 protected:
  LoaderTest() {
    write_good_files(folder_);
    if (GetParam()) num_broken_ = write_broken_files(folder_);
  }
  std::shared_ptr<const Dataset> dataset() {
    quarantine_ = std::make_shared<Quarantine>("", 1.0);
    return make_dataset(folder_, quarantine_);
  }
  TempFolder folder_;
  std::shared_ptr<Quarantine> quarantine_;
  int64_t num_broken_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Files, LoaderTest, ::testing::Values(false, true),
                         [](const auto& parameter) { return parameter.param ? "SomeBroken" : "AllGood"; });

TEST_P(LoaderTest, TheNumberOfWorkersChangesNothing) {
  const std::vector<Batch> expected = all_batches(dataset(), {.batch_size = 4, .seed = 3, .workers = 1}, {}, 3);
  for (const int64_t workers : {2, 5}) {
    for (const int64_t prefetch : {1, 7}) {
      const std::vector<Batch> batches =
          all_batches(dataset(), {.batch_size = 4, .seed = 3, .workers = workers, .prefetch = prefetch}, {}, 3);
      ASSERT_EQ(batches.size(), expected.size());
      for (size_t i = 0; i < batches.size(); ++i) expect_same(batches[i], expected[i]);
    }
  }
  EXPECT_EQ(quarantine_->count(), num_broken_);
}

TEST_P(LoaderTest, ResumeFromEveryPositionGivesTheSameRest) {
  const LoaderOptions options{.batch_size = 5, .seed = 11, .workers = 2};
  const std::vector<Batch> expected = all_batches(dataset(), options, {}, 2);
  const auto shared = dataset();
  for (size_t first = 0; first < expected.size(); ++first) {
    const std::vector<Batch> rest = all_batches(shared, options, expected[first].position, 2);
    ASSERT_EQ(rest.size(), expected.size() - first);
    for (size_t i = 0; i < rest.size(); ++i) expect_same(rest[i], expected[first + i]);
  }
}

TEST_P(LoaderTest, RanksPartitionEveryBatch) {
  const auto shared = dataset();
  const std::vector<Batch> whole = all_batches(shared, {.batch_size = 6, .seed = 5, .workers = 2}, {}, 2);
  std::vector<std::vector<Batch>> parts;
  for (int64_t rank = 0; rank < 3; ++rank)
    parts.push_back(
        all_batches(shared, {.batch_size = 6, .seed = 5, .workers = 2, .rank = rank, .world_size = 3}, {}, 2));
  for (size_t k = 0; k < whole.size(); ++k) {
    for (size_t i = 0; i < whole[k].indices.size(); ++i) {
      const Batch& part = parts[i % 3].at(k);
      EXPECT_EQ(part.position, whole[k].position);
      EXPECT_EQ(part.next, whole[k].next);
      EXPECT_EQ(part.indices.at(i / 3), whole[k].indices[i]);
      EXPECT_EQ(part.seeds.at(i / 3), whole[k].seeds[i]);
      EXPECT_TRUE(at::equal(part.image[static_cast<int64_t>(i / 3)], whole[k].image[static_cast<int64_t>(i)]));
    }
  }
}

TEST_P(LoaderTest, BatchesHoldWhatTheDatasetHolds) {
  const auto shared = dataset();
  Loader loader(shared, {.batch_size = 4, .seed = 3, .workers = 2}, &kAugment, {}, 1);
  for (Batch batch; loader.next(batch);) {
    const std::vector<int64_t> order = epoch_order(shared->size(), 3, 0, /*shuffle=*/true);
    for (size_t i = 0; i < batch.indices.size(); ++i) {
      // a stand-in is drawn anew
      if (order[static_cast<size_t>(batch.position.sample) + i] != batch.indices[i]) continue;
      const Sample sample = shared->load(batch.indices[i], 3, 0, &kAugment);
      EXPECT_TRUE(at::equal(sample.image, batch.image[static_cast<int64_t>(i)]));
      EXPECT_EQ(sample.seed, batch.seeds[i]);
    }
  }
}

TEST_P(LoaderTest, CanBeAbandonedAtAnyMoment) {
  const auto shared = dataset();
  for (int consumed = 0; consumed < 6; ++consumed) {
    Loader loader(shared, {.batch_size = 3, .seed = 1, .workers = 3, .prefetch = 5}, &kAugment);
    Batch batch;
    for (int i = 0; i < consumed; ++i) EXPECT_TRUE(loader.next(batch));
  }
}

TEST(Loader, AnEpochHoldsEverySampleOnceAndEndsWithAShortBatch) {
  const TempFolder folder;
  write_good_files(folder);
  const auto dataset = make_dataset(folder, std::make_shared<Quarantine>("", 0.0));
  const std::vector<Batch> batches = all_batches(dataset, {.batch_size = 4, .seed = 3}, {}, 2);
  ASSERT_EQ(batches.size(), 10U);
  std::vector<int64_t> first, second;
  for (size_t i = 0; i < 10; ++i) {
    const auto epoch = static_cast<int64_t>(i / 5), begin = static_cast<int64_t>(i % 5) * 4;
    EXPECT_EQ(batches[i].position, (Position{epoch, begin}));
    EXPECT_EQ(batches[i].next, i % 5 == 4 ? (Position{epoch + 1, 0}) : (Position{epoch, begin + 4}));
    EXPECT_EQ(batches[i].image.size(0), i % 5 == 4 ? 3 : 4);
    EXPECT_EQ(batches[i].indices.size(), i % 5 == 4 ? 3U : 4U);
    std::vector<int64_t>& indices = epoch == 0 ? first : second;
    indices.insert(indices.end(), batches[i].indices.begin(), batches[i].indices.end());
  }
  EXPECT_EQ(std::set<int64_t>(first.begin(), first.end()).size(), 19U);
  EXPECT_EQ(std::set<int64_t>(second.begin(), second.end()).size(), 19U);
  EXPECT_NE(first, second);
}

TEST(Loader, WithoutShufflingTheOrderIsTheDatasets) {
  const TempFolder folder;
  write_good_files(folder);
  const auto dataset = make_dataset(folder, std::make_shared<Quarantine>("", 0.0));
  Loader loader(dataset, {.batch_size = 19, .shuffle = false}, nullptr, {}, 1);
  Batch batch;
  ASSERT_TRUE(loader.next(batch));
  for (int64_t i = 0; i < 19; ++i) EXPECT_EQ(batch.indices[static_cast<size_t>(i)], i);
  EXPECT_FALSE(loader.next(batch));
  EXPECT_FALSE(loader.next(batch));
  EXPECT_GE(loader.wait_s(), 0.0);
}

TEST(Loader, AnUnreadableSampleIsReplacedByTheNext) {
  const TempFolder folder;
  write_good_files(folder);
  folder.write("p103.png", "broken");
  folder.write("p104.png", "broken");
  folder.write("v2.nii", test::nifti<float>({6, 4, 3}, std::vector<float>(72, NAN), {.spacing_mm = {1, 1, 4}}));
  const auto quarantine = std::make_shared<Quarantine>(folder / "q.jsonl", 0.5);
  const auto dataset = make_dataset(folder, quarantine);
  Loader loader(dataset, {.batch_size = 19, .shuffle = false, .workers = 3}, nullptr, {}, 1);
  Batch batch;
  ASSERT_TRUE(loader.next(batch));
  ASSERT_EQ(batch.indices.size(), 19U);
  EXPECT_EQ(loader.dataset().id(batch.indices[3]), "p105.png");
  EXPECT_EQ(loader.dataset().id(batch.indices[4]), "p105.png");
  for (const size_t slice : {16U, 17U, 18U}) EXPECT_EQ(loader.dataset().id(batch.indices[slice]), "p100.png");
  EXPECT_EQ(quarantine->count(), 3);
}

TEST(Loader, MoreBadFilesThanAllowedEndTheRun) {
  const TempFolder folder;
  write_good_files(folder);
  for (int i = 2; i < 8; ++i) folder.write("p" + std::to_string(100 + i) + ".png", "broken");
  const auto dataset = make_dataset(folder, std::make_shared<Quarantine>("", 0.25));
  Loader loader(dataset, {.batch_size = 4, .seed = 3, .workers = 3}, nullptr);
  const auto consume = [&] {
    Batch batch;
    for (int i = 0; i < 100; ++i) loader.next(batch);
  };
  for (const int repeat : {0, 1}) {
    const Error error = error_of(consume);
    EXPECT_EQ(error.code(), ExitCode::data) << repeat;
    EXPECT_TRUE(contains(error.what(), "data.max_bad_fraction"));
  }
}

TEST(Loader, ASampleStandsInOnRanksWithoutAny) {
  const TempFolder folder;
  folder.write("a.png", png(1));
  const auto dataset = make_dataset(folder, std::make_shared<Quarantine>("", 0.0));
  const std::vector<Batch> batches =
      all_batches(dataset, {.batch_size = 2, .workers = 1, .rank = 1, .world_size = 2}, {}, 2);
  ASSERT_EQ(batches.size(), 2U);
  EXPECT_EQ(batches[0].image.sizes(), (at::IntArrayRef{1, 1, 8, 8}));
  EXPECT_FALSE(batches[0].counts);
  EXPECT_EQ(batches[0].next, (Position{1, 0}));
}

// 7 samples in steps of 5, batches of up to 3 over 2 ranks: 3 + 2, 2.
TEST(Loader, BatchesEndWhereStepsEnd) {
  const TempFolder folder;
  for (int i = 0; i < 7; ++i) folder.write(concat(i, ".png"), png(1));
  const auto dataset = make_dataset(folder, std::make_shared<Quarantine>("", 0.0));
  std::vector<int64_t> ends, seen;
  for (const int64_t rank : {0, 1}) {
    for (const Batch& batch :
         all_batches(dataset, {.batch_size = 3, .workers = 1, .rank = rank, .world_size = 2, .step_size = 5}, {}, 1)) {
      if (rank == 0) ends.push_back(batch.next.epoch > 0 ? 7 : batch.next.sample);
      if (batch.counts) seen.insert(seen.end(), batch.indices.begin(), batch.indices.end());
    }
  }
  EXPECT_EQ(ends, (std::vector<int64_t>{3, 5, 7}));
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, epoch_order(7, 0, 0, /*shuffle=*/false));
}

TEST(Loader, MarkedSharesAreOfStepsWhateverTheBatches) {
  const TempFolder folder;
  for (int i = 0; i < 12; ++i) folder.write(concat(100 + i, ".png"), png(1));
  const auto dataset = make_dataset(folder, std::make_shared<Quarantine>("", 0.0));
  const auto marked = std::make_shared<const std::vector<bool>>(
      std::vector<bool>{true, true, false, false, false, false, false, false, false, false, false, false});
  const auto order = [&](int64_t batch_size) {
    std::vector<int64_t> seen;
    LoaderOptions options{
        .batch_size = batch_size, .seed = 4, .workers = 1, .step_size = 6, .is_marked = marked, .marked_share = 0.5};
    for (const Batch& batch : all_batches(dataset, options, {}, 1))
      seen.insert(seen.end(), batch.indices.begin(), batch.indices.end());
    return seen;
  };
  EXPECT_EQ(order(6), order(2));
}

// Two sources of 3 and 9 pictures in equal shares: each of the first comes twice in an epoch.
std::shared_ptr<const Dataset> two_sources(const TempFolder& folder, std::shared_ptr<Quarantine> quarantine) {
  std::filesystem::create_directories(folder / "a");
  std::filesystem::create_directories(folder / "b");
  for (int i = 0; i < 3; ++i) folder.write(concat("a/", i, ".png"), png(i));
  for (int i = 0; i < 9; ++i) folder.write(concat("b/", i, ".png"), png(20 + i));
  return std::make_shared<const Dataset>(std::vector{io::list_source(folder / "a"), io::list_source(folder / "b")},
                                         small_images(), std::move(quarantine), Targets{});
}

// What an epoch holds at each place, put together of all ranks: index, seed, pixels.
struct Seen {
  std::vector<int64_t> indices;
  std::vector<uint64_t> seeds;
  std::vector<at::Tensor> images;
};
Seen see(const std::shared_ptr<const Dataset>& dataset, LoaderOptions options, int64_t ranks, Position start,
         int64_t epochs) {
  std::vector<std::vector<Batch>> parts;
  for (options.rank = 0, options.world_size = ranks; options.rank < ranks; ++options.rank)
    parts.push_back(all_batches(dataset, options, start, epochs));
  Seen seen;
  for (size_t k = 0; k < parts[0].size(); ++k) {
    for (size_t i = 0;; ++i) {
      const Batch& part = parts[i % parts.size()][k];
      const size_t nth = i / parts.size();
      if (!part.counts || nth >= part.indices.size()) break;
      seen.indices.push_back(part.indices[nth]);
      seen.seeds.push_back(part.seeds[nth]);
      seen.images.push_back(part.image[static_cast<int64_t>(nth)]);
    }
  }
  return seen;
}
void expect_same(const Seen& a, const Seen& b, size_t from = 0) {
  ASSERT_EQ(a.indices.size() - from, b.indices.size());
  for (size_t i = from; i < a.indices.size(); ++i) {
    EXPECT_EQ(a.indices[i], b.indices[i - from]) << i;
    EXPECT_EQ(a.seeds[i], b.seeds[i - from]) << i;
    EXPECT_TRUE(at::equal(a.images[i], b.images[i - from])) << i;
  }
}
// Distinct within an epoch; the first time a sample comes, what Dataset::load() gives.
void expect_first_as_ever_and_others_new(const Seen& seen, const Dataset& dataset, uint64_t seed, size_t per_epoch) {
  for (size_t begin = 0; begin < seen.indices.size(); begin += per_epoch) {
    const auto epoch = static_cast<int64_t>(begin / per_epoch);
    const std::vector<int64_t> order(seen.indices.begin() + static_cast<std::ptrdiff_t>(begin),
                                     seen.indices.begin() + static_cast<std::ptrdiff_t>(begin + per_epoch));
    const std::vector<int64_t> before = occurrences(order);
    std::set<uint64_t> seeds;
    for (size_t i = 0; i < per_epoch; ++i) {
      EXPECT_TRUE(seeds.insert(seen.seeds[begin + i]).second) << "an exact copy";
      const Sample plain = dataset.load(order[i], seed, epoch, &kAugment);
      EXPECT_EQ(before[i] == 0, plain.seed == seen.seeds[begin + i]);
      EXPECT_TRUE(before[i] > 0 || at::equal(plain.image, seen.images[begin + i]));
    }
  }
}

TEST(Loader, ASampleThatComesAgainHasRandomNumbersOfItsOwn) {
  const TempFolder folder;
  const auto dataset = two_sources(folder, std::make_shared<Quarantine>("", 0.0));
  std::vector<bool> is_marked(12, false);
  is_marked[0] = is_marked[5] = true;
  const auto marked = std::make_shared<const std::vector<bool>>(is_marked);
  for (const bool by_weights : {true, false}) {
    LoaderOptions options{.batch_size = 4, .seed = 6, .workers = 2, .step_size = 4};
    if (by_weights) options.weights = {1, 1};
    if (!by_weights) {
      options.is_marked = marked;
      options.marked_share = 0.75;
    }
    const Seen seen = see(dataset, options, 1, {}, 3);
    ASSERT_EQ(seen.indices.size(), 36U);
    expect_first_as_ever_and_others_new(seen, *dataset, 6, 12);
    for (const int64_t ranks : {2, 3}) expect_same(seen, see(dataset, options, ranks, {}, 3));
    for (const int64_t sample : {4, 8})
      expect_same(seen, see(dataset, options, 2, {1, sample}, 3), static_cast<size_t>(12 + sample));
    LoaderOptions others = options;  // resumed in the middle of an epoch with another batch size
    others.batch_size = 3;
    others.workers = 5;
    others.step_size = 6;
    others.first_step_size = 4;
    expect_same(seen, see(dataset, others, 1, {2, 4}, 3), 28);
  }
  // Flips of the second time are drawn anew: with 3 repeats an epoch, some differ from the first time's.
  LoaderOptions options{.batch_size = 4, .seed = 6, .workers = 2, .weights = {1, 1}};
  const Seen seen = see(dataset, options, 1, {}, 6);
  int64_t different = 0;
  for (size_t i = 0; i < seen.indices.size(); ++i) {
    for (size_t k = i / 12 * 12; k < i; ++k)
      different += seen.indices[i] == seen.indices[k] && !at::equal(seen.images[i], seen.images[k]);
  }
  EXPECT_GT(different, 4);
}

TEST(Loader, AStandInHasRandomNumbersOfItsOwn) {
  const TempFolder folder;
  for (int i = 0; i < 8; ++i) folder.write(concat(i, ".png"), i == 2 || i == 3 || i == 7 ? "broken" : png(i));
  const auto dataset = make_dataset(folder, std::make_shared<Quarantine>("", 1.0));
  LoaderOptions options{.batch_size = 4, .seed = 6, .workers = 3};
  const Seen seen = see(dataset, options, 1, {}, 2);
  for (size_t i = 0; i < seen.indices.size(); ++i) {
    const auto epoch = static_cast<int64_t>(i / 8);
    const bool stands_in = epoch_order(8, 6, epoch, true)[i % 8] != seen.indices[i];
    EXPECT_EQ(stands_in, seen.seeds[i] != Dataset::sample_seed(6, epoch, seen.indices[i])) << i;
  }
  for (const size_t begin : {0U, 8U}) {
    const auto first = seen.seeds.begin() + static_cast<std::ptrdiff_t>(begin);
    EXPECT_EQ(std::set<uint64_t>(first, first + 8).size(), 8U)
        << "the stand-in for 2 and that for 3 differ, and both from 4 itself";
  }
  expect_same(seen, see(dataset, options, 3, {}, 2));
}

// What another rank could not read is passed over like what this
// one can't, from the restart on, whatever was loaded ahead.
TEST(Loader, WhatIsLeftOutIsPassedOverAfterARestart) {
  const TempFolder good, broken;
  for (int i = 0; i < 8; ++i)
    good.write(concat(i, ".png"), png(i)), broken.write(concat(i, ".png"), i == 5 ? "broken" : png(i));
  const auto quarantine = std::make_shared<Quarantine>("", 1.0), other = std::make_shared<Quarantine>("", 1.0);
  const auto dataset = make_dataset(good, quarantine), without = make_dataset(broken, other);
  const LoaderOptions options{.batch_size = 4, .seed = 6, .workers = 2, .prefetch = 7};
  const std::vector<Batch> expected = all_batches(without, options, {1, 0}, 3);
  Loader loader(dataset, options, &kAugment, {}, 3);
  Batch batch;
  ASSERT_TRUE(loader.next(batch) && loader.next(batch));
  ASSERT_EQ(batch.next, (Position{1, 0}));
  quarantine->leave_out("5.png", "another rank could not read it");
  loader.restart(batch.next);
  for (const Batch& same : expected) {
    ASSERT_TRUE(loader.next(batch));
    expect_same(batch, same);
  }
  EXPECT_FALSE(loader.next(batch));
}

TEST(Loader, ABatchSmallerThanTheRanksIsRefused) {
  const TempFolder folder;
  folder.write("a.png", png(1));
  const auto dataset = make_dataset(folder, std::make_shared<Quarantine>("", 0.0));
  EXPECT_EQ(error_of([&] { Loader(dataset, {.batch_size = 1, .rank = 1, .world_size = 2}, nullptr); }).code(),
            ExitCode::usage);
}

TEST(EpochOrder, IsAPermutationThatDependsOnSeedAndEpoch) {
  const std::vector<int64_t> order = epoch_order(1000, 1, 0, true);
  std::vector<int64_t> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(sorted, epoch_order(1000, 9, 9, false));
  EXPECT_EQ(order, epoch_order(1000, 1, 0, true));
  EXPECT_NE(order, epoch_order(1000, 1, 1, true));
  EXPECT_NE(order, epoch_order(1000, 2, 0, true));
  EXPECT_NE(order, sorted);
}

}  // namespace
}  // namespace vmae::data
