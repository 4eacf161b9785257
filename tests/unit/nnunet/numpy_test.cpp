#include "vmae/nnunet/numpy.h"

#include <gtest/gtest.h>

namespace vmae::nnunet {
namespace {

// numpy.random.RandomState(1234).randint(0, count, 8), one count after the other.
TEST(NumPy, DrawsTheSameIndices) {
  RandomState random(1234);
  const std::vector<std::pair<uint64_t, std::vector<uint32_t>>> drawn{
      {10ULL, {3U, 6U, 5U, 4U, 8U, 9U, 1U, 7U}},
      {1ULL, {0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U}},
      {2ULL, {1U, 0U, 0U, 1U, 0U, 0U, 0U, 0U}},
      {1000ULL, {374U, 442U, 120U, 880U, 476U, 325U, 336U, 969U}},
      {65536ULL, {51583U, 49398U, 2558U, 36271U, 38450U, 3824U, 22267U, 21580U}},
      {65537ULL, {50682U, 23691U, 39552U, 21225U, 12107U, 50434U, 17683U, 60300U}},
      {3000000000ULL,
       {2797647809U, 1944459723U, 1705972083U, 2311327339U, 1360800782U, 2000751859U, 2439965127U, 1869737788U}},
      {4294967296ULL,
       {3732873706U, 2445892203U, 1873350574U, 4162935708U, 3445197905U, 174187351U, 617473805U, 2354155636U}},
  };
  for (const auto& [count, expected] : drawn) {
    std::vector<uint32_t> indices;
    random.draw_indices(count, 8, [&](uint32_t index) { indices.push_back(index); });
    EXPECT_EQ(indices, expected) << count;
  }
}

// numpy.sum of numbers whose sum depends on the order: float32(1) / float32(i + 1)
TEST(NumPy, AddsInTheSameOrder) {
  const auto single = [](size_t i) { return 1.0F / static_cast<float>(i + 1); };
  const auto twice = [](size_t i) { return 1.0 / static_cast<double>(i + 1); };
  EXPECT_EQ(pairwise_sum<float>(single, 0, 1), 1.0F);
  EXPECT_EQ(pairwise_sum<double>(twice, 0, 1), 1.0);
  EXPECT_EQ(pairwise_sum<float>(single, 0, 7), 2.5928573608398438F);
  EXPECT_EQ(pairwise_sum<double>(twice, 0, 7), 2.5928571428571425);
  EXPECT_EQ(pairwise_sum<float>(single, 0, 8), 2.7178573608398438F);
  EXPECT_EQ(pairwise_sum<double>(twice, 0, 8), 2.7178571428571425);
  EXPECT_EQ(pairwise_sum<float>(single, 0, 100), 5.187378406524658F);
  EXPECT_EQ(pairwise_sum<double>(twice, 0, 100), 5.187377517639621);
  EXPECT_EQ(pairwise_sum<float>(single, 0, 128), 5.433147430419922F);
  EXPECT_EQ(pairwise_sum<double>(twice, 0, 128), 5.433147092589173);
  EXPECT_EQ(pairwise_sum<float>(single, 0, 129), 5.440899848937988F);
  EXPECT_EQ(pairwise_sum<double>(twice, 0, 129), 5.440899030573669);
  EXPECT_EQ(pairwise_sum<float>(single, 0, 1000), 7.485471725463867F);
  EXPECT_EQ(pairwise_sum<double>(twice, 0, 1000), 7.485470860550345);
  EXPECT_EQ(pairwise_sum<float>(single, 0, 4099), 8.89583683013916F);
  EXPECT_EQ(pairwise_sum<double>(twice, 0, 4099), 8.895835961417054);
  EXPECT_EQ(pairwise_sum<float>(single, 0, 100003), 12.090176582336426F);
  EXPECT_EQ(pairwise_sum<double>(twice, 0, 100003), 12.090176129263444);
}

TEST(NumPy, InterpolatesPercentiles) {
  EXPECT_EQ(percentile({0.7, 0.30000000000000004, 1.9, 0.65, 12.1}, 0), 0.30000000000000004);
  EXPECT_EQ(percentile({0.7, 0.30000000000000004, 1.9, 0.65, 12.1}, 10), 0.44000000000000006);
  EXPECT_EQ(percentile({0.7, 0.30000000000000004, 1.9, 0.65, 12.1}, 33.3), 0.6666);
  EXPECT_EQ(percentile({0.7, 0.30000000000000004, 1.9, 0.65, 12.1}, 50), 0.7);
  EXPECT_EQ(percentile({0.7, 0.30000000000000004, 1.9, 0.65, 12.1}, 90), 8.02);
  EXPECT_EQ(percentile({0.7, 0.30000000000000004, 1.9, 0.65, 12.1}, 99.5), 11.895999999999999);
  EXPECT_EQ(percentile({0.7, 0.30000000000000004, 1.9, 0.65, 12.1}, 100), 12.1);
  EXPECT_EQ(percentile({0.7, 0.30000000000000004}, 50), 0.5);
  EXPECT_EQ(percentile({0.7, 0.30000000000000004, 1.9, 0.65}, 50), 0.675);
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 3.5}), 2.75);
}

TEST(NumPy, RoundsHalvesToEven) {
  EXPECT_EQ(round_half_even(0.5), 0);
  EXPECT_EQ(round_half_even(1.5), 2);
  EXPECT_EQ(round_half_even(2.5), 2);
  EXPECT_EQ(round_half_even(2.500001), 3);
}

}  // namespace
}  // namespace vmae::nnunet
