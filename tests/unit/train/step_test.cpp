#include "vmae/train/step.h"

#include <gtest/gtest.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <limits>

#include "linear_task.h"
#include "support/ranks.h"
#include "support/tensors.h"

namespace vmae::train {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

data::Batch batch_of(const at::Tensor& image) {
  data::Batch batch;
  batch.image = image;
  return batch;
}

// A task, and all that a step of it needs.
struct Parts {
  explicit Parts(std::unique_ptr<Task> one, double clip = 0, Precision precision = Precision::fp32,
                 World* ranks = nullptr)
      : task(std::move(one)), scale(precision, at::kCPU), world(ranks != nullptr ? *ranks : alone) {
    plan.optim.clip_grad_norm = clip;
    plan.optim.ema_decay = 0.9;
    optimizer = make_optimizer(task->module(), plan.optim);
    step = std::make_unique<Step>(*task, *optimizer, scale, plan, world);
    world.share_gradients(trained_parameters(task->module()), /*compress=*/false);
  }
  StepResult run(const std::vector<at::Tensor>& images, double lr = 1e-2) {
    int64_t total = 0;
    for (const at::Tensor& image : images) total += image.size(0);
    step->begin();
    for (const at::Tensor& image : images) {
      step->add(batch_of(image), static_cast<double>(image.size(0)) / static_cast<double>(total),
                /*is_last=*/&image == &images.back());
    }
    return ComingResult(step->finish(step->on_device(lr), step->on_device(StepRequests{}))).read();
  }
  // Weights, moments, averages.
  std::vector<at::Tensor> tensors() const {
    std::vector<at::Tensor> all;
    for (const at::Tensor& parameter : task->module().parameters()) all.push_back(parameter.detach().clone());
    for (const auto& [name, tensor] : optimizer->state()) all.push_back(tensor.clone());
    for (const auto& [name, tensor] : optimizer->averages()) all.push_back(tensor.clone());
    return all;
  }
  std::unique_ptr<Task> task;
  LossScale scale;
  Plan plan;
  World alone;
  World& world;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Step> step;
};

void expect_same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(test::same_bits(a[i], b[i])) << i;
}

TEST(Step, MicroBatchesAddUp) {
  torch::manual_seed(1);
  const at::Tensor images = at::randn({7, 1, 2, 3});
  Parts whole(std::make_unique<LinearTask>(6)), parts(std::make_unique<LinearTask>(6));
  for (int i = 0; i < 5; ++i) {
    const StepResult a = whole.run({images}),
                     b = parts.run({images.slice(0, 0, 3), images.slice(0, 3, 6), images.slice(0, 6, 7)});
    EXPECT_NEAR(a.loss, b.loss, 1e-6);
    EXPECT_NEAR(a.grad_norm, b.grad_norm, 1e-6);
  }
  const auto a = whole.tensors(), b = parts.tensors();
  for (size_t i = 0; i < a.size(); ++i) EXPECT_LT(test::max_abs_difference(a[i], b[i]), 1e-6);
}

// Against torch's own clipping and optimizer, fed the same gradients.
TEST(Step, ClipsAndUpdates) {
  torch::manual_seed(2);
  for (const double limit : {0.0, 0.05, 100.0}) {
    Parts ours(std::make_unique<LinearTask>(6), limit);
    LinearTask theirs(6);
    torch::optim::AdamW reference(theirs.module().parameters(),
                                  torch::optim::AdamWOptions(1e-2).betas({0.9, 0.95}).weight_decay(0.05));
    for (int i = 0; i < 8; ++i) {
      const at::Tensor images = at::randn({5, 1, 2, 3});
      const StepResult result = ours.run({images});
      reference.zero_grad();
      const at::Tensor loss = theirs.loss(batch_of(images), {});
      loss.backward();
      const double norm = torch::nn::utils::clip_grad_norm_(theirs.module().parameters(), limit > 0 ? limit : 1e9);
      reference.step();
      EXPECT_NEAR(result.loss, loss.item<double>(), 1e-6);
      EXPECT_NEAR(result.grad_norm, norm, 1e-6) << "before clipping";
    }
    const auto parameters = theirs.module().parameters();
    for (size_t i = 0; i < parameters.size(); ++i)
      EXPECT_LT(test::max_abs_difference(ours.tensors()[i], parameters[i]), 1e-5) << limit;
  }
}

