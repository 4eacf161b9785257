#include "vmae/data/mixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "support/errors.h"

namespace vmae::data {
namespace {

// Samples of each source in an epoch.
std::vector<int64_t> counts(const std::vector<int64_t>& order, const std::vector<int64_t>& sizes) {
  std::vector<int64_t> result(sizes.size());
  for (const int64_t index : order) {
    int64_t begin = 0;
    for (size_t i = 0; i < sizes.size(); begin += sizes[i++]) result[i] += index >= begin && index < begin + sizes[i];
  }
  return result;
}

TEST(Mixture, SharesAreTheWeights) {
  const std::vector<int64_t> sizes{100, 20, 30};
  EXPECT_EQ(counts(mixture_order(sizes, {1, 1, 1}, 1, 0), sizes), (std::vector<int64_t>{50, 50, 50}));
  EXPECT_EQ(counts(mixture_order(sizes, {100, 20, 30}, 1, 0), sizes), sizes);
  EXPECT_EQ(counts(mixture_order(sizes, {0, 2, 1}, 1, 3), sizes), (std::vector<int64_t>{0, 100, 50}));
  EXPECT_EQ(counts(mixture_order({5, 5}, {1, 2}, 1, 3), {5, 5}), (std::vector<int64_t>{3, 7}));  // 3.33 and 6.67
}

// Epochs of another length than the dataset: one after the other they are whole passes, each sample once.
TEST(Mixture, PartsOfPasses) {
  for (const int64_t length : {1, 7, 10, 24, 35}) {
    std::vector<int64_t> row;
    for (int64_t epoch = 0; static_cast<int64_t>(row.size()) < 70; ++epoch) {
      const auto part = part_of_passes(10, length, 3, epoch);
      EXPECT_EQ(static_cast<int64_t>(part.size()), length);
      EXPECT_EQ(part, part_of_passes(10, length, 3, epoch));
      row.insert(row.end(), part.begin(), part.end());
    }
    std::set<std::vector<int64_t>> passes;
    for (size_t first = 0; first + 10 <= row.size(); first += 10) {
      const std::vector<int64_t> pass(row.begin() + static_cast<std::ptrdiff_t>(first),
                                      row.begin() + static_cast<std::ptrdiff_t>(first) + 10);
      EXPECT_EQ(std::set<int64_t>(pass.begin(), pass.end()).size(), 10U) << length;
      passes.insert(pass);
    }
    EXPECT_GE(passes.size(), 6U) << "each in an order of its own";
  }
}

TEST(Mixture, SharesOfEpochsOfAnyLength) {
  const std::vector<int64_t> sizes{100, 20, 30};
  EXPECT_EQ(counts(mixture_order(sizes, {1, 1, 1}, 1, 0, 30), sizes), (std::vector<int64_t>{10, 10, 10}));
  EXPECT_EQ(counts(mixture_order(sizes, {1, 2, 0}, 1, 4, 300), sizes), (std::vector<int64_t>{100, 200, 0}));
}

TEST(Mixture, IsAFunctionOfSeedAndEpoch) {
  const std::vector<int64_t> sizes{40, 10};
  const auto order = mixture_order(sizes, {1, 1}, 1, 5);
  EXPECT_EQ(order, mixture_order(sizes, {1, 1}, 1, 5));
  EXPECT_NE(order, mixture_order(sizes, {1, 1}, 2, 5));
  EXPECT_NE(order, mixture_order(sizes, {1, 1}, 1, 6));
}

TEST(Mixture, EverySampleComesOnceBeforeOneComesAgain) {
  const std::vector<int64_t> sizes{40, 10};
  std::map<int64_t, int> seen;
  for (int64_t epoch = 0; epoch < 8; ++epoch) {  // 25 each per epoch: 200 of 40 and 200 of 10
    for (const int64_t index : mixture_order(sizes, {1, 1}, 7, epoch)) ++seen[index];
    const int64_t large = 25 * (epoch + 1), small = 25 * (epoch + 1);
    for (const auto& [index, count] : seen) {
      const int64_t size = index < 40 ? 40 : 10, drawn = index < 40 ? large : small;
      EXPECT_GE(count, drawn / size);
      EXPECT_LE(count, drawn / size + 1);
    }
  }
  EXPECT_EQ(seen.size(), 50U);
}

TEST(Mixture, SourcesAreMixedWithinAnEpoch) {
  const auto order = mixture_order({500, 500}, {1, 1}, 1, 0);
  int64_t switches = 0;
  for (size_t i = 1; i < order.size(); ++i) switches += (order[i] < 500) != (order[i - 1] < 500);
  EXPECT_GT(switches, 400);
}

TEST(Mixture, OccurrencesCountWhatCameBefore) {
  EXPECT_EQ(occurrences({3, 1, 3, 3, 0, 1}), (std::vector<int64_t>{0, 0, 1, 2, 0, 1}));
  EXPECT_TRUE(occurrences({}).empty());
}

TEST(Mixture, WeightsThatDoNotFitAreRefused) {
  for (const std::vector<double>& weights : {std::vector<double>{1}, {1, -1}, {0, 0}}) {
    const Error error = test::error_of([&] { mixture_order({2, 2}, weights, 1, 0); });
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_TRUE(test::contains(error.what(), "data.weights"));
  }
}

}  // namespace
}  // namespace vmae::data
