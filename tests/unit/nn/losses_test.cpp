// Losses against torch's own modules and against sums over pixels written out.
#include <gtest/gtest.h>
#include <torch/nn/functional/loss.h>

#include "vmae/nn/losses.h"

namespace vmae::nn {
namespace {

namespace F = torch::nn::functional;

struct Case {
  at::Tensor logits = at::randn({3, 4, 8, 6}), mask = at::randint(0, 3, {3, 8, 6}).to(at::kByte);  // class 3 is nowhere
};

double value(const Case& c, const SegmentationLossOptions& options, const at::Tensor& weights = {},
             int64_t ignore = -1) {
  return segmentation_loss(c.logits, c.mask, options, weights, ignore).item<double>();
}

// 1 - mean over the classes that are there of (2 I + s) / (P + T + s), over the pixels that count.
double dice_by_hand(const Case& c, int64_t ignore, bool is_squared) {
  const at::Tensor p = at::softmax(c.logits, 1);
  double sum = 0;
  int64_t classes = 0;
  for (int64_t k = 1; k < 4; ++k) {
    double both = 0, predicted = 0, volume = 0;
    for (int64_t b = 0; b < 3; ++b)
      for (int64_t y = 0; y < 8; ++y)
        for (int64_t x = 0; x < 6; ++x) {
          const auto label = c.mask[b][y][x].item<int64_t>();
          if (label == ignore) continue;
          const auto q = p[b][k][y][x].item<double>();
          both += label == k ? q : 0;
          volume += label == k ? 1 : 0;
          predicted += is_squared ? q * q : q;
        }
    if (volume == 0) continue;
    sum += 1 - (2 * both + 1e-5) / (predicted + volume + 1e-5);
    ++classes;
  }
  return sum / static_cast<double>(classes);
}

TEST(Losses, CrossEntropyIsTorchs) {
  torch::manual_seed(1);
  const Case c;
  const at::Tensor target = c.mask.to(at::kLong), weights = at::tensor({0.2, 1.0, 3.0, 1.0}, at::kFloat);
  EXPECT_NEAR(value(c, {.name = "ce"}), F::cross_entropy(c.logits, target).item<double>(), 1e-6);
  EXPECT_NEAR(value(c, {.name = "ce"}, weights),
              F::cross_entropy(c.logits, target, F::CrossEntropyFuncOptions().weight(weights)).item<double>(), 1e-6);
  EXPECT_NEAR(
      value(c, {.name = "ce"}, weights, 2),
      F::cross_entropy(c.logits, target, F::CrossEntropyFuncOptions().weight(weights).ignore_index(2)).item<double>(),
      1e-6);
  EXPECT_NEAR(value(c, {.name = "focal", .focal_gamma = 0}), value(c, {.name = "ce"}), 1e-7);
  EXPECT_LT(value(c, {.name = "focal"}), value(c, {.name = "ce"}));
}

// TransUNet's: the mean over all classes, of which one is nowhere, of 1 - (2 I + s) / (sum p^2 + sum t^2 + s).
TEST(Losses, AbsentClassesAndBackgroundCount) {
  torch::manual_seed(3);
  const Case c;
  const at::Tensor p = at::softmax(c.logits, 1), t = at::one_hot(c.mask.to(at::kLong), 4).permute({0, 3, 1, 2});
  at::Tensor sum = at::zeros({});
  for (int64_t k = 0; k < 4; ++k) {
    const at::Tensor q = p.select(1, k), r = t.select(1, k).to(at::kFloat);
    sum = sum + 1 - (2 * (q * r).sum() + 1e-5) / (q.square().sum() + r.sum() + 1e-5);
  }
  const SegmentationLossOptions options{
      .dice = "squared", .dice_weight = 0.5, .ce_weight = 0.5, .include_background = true, .absent_classes = true};
  EXPECT_NEAR(value(c, options), (sum / 8).item<double>() + 0.5 * value(c, {.name = "ce"}), 1e-6);
}

TEST(Losses, DiceIsTheFormula) {
  torch::manual_seed(2);
  const Case c;
  for (const int64_t ignore : {-1, 1}) {
    EXPECT_NEAR(value(c, {.name = "dice"}, {}, ignore), dice_by_hand(c, ignore, false), 1e-5);
    EXPECT_NEAR(value(c, {.name = "dice", .dice = "squared"}, {}, ignore), dice_by_hand(c, ignore, true), 1e-5);
  }
  EXPECT_NEAR(value(c, {}), value(c, {.name = "ce"}) + value(c, {.name = "dice"}), 1e-6);
  EXPECT_NEAR(value(c, {.dice_weight = 0.5, .ce_weight = 2}),
              2 * value(c, {.name = "ce"}) + 0.5 * value(c, {.name = "dice"}), 1e-6);
  const double generalised = value(c, {.name = "dice", .dice = "generalised"});
  EXPECT_GT(generalised, 0.0);
  EXPECT_LT(generalised, 1.0);
}

TEST(Losses, EmptyAndIgnoredSlicesAskNothingOfDice) {
  Case c;
  c.mask = at::zeros({3, 8, 6}, at::kByte);
  c.logits.requires_grad_();
  for (const char* dice : {"soft", "squared", "generalised"})
    EXPECT_EQ(value(c, {.name = "dice", .dice = dice}), 0.0) << dice;
  c.mask.fill_(255);
  const at::Tensor loss = segmentation_loss(c.logits, c.mask, {}, {}, 255);
  EXPECT_EQ(loss.item<double>(), 0.0);
  loss.backward();
  EXPECT_EQ(c.logits.grad().abs().max().item<double>(), 0.0);
}

TEST(Losses, PerfectPredictionHasNoLoss) {
  Case c;
  c.logits = at::one_hot(c.mask.to(at::kLong), 4).permute({0, 3, 1, 2}).to(at::kFloat) * 100;
  for (const char* name : {"dice_ce", "dice", "ce", "focal", "dice_focal"})
    EXPECT_NEAR(value(c, {.name = name}), 0.0, 1e-5) << name;
  EXPECT_NEAR(value(c, {.name = "dice", .dice = "generalised"}), 0.0, 1e-5);
}

TEST(Losses, ClassesAreTorchsAndUnknownRowsDoNotCount) {
  torch::manual_seed(3);
  const at::Tensor logits = at::randn({6, 5}), target = at::randint(0, 5, {6});
  at::Tensor labels = at::one_hot(target, 5).to(at::kFloat);
  const at::Tensor weights = at::rand({5}) + 0.5;
  for (const double smoothing : {0.0, 0.1}) {
    const auto options = F::CrossEntropyFuncOptions().label_smoothing(smoothing).weight(weights);
    EXPECT_NEAR(multi_class_loss(logits, labels, smoothing, weights).item<double>(),
                F::cross_entropy(logits, target, options).item<double>(), 1e-6);
    at::Tensor with_unknown = labels.clone();
    with_unknown[2].fill_(NAN);
    const at::Tensor known = at::tensor({0, 1, 3, 4, 5}, at::kLong);
    EXPECT_NEAR(multi_class_loss(logits, with_unknown, smoothing, weights).item<double>(),
                F::cross_entropy(logits.index({known}), target.index({known}), options).item<double>(), 1e-6);
  }
}

TEST(Losses, FindingsAreTorchsAndUnknownEntriesDoNotCount) {
  torch::manual_seed(4);
  const at::Tensor logits = at::randn({6, 3}, at::kFloat).requires_grad_(),
                   positive = at::tensor({1.0, 4.0, 0.5}, at::kFloat);
  at::Tensor labels = at::randint(0, 2, {6, 3}).to(at::kFloat);
  EXPECT_NEAR(multi_label_loss(logits, labels, positive).item<double>(),
              F::binary_cross_entropy_with_logits(logits, labels,
                                                  F::BinaryCrossEntropyWithLogitsFuncOptions().pos_weight(positive))
                  .item<double>(),
              1e-6);
  labels[1][2] = NAN;
  labels[4].fill_(NAN);
  const at::Tensor loss = multi_label_loss(logits, labels, {});
  loss.backward();
  EXPECT_EQ(logits.grad()[1][2].item<double>(), 0.0);
  EXPECT_EQ(logits.grad()[4].abs().sum().item<double>(), 0.0);
  EXPECT_EQ(multi_label_loss(logits, at::full({6, 3}, NAN), {}).item<double>(), 0.0);
}

}  // namespace
}  // namespace vmae::nn