// The gradient of the root of 0 is infinite, the loss is not.
struct RootTask : LinearTask {
  using LinearTask::LinearTask;
  at::Tensor loss(const data::Batch& batch, const RankSum&) override {
    return (outputs(batch) * batch.image.sum()).abs().sqrt().mean();
  }
};

// Running statistics, as a batch norm's: the mean of what was seen.
struct StatisticsTask : LinearTask {
  explicit StatisticsTask(int64_t pixels) : LinearTask(pixels) {
    running_mean = module().register_buffer("running_mean", at::zeros({}));
    tracked = module().register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
  }
  at::Tensor loss(const data::Batch& batch, const RankSum& total) override {
    running_mean.mul_(0.5).add_(batch.image.mean());
    tracked.add_(1);
    return LinearTask::loss(batch, total);
  }
  at::Tensor running_mean, tracked;
};

TEST(Step, StatisticsStayWhereTheStepIsNotFinite) {
  torch::manual_seed(4);
  const at::Tensor good = at::randn({4, 1, 2, 3}), bad = at::full_like(good, std::nan(""));
  auto owned = std::make_unique<StatisticsTask>(6);
  StatisticsTask& task = *owned;
  Parts parts(std::move(owned));
  parts.run({good, good});
  EXPECT_EQ(task.tracked.item<int64_t>(), 2);
  const at::Tensor before = task.running_mean.clone();
  EXPECT_FLOAT_EQ(before.item<float>(), 1.5F * good.mean().item<float>());
  parts.run({good, bad});
  EXPECT_TRUE(test::same_bits(task.running_mean, before));
  EXPECT_EQ(task.tracked.item<int64_t>(), 2);
  parts.step->begin();
  parts.step->add(batch_of(good), 1, /*is_last=*/true);
  parts.step->finish(parts.step->on_device(1e-2), parts.step->on_device(StepRequests{}), /*updates=*/false);
  EXPECT_TRUE(test::same_bits(task.running_mean, before)) << "a pass before the recording of a graph";
  parts.run({good});
  EXPECT_FALSE(test::same_bits(task.running_mean, before));
}

TEST(Step, WhatIsNotFiniteChangesNothing) {
  torch::manual_seed(4);
  const at::Tensor good = at::randn({4, 1, 2, 3});
  std::vector<at::Tensor> bad{at::full_like(good, kInfinity), at::full_like(good, -kInfinity),
                              at::full_like(good, std::nan("")), at::full_like(good, 1e30)};
  bad.push_back(good.clone());
  bad.back()[2][0][1][1] = std::nan("");
  for (const double clip : {0.0, 1.0}) {
    for (const at::Tensor& images : bad) {
      Parts parts(std::make_unique<LinearTask>(6), clip);
      parts.run({good});
      const auto before = parts.tensors();
      const StepResult alone = parts.run({images}), among_good = parts.run({good, images});
      EXPECT_FALSE(alone.is_finite);
      EXPECT_FALSE(among_good.is_finite);
      EXPECT_FALSE(std::isfinite(alone.loss) && std::isfinite(alone.grad_norm));
      expect_same(parts.tensors(), before);
      EXPECT_EQ(parts.optimizer->step_count(), 1);
      EXPECT_TRUE(parts.run({good}).is_finite);
      EXPECT_EQ(parts.optimizer->step_count(), 2);
    }
    Parts root(std::make_unique<RootTask>(6), clip);
    root.run({good});
    const auto before = root.tensors();
    const StepResult result = root.run({at::zeros_like(good)});
    EXPECT_TRUE(std::isfinite(result.loss));
    EXPECT_FALSE(result.is_finite);
    expect_same(root.tensors(), before);
  }
}

// Its outputs are halves, whose gradient is 1.5 times the scale: too much for a half at 65536, not at 32768.
struct HalfTask : LinearTask {
  using LinearTask::LinearTask;
  at::Tensor loss(const data::Batch& batch, const RankSum&) override {
    return outputs(batch).to(at::kHalf).to(at::kFloat).sum() * 1.5;
  }
};

