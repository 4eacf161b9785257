#include "vmae/tasks/neighbours.h"

#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

#include "vmae/core/text.h"
#include "vmae/stats/auroc.h"

namespace vmae::run {
namespace {

// n images of two classes around (+-distance, 0, ...), `per_group` of each group.
NeighbourImages two_clouds(int64_t n, double distance, int64_t per_group) {
  torch::manual_seed(4);
  NeighbourImages images{at::randn({n, 6}), {}, {}};
  for (int64_t i = 0; i < n; ++i) {
    const bool is_second = i / per_group % 2 == 1;
    images.features[i][0] += is_second ? distance : -distance;
    images.labels.push_back(is_second ? std::vector<float>{0, 1} : std::vector<float>{1, 0});
    images.groups.push_back(concat(i / per_group));
  }
  return images;
}

TEST(NeighbourAuroc, TellsClassesThatLieApart) {
  EXPECT_GT(neighbour_auroc(two_clouds(200, 6.0, 1)), 0.999);
  EXPECT_NEAR(neighbour_auroc(two_clouds(400, 0.0, 1)), 0.5, 0.1);
}

// Images of one patient look alike; that they have the same label says nothing.
TEST(NeighbourAuroc, ImagesOfOneGroupAreNoNeighbours) {
  NeighbourImages images = two_clouds(200, 0.0, 10);
  for (int64_t i = 0; i < 200; ++i)
    images.features[i] +=
        20 * at::randn({6}, at::kFloat) * 0 + 30.0 * std::sin(7.0 * static_cast<double>(i / 10)) *
                                                  at::tensor({1.0, 0.5, -1.0, 2.0, 0.3, -0.7}).to(at::kFloat);
  const double honest = neighbour_auroc(images);
  for (int64_t i = 0; i < 200; ++i) images.groups[static_cast<size_t>(i)] = concat("own ", i);
  EXPECT_GT(neighbour_auroc(images), honest + 0.1);
}

// By hand, in double: one label, few images, unknown ones left out.
TEST(NeighbourAuroc, EqualsItsDefinition) {
  NeighbourImages images = two_clouds(24, 0.7, 2);
  for (auto& row : images.labels) row = {row[1]};
  images.labels[5] = {std::nanf("")};
  const at::Tensor x = images.features.to(at::kDouble), unit = x / x.norm(2, 1, true);
  std::vector<double> scores;
  std::vector<uint8_t> truth;
  for (int64_t i = 0; i < 24; ++i) {
    if (i == 5) continue;
    double above = 0, below = 0;  // 21 others at most are of other groups: 20 nearest of them
    std::vector<std::pair<double, float>> others;
    for (int64_t j = 0; j < 24; ++j) {
      if (j == 5 || j / 2 == i / 2) continue;
      others.emplace_back(unit[i].dot(unit[j]).item<double>(), images.labels[static_cast<size_t>(j)][0]);
    }
    std::sort(others.begin(), others.end(), std::greater<>());
    others.resize(std::min<size_t>(20, others.size()));
    for (const auto& [similarity, label] : others) {
      above += std::exp(similarity / 0.07) * label;
      below += std::exp(similarity / 0.07);
    }
    scores.push_back(above / below);
    truth.push_back(images.labels[static_cast<size_t>(i)][0] > 0 ? 1 : 0);
  }
  EXPECT_NEAR(neighbour_auroc(images), stats::auroc(scores, truth), 1e-9);
}

TEST(NeighbourAuroc, IsNotMeasuredWhereThereIsOneClass) {
  NeighbourImages images = two_clouds(10, 1.0, 1);
  for (auto& row : images.labels) row = {1, 0};
  EXPECT_TRUE(std::isnan(neighbour_auroc(images)));
  EXPECT_TRUE(std::isnan(neighbour_auroc({at::randn({3, 2}), {{}, {}, {}}, {"a", "b", "c"}})));
}

}  // namespace
}  // namespace vmae::run
