#include "vmae/train/optim.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "support/tensors.h"
#include "vmae/train/precision.h"
#include "vmae/train/schedule.h"

namespace vmae::train {
namespace {

TEST(Schedule, WarmsUpFromZeroThenHalfACosine) {
  const Schedule schedule{.peak_lr = 2.0, .min_lr = 0.5, .warmup_steps = 10, .total_steps = 110};
  EXPECT_EQ(learning_rate(schedule, 0), 0.0);
  EXPECT_DOUBLE_EQ(learning_rate(schedule, 5), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate(schedule, 10), 2.0);
  EXPECT_DOUBLE_EQ(learning_rate(schedule, 60), 1.25);  // half way between peak and minimum
  EXPECT_NEAR(learning_rate(schedule, 110), 0.5, 1e-15);
}

// One Linear, a LayerNorm, and a loss with a gradient for each.
torch::nn::Sequential small_model() {
  torch::manual_seed(0);
  return torch::nn::Sequential(torch::nn::Linear(6, 4), torch::nn::LayerNorm(torch::nn::LayerNormOptions({4})));
}
at::Tensor loss_of(torch::nn::Sequential& model, const at::Tensor& x) {
  return (model->forward(x) - 0.3).pow(3).sum() + model->forward(x * 0.5).square().sum();
}

TEST(AdamW, EqualsTorchsOwn) {
  auto ours = small_model(), theirs = small_model();
  OptimOptions options;
  AdamW optimizer(*ours, options);
  torch::optim::AdamW reference(theirs->parameters(), torch::optim::AdamWOptions(1e-2).betas({0.9, 0.95}).weight_decay(0.05));
  for (int i = 0; i < 20; ++i) {
    const at::Tensor x = at::randn({5, 6});
    loss_of(ours, x).backward();
    optimizer.step(/*lr=*/1e-2);
    optimizer.clear_gradients();
    reference.zero_grad();
    loss_of(theirs, x).backward();
    reference.step();
  }
  for (size_t i = 0; i < ours->parameters().size(); ++i) EXPECT_LT(test::max_abs_difference(ours->parameters()[i], theirs->parameters()[i]), 1e-6);
}

// As CUDA graphs need it: no number of the step is on the host.
TEST(AdamW, StepsWithTensorsAlone) {
  auto plain = small_model(), tensors = small_model();
  AdamW first(*plain, {}), second(*tensors, {});
  for (int i = 0; i < 5; ++i) {
    const at::Tensor x = at::randn({5, 6});
    loss_of(plain, x).backward();
    clip_grad_norm(first.gradients(), 0.5);
    first.step(1e-2);
    loss_of(tensors, x).backward();
    const at::Tensor divisor = (grad_norm(second.gradients()) / 0.5).clamp_min(1.0), lr = at::full({}, 1e-2);
    second.step(lr, divisor, at::zeros({}));
    second.count_step();
    const at::Tensor before = tensors->parameters()[0].detach().clone();
    second.step(lr, divisor, at::ones({}));  // skipped
    EXPECT_TRUE(test::same_bits(before, tensors->parameters()[0]));
    first.clear_gradients();
    second.clear_gradients();
  }
  EXPECT_EQ(first.step_count(), second.step_count());
  for (size_t i = 0; i < plain->parameters().size(); ++i) EXPECT_LT(test::max_abs_difference(plain->parameters()[i], tensors->parameters()[i]), 1e-6);
}

TEST(AdamW, SparesNormsAndBiasesIfAsked) {
  auto model = small_model();
  OptimOptions options;
  options.decay_norm_and_bias = false;
  options.weight_decay = 0.5;
  AdamW optimizer(*model, options);
  const auto before = model->named_parameters();
  std::map<std::string, at::Tensor> old;
  for (const auto& item : before) old[item.key()] = item.value().detach().clone();
  optimizer.step(/*lr=*/0.1);  // without gradients only the decay acts
  for (const auto& item : model->named_parameters()) {
    const at::Tensor expected = item.value().dim() > 1 ? old[item.key()] * 0.95 : old[item.key()];
    EXPECT_LT(test::max_abs_difference(item.value(), expected), 1e-7) << item.key();
  }
}

TEST(ClipGradNorm, ScalesDownToTheLimitAndReturnsTheNormBefore) {
  std::vector<at::Tensor> gradients{at::full({3}, 2.0), at::full({1}, 2.0)};
  EXPECT_DOUBLE_EQ(clip_grad_norm(gradients, 0.0), 4.0);
  EXPECT_EQ(gradients[0][0].item<float>(), 2.0F);
  EXPECT_DOUBLE_EQ(clip_grad_norm(gradients, 1.0), 4.0);
  EXPECT_FLOAT_EQ(gradients[0][0].item<float>(), 0.5F);
}

TEST(LossScale, HalvesAfterAnOverflowAndSurvivesARestart) {
  LossScale scale(Precision::fp16, at::kCPU);
  EXPECT_EQ(scale.value(), 65536.0);
  std::vector<at::Tensor> bad{at::tensor({1.0F, std::numeric_limits<float>::infinity()})};
  EXPECT_FALSE(scale.unscale(bad));
  scale.update();
  EXPECT_EQ(scale.value(), 32768.0);
  std::vector<at::Tensor> good{at::full({2}, 32768.0)};
  EXPECT_TRUE(scale.unscale(good));
  EXPECT_EQ(good[0][0].item<float>(), 1.0F);
  scale.update();
  EXPECT_EQ(scale.good_steps(), 1);
  LossScale restored(Precision::fp16, at::kCPU);
  restored.restore(scale.value(), scale.good_steps());
  EXPECT_EQ(restored.value(), 32768.0);
  EXPECT_EQ(restored.good_steps(), 1);
}

TEST(LossScale, DoesNothingForOtherPrecisions) {
  LossScale scale(Precision::bf16, at::kCPU);
  const at::Tensor loss = at::full({}, 3.0);
  EXPECT_TRUE(scale.scale(loss).is_same(loss));
  EXPECT_TRUE(scale.unscale({at::full({2}, std::numeric_limits<float>::infinity())}));
}

}  // namespace
}  // namespace vmae::train