TEST(Step, AnOverflowLowersTheScaleAndTheNextStepCounts) {
  torch::manual_seed(5);
  const at::Tensor images = at::randn({4, 1, 2, 3});
  Parts parts(std::make_unique<HalfTask>(6), 0, Precision::fp16);
  const auto before = parts.tensors();
  const StepResult first = parts.run({images});
  EXPECT_TRUE(std::isfinite(first.loss));
  EXPECT_FALSE(first.is_finite);
  EXPECT_EQ(first.loss_scale, 32768.0);
  expect_same(parts.tensors(), before);
  EXPECT_EQ(parts.optimizer->step_count(), 0);
  const StepResult second = parts.run({images});
  EXPECT_TRUE(second.is_finite);
  EXPECT_EQ(second.loss_scale, 32768.0);
  EXPECT_EQ(parts.optimizer->step_count(), 1);
  Parts plain(std::make_unique<HalfTask>(6));  // the gradient is that of the loss, not of the scaled one
  EXPECT_NEAR(second.grad_norm, plain.run({images}).grad_norm, 1e-3 * second.grad_norm);
}

// Rank r's part of a mean over all ranks, of which no word goes to the others until the step ends.
struct PartTask : LinearTask {
  explicit PartTask(int64_t ranks) : LinearTask(6, 1.0 / static_cast<double>(ranks)) {}
  bool loss_is_own_part() const override { return true; }
};

TEST(Step, OwnPartsOfTheLossAddUp) {
  torch::manual_seed(6);
  const at::Tensor images = at::randn({4, 1, 2, 3}), infinite = at::full_like(images, kInfinity);
  Parts alone(std::make_unique<LinearTask>(6));
  const StepResult expected = alone.run({images}), second = alone.run({images});
  std::vector<std::unique_ptr<PartTask>> tasks;
  for (int64_t rank = 0; rank < 2; ++rank) tasks.push_back(std::make_unique<PartTask>(2));
  test::on_ranks(2, [&](World& world) {
    Parts own(std::move(tasks[static_cast<size_t>(world.rank())]), /*clip=*/0, Precision::fp32, &world);
    const at::Tensor rows = images.slice(0, 2 * world.rank(), 2 * world.rank() + 2);
    const StepResult result = own.run({rows});
    EXPECT_NEAR(result.loss, expected.loss, 1e-6);
    EXPECT_NEAR(result.grad_norm, expected.grad_norm, 1e-6);
    const auto before = own.tensors();
    // what is not finite on one rank changes nothing on any
    const StepResult bad = own.run({world.rank() == 1 ? infinite.slice(0, 0, 2) : rows});
    EXPECT_FALSE(std::isfinite(bad.loss));
    EXPECT_FALSE(bad.is_finite);
    expect_same(own.tensors(), before);
    EXPECT_NEAR(own.run({rows}).loss, second.loss, 1e-6);
    world.keep_gradients();
  });
}

TEST(Step, SaysWhatRanksWant) {
  Parts parts(std::make_unique<LinearTask>(6));
  for (const bool stop : {false, true}) {
    for (const bool save : {true, false}) {
      parts.step->begin();
      parts.step->add(batch_of(at::ones({1, 1, 2, 3})), 1, /*is_last=*/true);
      const at::Tensor result =
          parts.step->finish(parts.step->on_device(1e-3), parts.step->on_device(StepRequests{stop, save}));
      EXPECT_EQ(ComingResult(result).read().stops, stop);
      EXPECT_EQ(ComingResult(result).read().saves, save);
    }
  }
}

// As before a CUDA graph is recorded.
TEST(Step, WithoutUpdateNothingChanges) {
  Parts parts(std::make_unique<LinearTask>(6));
  parts.run({at::ones({1, 1, 2, 3})});
  const auto before = parts.tensors();
  parts.step->begin();
  parts.step->add(batch_of(at::ones({1, 1, 2, 3})), 1, /*is_last=*/true);
  parts.step->finish(parts.step->on_device(1e-3), parts.step->on_device(StepRequests{}), /*updates=*/false);
  expect_same(parts.tensors(), before);
  EXPECT_EQ(parts.optimizer->step_count(), 1);
}

}  // namespace
}  // namespace vmae::train
