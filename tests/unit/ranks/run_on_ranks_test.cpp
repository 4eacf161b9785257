#include "vmae/ranks/run_on_ranks.h"

#include <c10/util/Exception.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "support/free_port.h"

namespace vmae::run {
namespace {

void set(const char* name, int64_t value) { setenv(name, std::to_string(value).c_str(), /*overwrite=*/1); }

// Of two processes; in rank 1 a thread ends as NCCL's watcher does, while rank 0 waits.
template <class Thrower>
void end_a_thread_of_rank_one(const Thrower& thrower) {
  set("MASTER_PORT", test::free_port());
  setenv("MASTER_ADDR", "127.0.0.1", /*overwrite=*/1);
  set("WORLD_SIZE", 2);
  set("LOCAL_WORLD_SIZE", 2);
  const int64_t rank = fork() == 0 ? 1 : 0;
  set("RANK", rank);
  set("LOCAL_RANK", rank);
  run_on_ranks([&](train::World& world) {
    world.connect(at::kCPU, /*timeout_s=*/20);
    if (world.rank() == 1) std::thread(thrower).join();
    std::this_thread::sleep_for(std::chrono::seconds(30));
    return ExitCode::ok;
  });
  std::_Exit(99);
}

TEST(RunOnRanksDeathTest, WhatEndsAThreadEndsAllRanksWithAWord) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(end_a_thread_of_rank_one([] { TORCH_CHECK_WITH(DistBackendError, false, "NCCL aborted"); }),
              testing::ExitedWithCode(1), "lost contact.*an exchange between GPUs failed: NCCL aborted");
  EXPECT_EXIT(end_a_thread_of_rank_one([] { throw Error(ExitCode::data, "a bad case"); }), testing::ExitedWithCode(3),
              "rank 1 of 2 .*: a bad case");
}

}  // namespace
}  // namespace vmae::run
