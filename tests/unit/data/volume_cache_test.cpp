#include "../../../src/data/volume_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "support/errors.h"

namespace vmae::data {
namespace {

// A volume of `bytes` bytes, counted when it is read.
auto reader(size_t bytes, std::atomic<int>& num_reads) {
  return [bytes, &num_reads] {
    ++num_reads;
    CachedVolume read;
    read.volume.stored.resize(bytes);
    return read;
  };
}

TEST(VolumeCache, ForgetsTheLeastRecentlyUsed) {
  VolumeCache cache(250);
  std::atomic<int> num_reads = 0;
  for (const size_t file : {1, 2, 1, 3, 1}) cache.get(file, reader(100, num_reads));  // 3 drives out 2
  EXPECT_EQ(num_reads, 3);
  cache.get(2, reader(100, num_reads));  // drives out 3
  EXPECT_EQ(num_reads, 4);
  cache.get(1, reader(100, num_reads));
  EXPECT_EQ(num_reads, 4);
  cache.get(3, reader(100, num_reads));
  EXPECT_EQ(num_reads, 5);
}

TEST(VolumeCache, AVolumeLargerThanTheCacheIsStillGiven) {
  VolumeCache cache(250);
  std::atomic<int> num_reads = 0;
  EXPECT_EQ(cache.get(1, reader(1000, num_reads))->volume.stored.size(), 1000U);
  cache.get(1, reader(1000, num_reads));
  EXPECT_EQ(num_reads, 1);
  cache.get(2, reader(100, num_reads));
  cache.get(2, reader(100, num_reads));
  EXPECT_EQ(num_reads, 2);
}

TEST(VolumeCache, ThreadsWaitForTheOneThatReads) {
  VolumeCache cache(1000);
  std::atomic<int> num_reads = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 5; ++t) {
    threads.emplace_back([&] {
      const auto volume = cache.get(1, [&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        return reader(100, num_reads)();
      });
      EXPECT_EQ(volume->volume.stored.size(), 100U);
    });
  }
  threads.clear();
  EXPECT_EQ(num_reads, 1);
}

TEST(VolumeCache, AFailureIsKeptIfTheDataAreToBlame) {
  VolumeCache cache(1000);
  std::atomic<int> num_reads = 0;
  const auto failing = [&](ExitCode code) {
    return [&num_reads, code]() -> CachedVolume {
      ++num_reads;
      throw Error(code, "why", "hint");
    };
  };
  for (const int repeat : {0, 1}) {
    const Error error = test::error_of([&] { cache.get(1, failing(ExitCode::data)); });
    EXPECT_EQ(error.hint(), "hint") << repeat;
  }
  EXPECT_EQ(num_reads, 1);
  EXPECT_EQ(test::error_of([&] { cache.get(2, failing(ExitCode::internal)); }).code(), ExitCode::internal);
  EXPECT_NO_THROW(cache.get(2, reader(100, num_reads)));
}

}  // namespace
}  // namespace vmae::data
