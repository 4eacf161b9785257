// Against torch's batch norm, alone and over ranks.
#include "vmae/nn/sync_batch_norm.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/types.h>

#include "support/ranks.h"
#include "support/tensors.h"

namespace vmae::nn {
namespace {

constexpr int64_t kChannels = 3, kSamples = 7;

at::Tensor norm_input(bool is_image, double offset = 0) {
  const int64_t pixels = is_image ? 20 : 1;
  const at::Tensor x = at::arange(kSamples * kChannels * pixels).mul(0.37).sin().mul(3).add(0.7 + offset);
  return is_image ? x.view({kSamples, kChannels, 4, 5}) : x.view({kSamples, kChannels});
}
at::Tensor loss_weights(const at::Tensor& x) { return at::arange(x.numel()).mul(1.3).cos().view(x.sizes()); }

template <class Norm>
void give_weights(Norm& norm) {
  const at::NoGradGuard no_grad;
  norm->weight.copy_(at::tensor({0.5, 1.0, 2.0}));
  norm->bias.copy_(at::tensor({0.1, -0.3, 0.2}));
}

struct NormResult {
  at::Tensor output, input_gradient;
  std::vector<at::Tensor> state;  // gradients of weight and bias, running mean and variance
};

template <class Norm, class Forward>
NormResult result_of(Norm& norm, const at::Tensor& rows, bool is_image, double offset, const Forward& forward) {
  at::Tensor x = norm_input(is_image, offset).index({rows}).to(norm->weight.scalar_type()).clone().requires_grad_();
  const at::Tensor y = forward(x);
  (y * loss_weights(norm_input(is_image)).index({rows})).square().sum().backward();
  return {y.detach(), x.grad(), {norm->weight.grad(), norm->bias.grad(), norm->running_mean, norm->running_var}};
}

NormResult torchs(bool is_image, double offset, at::ScalarType type) {
  const auto of = [type](auto norm) {
    norm->to(type);
    give_weights(norm);
    return norm;
  };
  const at::Tensor rows = at::arange(kSamples);
  if (is_image) {
    auto norm = of(torch::nn::BatchNorm2d(kChannels));
    return result_of(norm, rows, is_image, offset, [&](const at::Tensor& x) { return norm->forward(x); });
  }
  auto norm = of(torch::nn::BatchNorm1d(kChannels));
  return result_of(norm, rows, is_image, offset, [&](const at::Tensor& x) { return norm->forward(x); });
}

TEST(SyncBatchNorm, AloneItIsTorchs) {
  for (const bool is_image : {true, false}) {
    const NormResult expected = torchs(is_image, 0, at::kFloat);
    SyncBatchNorm norm(kChannels);
    give_weights(norm);
    const NormResult actual =
        result_of(norm, at::arange(kSamples), is_image, 0, [&](const at::Tensor& x) { return norm->forward(x); });
    EXPECT_LT(test::max_abs_difference(actual.output, expected.output), 1e-6);
    for (size_t i = 0; i < 4; ++i) EXPECT_LT(test::relative_difference(actual.state[i], expected.state[i]), 1e-6);
    EXPECT_EQ(norm->num_batches_tracked.item<int64_t>(), 1);
    norm->eval();
    const at::Tensor frozen = norm->forward(norm_input(is_image));
    EXPECT_GT(test::max_abs_difference(frozen, actual.output), 0.1);
    EXPECT_EQ(norm->num_batches_tracked.item<int64_t>(), 1);
  }
}

// 7 samples on 2, 4 and 8 ranks, of which the eighth has a sample that counts nothing. close: of numbers near 1.
void expect_one_batch(bool is_image, double offset, double close) {
  const NormResult expected = torchs(is_image, offset, at::kDouble);
  for (const int64_t size : {2, 4, 8}) {
    test::on_ranks(size, [&](train::World& world) {
      const bool counts = world.rank() < kSamples;
      const at::Tensor rows = counts ? at::arange(world.rank(), kSamples, size) : at::zeros({1}, at::kLong);
      SyncBatchNorm norm(kChannels);
      give_weights(norm);
      at::Tensor x = norm_input(is_image, offset).index({rows}).clone().requires_grad_();
      const at::Tensor y = norm->forward(x, world.total_with_gradients(counts));
      const at::Tensor loss = (y * loss_weights(norm_input(is_image)).index({rows})).square().sum();
      world.total(counts)(loss).backward();
      at::Tensor gradients = at::stack({norm->weight.grad(), norm->bias.grad()});
      world.sum(gradients);
      EXPECT_LT(test::relative_difference(gradients[0], expected.state[0]), close);
      EXPECT_LT(test::relative_difference(gradients[1], expected.state[1]), close);
      EXPECT_LT(test::relative_difference(norm->running_mean, expected.state[2]), 1e-6);
      EXPECT_LT(test::max_abs_difference(norm->running_var, expected.state[3]), 0.1 * close);
      if (!counts) return;
      EXPECT_LT(test::max_abs_difference(y, expected.output.index({rows})), close);
      EXPECT_LT(test::max_abs_difference(x.grad(), expected.input_gradient.index({rows})),
                close * expected.input_gradient.abs().max().item<double>());
    });
  }
}

TEST(SyncBatchNorm, RanksAreOneBatch) {
  for (const bool is_image : {true, false}) expect_one_batch(is_image, 0, 1e-5);
}

// As bright images have: the mean itself is only known to its last digit, but the variance as without it.
TEST(SyncBatchNorm, RanksAreOneBatchFarFromZero) {
  for (const bool is_image : {true, false}) expect_one_batch(is_image, 100, 1e-4);
}

}  // namespace
}  // namespace vmae::nn
