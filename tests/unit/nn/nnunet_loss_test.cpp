// nnU-Net's loss against nnunetv2's own classes (tests/golden/make_nnunet_loss.py), and over ranks.
#include "vmae/nn/nnunet_loss.h"

#include <gtest/gtest.h>

#include "support/golden.h"
#include "support/nnunet_nets.h"
#include "support/ranks.h"
#include "support/tensors.h"

namespace vmae::nn {
namespace {

using nlohmann::json;
using test::golden_json;

constexpr int64_t kIgnored = 255;

struct NnUnetLossCase {
  std::string name;
  at::Tensor mask;                 // (2, H, W) uint8
  std::vector<at::Tensor> logits;  // leaves
  NnUnetLossOptions options;
};

at::Tensor mask_of_case(const json& entry, const std::vector<int64_t>& size) {
  const at::Tensor numbers = test::golden_image(20, {2, size[0], size[1]});
  at::Tensor mask = (numbers * 10).abs().floor().remainder(entry.at("labels").get<int64_t>());
  for (const int64_t value : entry.at("absent")) mask.masked_fill_(mask == value, 0);
  for (const int64_t value : entry.at("absent_first")) mask[0].masked_fill_(mask[0] == value, 0);
  if (entry.at("ignored") == "all") {
    mask.fill_(kIgnored);
  } else {
    for (const int64_t sample : entry.at("ignored")) mask[sample].masked_fill_(numbers[sample] < 0.3, kIgnored);
  }
  return mask.to(at::kByte);
}

NnUnetLossCase case_of(const json& entry) {
  const auto size = entry.at("size").get<std::vector<int64_t>>();
  NnUnetLossCase one{.name = entry.at("name"), .mask = mask_of_case(entry, size), .logits = {}, .options = {}};
  one.options.regions = entry.at("regions").get<std::vector<std::vector<int64_t>>>();
  one.options.ignore = entry.at("ignored").empty() ? -1 : kIgnored;
  one.options.batch_dice = entry.at("batch_dice");
  const int64_t heads =
      one.options.regions.empty() ? entry.at("labels").get<int64_t>() : std::ssize(one.options.regions);
  int64_t rows = size[0], columns = size[1];
  for (const auto& stride : entry.at("strides")) {
    rows /= stride[0].get<int64_t>();
    columns /= stride[1].get<int64_t>();
    const uint64_t seed = 21 + one.logits.size();
    one.logits.push_back((2 * test::golden_image(seed, {2, heads, rows, columns})).requires_grad_());
  }
  return one;
}

void expect_gradient(const at::Tensor& actual, const at::Tensor* expected, const std::string& where) {
  if (expected == nullptr) {
    EXPECT_FALSE(actual.defined()) << where << ": a level of weight 0 is not looked at";
    return;
  }
  ASSERT_TRUE(actual.defined()) << where;
  const double largest = expected->abs().max().item<double>();
  EXPECT_LE(test::max_abs_difference(actual, *expected), 1e-5 * largest) << where;
}

TEST(NnUnetLoss, ValuesAndGradientsEqualNnUnets) {
  const auto io = test::golden("nnunet_loss_io");
  for (const json& entry : golden_json("nnunet_loss")) {
    NnUnetLossCase one = case_of(entry);
    const at::Tensor loss = nnunet_loss(one.logits, one.mask, one.options);
    EXPECT_EQ(loss.dim(), 0);
    EXPECT_EQ(loss.scalar_type(), at::kFloat);
    EXPECT_NEAR(loss.item<double>(), entry.at("loss").get<double>(), 1e-6) << one.name;
    loss.backward();
    for (size_t i = 0; i < one.logits.size(); ++i) {
      const std::string key = concat(one.name, ".grad.", i);
      expect_gradient(one.logits[i].grad(), io.find(key), key);
    }
  }
}

TEST(NnUnetLoss, WeightsOfLevelsAreNnUnets) {
  for (const json& entry : golden_json("nnunet_loss")) {
    const auto expected = entry.at("weights").get<std::vector<double>>();
    const std::vector<double> weights = deep_supervision_weights(expected.size());
    ASSERT_EQ(weights.size(), expected.size());
    for (size_t i = 0; i < weights.size(); ++i) EXPECT_DOUBLE_EQ(weights[i], expected[i]) << expected.size();
  }
  EXPECT_EQ(deep_supervision_weights(2), (std::vector<double>{1, 0}));
}

TEST(NnUnetLoss, HalfPrecisionIsComputedInFull) {
  NnUnetLossCase one = case_of(golden_json("nnunet_loss").at(1));
  std::vector<at::Tensor> half, full;
  for (const at::Tensor& level : one.logits) {
    half.push_back(level.detach().to(at::kBFloat16));
    full.push_back(half.back().to(at::kFloat));
  }
  EXPECT_TRUE(test::same_bits(nnunet_loss(half, one.mask, one.options), nnunet_loss(full, one.mask, one.options)));
}

// Each rank has its own samples; where there are fewer than ranks, the first stands in and counts nothing.
void expect_that_of_the_whole_batch(const NnUnetLossCase& whole, double expected, train::World& world) {
  const bool counts = world.rank() < 2;
  const at::Tensor rows = counts ? at::arange(world.rank(), 2, world.size()) : at::zeros({1}, at::kLong);
  std::vector<at::Tensor> logits;
  for (const at::Tensor& level : whole.logits) logits.push_back(level.detach().index({rows}).requires_grad_());
  const at::Tensor loss = nnunet_loss(logits, whole.mask.index({rows}), whole.options, world.total(counts));
  EXPECT_NEAR(loss.item<double>(), expected, 1e-6) << whole.name;
  loss.backward();
  for (size_t i = 0; i < logits.size(); ++i) {
    const at::Tensor& all = whole.logits[i].grad();
    if (!all.defined()) continue;
    const at::Tensor of_rows = all.index({rows}) * (counts ? 1 : 0);
    EXPECT_LE(test::max_abs_difference(logits[i].grad(), of_rows), 1e-5 * all.abs().max().item<double>())
        << whole.name << " level " << i;
  }
}

TEST(NnUnetLoss, OverRanksItIsThatOfTheWholeBatch) {
  std::vector<NnUnetLossCase> cases;
  std::vector<double> expected;
  for (const json& entry : golden_json("nnunet_loss")) {
    cases.push_back(case_of(entry));
    const at::Tensor loss = nnunet_loss(cases.back().logits, cases.back().mask, cases.back().options);
    loss.backward();
    expected.push_back(loss.item<double>());
  }
  for (const int64_t size : {2, 4}) {
    test::on_ranks(size, [&](train::World& world) {
      for (size_t i = 0; i < cases.size(); ++i) expect_that_of_the_whole_batch(cases[i], expected[i], world);
    });
  }
}

}  // namespace
}  // namespace vmae::nn
