#include "../../../src/ranks/device_of_rank.h"

#include <gtest/gtest.h>

#include "support/errors.h"

namespace vmae::train {
namespace {

const DeviceOfRank kCpu{"a", "cpu", ""};
DeviceOfRank gpu(const std::string& host, const std::string& uuid) { return {host, "cuda", uuid}; }

TEST(DeviceOfRank, AllOfAKindAndNoneTwice) {
  require_fitting_devices({kCpu});
  require_fitting_devices({kCpu, kCpu, kCpu});
  require_fitting_devices({gpu("a", "1"), gpu("a", "2"), gpu("b", "3")});
}

TEST(DeviceOfRank, NamesRanksWithoutAGpu) {
  const Error error = test::error_of([] { require_fitting_devices({gpu("b", "1"), kCpu, gpu("b", "2"), kCpu}); });
  EXPECT_EQ(error.code(), ExitCode::usage);
  EXPECT_TRUE(test::contains(error.what(), "ranks 1 (a), 3 (a) found no GPU, but ranks 0 (b), 2 (b) did"));
}

TEST(DeviceOfRank, NamesRanksThatShareAGpu) {
  const Error error = test::error_of([] {
    require_fitting_devices({gpu("a", "1"), gpu("a", "2"), gpu("a", "1"), gpu("b", "3")});
  });
  EXPECT_EQ(error.code(), ExitCode::usage);
  EXPECT_TRUE(test::contains(error.what(), "ranks 0 (a), 2 (a) would train on one and the same GPU"));
}

}  // namespace
}  // namespace vmae::train
