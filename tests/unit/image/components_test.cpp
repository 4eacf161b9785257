#include "vmae/image/components.h"

#include <gtest/gtest.h>

#include <vector>

namespace vmae::io {
namespace {

TEST(Components, KeepsTheLargestOfEachLabel) {
  // 6 x 3 picture: two parts of 1 (3 and 2 pixels), two of 2 (1 and 2, joined by a corner).
  std::vector<uint8_t> labels{1, 1, 0, 0, 1, 1,  //
                              1, 0, 2, 0, 0, 0,  //
                              0, 0, 0, 2, 0, 2};
  keep_largest_components(labels, {6, 3, 1});
  EXPECT_EQ(labels, (std::vector<uint8_t>{1, 1, 0, 0, 0, 0,  //
                                          1, 0, 2, 0, 0, 0,  //
                                          0, 0, 0, 2, 0, 0}));
}

TEST(Components, ConnectsAcrossSlicesAndTakesTheFirstOfEqualOnes) {
  std::vector<uint8_t> labels{3, 0, 0, 3,  //
                              0, 0, 0, 0,  // z = 0
                              0, 3, 3, 0,  //
                              0, 0, 0, 0};
  std::vector<uint8_t> all = labels;
  keep_largest_components(all, {4, 2, 2});  // the corners touch the middle of the next slice
  EXPECT_EQ(all, labels);
  std::vector<uint8_t> two{5, 0, 5};
  keep_largest_components(two, {3, 1, 1});
  EXPECT_EQ(two, (std::vector<uint8_t>{5, 0, 0}));
}

}  // namespace
}  // namespace vmae::io
