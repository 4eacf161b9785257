#include "vmae/tasks/neighbours.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "vmae/stats/auroc.h"

namespace vmae::run {
namespace {

// n images of two classes, one after the other, around (+-distance, 0, ...), which exclude each other.
LabelledFeatures two_clouds(int64_t n, double distance) {
  const at::Tensor is_second = (at::arange(n) % 2).to(at::kFloat);
  LabelledFeatures images{at::randn({n, 6}), at::stack({1 - is_second, is_second}, 1)};
  images.features.select(1, 0).add_((2 * is_second - 1) * distance);
  return images;
}

TEST(NeighbourAuroc, TellsClassesThatLieApart) {
  torch::manual_seed(4);
  EXPECT_GT(neighbour_auroc(two_clouds(100, 6.0), two_clouds(80, 6.0)), 0.999);
}

// Also of few images, and where all features are nearly the same, as early in training.
TEST(NeighbourAuroc, IsAHalfWhereFeaturesSayNothing) {
  torch::manual_seed(5);
  for (const int64_t n : {8, 16, 24, 200}) {
    double sum = 0;
    constexpr int kRepeats = 40;
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
      LabelledFeatures images = two_clouds(n, 0.0), bank = two_clouds(n, 0.0);
      for (LabelledFeatures* one : {&images, &bank}) one->features = 1.0 + 0.01 * one->features;
      sum += neighbour_auroc(images, bank) / kRepeats;
    }
    EXPECT_NEAR(sum, 0.5, 0.12) << n;
  }
}

// By hand, of a label that is not known everywhere.
TEST(NeighbourAuroc, EqualsItsDefinition) {
  torch::manual_seed(6);
  LabelledFeatures images = two_clouds(24, 0.7), bank = two_clouds(30, 0.7);
  for (LabelledFeatures* one : {&images, &bank}) {
    one->labels = one->labels.slice(1, 1).clone();
    one->labels[5].fill_(std::numeric_limits<float>::quiet_NaN());
  }
  const auto unit = [](const at::Tensor& row) { return row.to(at::kDouble) / row.to(at::kDouble).norm(); };
  std::vector<double> scores;
  std::vector<uint8_t> truth;
  for (int64_t i = 0; i < 24; ++i) {
    if (i == 5) continue;
    std::vector<std::pair<double, double>> others;
    for (int64_t j = 0; j < 30; ++j) {
      if (j != 5)
        others.emplace_back(unit(images.features[i]).dot(unit(bank.features[j])).item<double>(),
                            bank.labels[j][0].item<double>());
    }
    std::sort(others.begin(), others.end(), std::greater<>());
    double above = 0, below = 0;
    for (size_t k = 0; k < 20; ++k) {
      above += std::exp(others[k].first / 0.07) * others[k].second;
      below += std::exp(others[k].first / 0.07);
    }
    scores.push_back(above / below);
    truth.push_back(images.labels[i][0].item<float>() > 0 ? 1 : 0);
  }
  EXPECT_NEAR(neighbour_auroc(images, bank), stats::auroc(scores, truth), 1e-9);
}

TEST(NeighbourAuroc, IsNotMeasuredWhereItHasNoMeaning) {
  torch::manual_seed(7);
  const LabelledFeatures bank = two_clouds(10, 1.0);
  LabelledFeatures images = two_clouds(10, 1.0);
  images.labels = bank.labels.slice(0, 0, 1).expand({10, 2});
  EXPECT_TRUE(std::isnan(neighbour_auroc(images, bank))) << "one class";
  images = two_clouds(10, 1.0);
  images.features[3][0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(neighbour_auroc(images, bank)));
  EXPECT_TRUE(std::isnan(neighbour_auroc({at::randn({0, 6}), at::full({0, 2}, 0.0)}, bank)));
}

}  // namespace
}  // namespace vmae::run
