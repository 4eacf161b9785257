#include "vmae/core/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace vmae {
namespace {

TEST(Parallel, DoesEveryIndexOnce) {
  for (const int threads : {0, 1, 2, 7}) {
    for (const int64_t n : {0, 1, 5, 1000}) {
      std::vector<int> done(static_cast<size_t>(n));
      parallel_for(n, threads, [&](int64_t i) { ++done[static_cast<size_t>(i)]; });
      EXPECT_EQ(done, std::vector<int>(static_cast<size_t>(n), 1));
    }
  }
}

// Three calls that wait for each other: only three threads can end them.
TEST(Parallel, UsesAsManyThreadsAsAsked) {
  std::atomic<int> arrived{0};
  std::mutex mutex;
  std::set<std::thread::id> ids;
  parallel_for(3, 3, [&](int64_t) {
    {
      const std::lock_guard lock(mutex);
      ids.insert(std::this_thread::get_id());
    }
    ++arrived;
    while (arrived < 3) std::this_thread::yield();
  });
  EXPECT_EQ(ids.size(), 3U);
  EXPECT_TRUE(ids.contains(std::this_thread::get_id()));
  const std::thread::id caller = std::this_thread::get_id();
  parallel_for(20, 1, [&](int64_t) { EXPECT_EQ(std::this_thread::get_id(), caller); });
}

TEST(Parallel, ThrowsTheExceptionOfTheLowestIndex) {
  std::atomic<int> begun{0};
  for (const int threads : {1, 2, 4}) {
    std::atomic<int> waiting{0};
    try {
      parallel_for(100'000, threads, [&](int64_t i) {
        ++begun;
        if (i >= threads) return;
        ++waiting;
        while (waiting < threads && threads > 1) std::this_thread::yield();  // the first ones fail together
        throw std::runtime_error(std::to_string(i));
      });
      FAIL() << "threw nothing";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "0");
    }
  }
  EXPECT_LT(begun, 100);  // no further index is begun
}

}  // namespace
}  // namespace vmae
