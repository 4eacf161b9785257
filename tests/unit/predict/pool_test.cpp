#include "vmae/predict/pool.h"

#include <gtest/gtest.h>

namespace vmae::run {
namespace {

TEST(CasePool, MeanAndMax) {
  CasePool mean, max;
  for (const auto& slice : {std::vector<double>{0.2, 0.8}, {0.6, 0.4}}) mean.add(slice, "mean"), max.add(slice, "max");
  EXPECT_EQ(mean.num_slices(), 2);
  EXPECT_DOUBLE_EQ(mean.result(false)[0], 0.4);
  EXPECT_DOUBLE_EQ(max.result(true)[0], 0.6);
  EXPECT_DOUBLE_EQ(max.result(false)[0], 0.6 / 1.4);  // classes exclude each other: the sum is 1
  EXPECT_DOUBLE_EQ(max.result(false)[0] + max.result(false)[1], 1.0);
}

}  // namespace
}  // namespace vmae::run
