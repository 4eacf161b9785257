#include "vmae/core/counting.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace vmae {
namespace {

// Told to a listener that forgets nothing, and to nobody afterwards.
struct Listened {
  Listened() {
    set_counting_listener([this](const Counted& counted) { told.push_back(counted); });
  }
  ~Listened() { set_counting_listener({}); }
  std::vector<Counted> told;
};

TEST(Counting, TellsTheEndWithWhatWasDone) {
  Listened listened;
  {
    Counting counting("masks", 100);
    counting.add(40);
    counting.add();
  }
  ASSERT_FALSE(listened.told.empty());
  const Counted& last = listened.told.back();
  EXPECT_TRUE(last.is_over);
  EXPECT_EQ(last.what, "masks");
  EXPECT_EQ(last.done, 41);
  EXPECT_EQ(last.total, 100);
}

TEST(Counting, CountsOverThreadsAndTellsNowAndThen) {
  Listened listened;
  constexpr int64_t kThreads = 4, kEach = 20000;
  {
    Counting counting("files", kThreads * kEach);
    std::vector<std::jthread> threads;
    for (int64_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (int64_t i = 0; i < kEach; ++i) counting.add();
      });
    }
  }
  EXPECT_EQ(listened.told.back().done, kThreads * kEach);
  EXPECT_LT(listened.told.size(), 1000U);
}

TEST(Counting, NeedsNoListener) {
  Counting counting("files", 3);
  counting.add(3);
}

}  // namespace
}  // namespace vmae
