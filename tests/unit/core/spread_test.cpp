#include "vmae/core/spread.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace vmae {
namespace {

using Numbers = std::vector<int64_t>;

TEST(Spread, TheMiddleOfEqualParts) {
  EXPECT_EQ(evenly_spread(9, 3), (Numbers{1, 4, 7}));
  EXPECT_EQ(evenly_spread(10, 4), (Numbers{1, 3, 6, 8}));
  EXPECT_EQ(evenly_spread(7, 1), Numbers{3});
}

TEST(Spread, AllOfAFewAndNoneOfNone) {
  EXPECT_EQ(evenly_spread(3, 3), (Numbers{0, 1, 2}));
  EXPECT_EQ(evenly_spread(2, 30), (Numbers{0, 1}));
  EXPECT_TRUE(evenly_spread(0, 5).empty());
  EXPECT_TRUE(evenly_spread(5, 0).empty());
}

TEST(Spread, RisesWithinTheRangeWhateverTheSizes) {
  for (int64_t count = 1; count < 60; ++count) {
    for (int64_t most = 1; most < 60; ++most) {
      const Numbers chosen = evenly_spread(count, most);
      ASSERT_EQ(std::ssize(chosen), std::min(count, most));
      ASSERT_GE(chosen.front(), 0);
      ASSERT_LT(chosen.back(), count);
      ASSERT_TRUE(std::adjacent_find(chosen.begin(), chosen.end(), std::greater_equal<>()) == chosen.end());
    }
  }
}

}  // namespace
}  // namespace vmae
