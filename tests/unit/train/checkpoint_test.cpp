#include "vmae/train/checkpoint.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>

#include "support/errors.h"
#include "support/temp_folder.h"
#include "support/tensors.h"

namespace vmae::train {
namespace {

struct Trained {
  torch::nn::Linear module{4, 3};
  std::unique_ptr<Optimizer> optimizer;
  LossScale scale{Precision::fp16, at::kCPU};
  explicit Trained(int64_t steps, double ema_decay = 0)
      : optimizer(make_optimizer(*module, OptimOptions{.ema_decay = ema_decay})) {
    for (int64_t i = 0; i < steps; ++i) {
      module->forward(at::randn({2, 4})).square().sum().backward();
      optimizer->step(1e-2);
      optimizer->clear_gradients();
    }
  }
  TrainingParts parts() { return {*module, *optimizer, scale}; }
};

TEST(Checkpoint, RestoresEveryBit) {
  const test::TempFolder folder;
  const auto file = folder.path() / "last.safetensors";
  Trained before(5), after(0);
  RunState state;
  state.step = 5;
  state.position = {2, 17};
  state.best = 0.1;
  state.best_epoch = 1;
  state.epoch_to_end = 1;
  state.interval_loss = 1.0 / 3.0;
  state.interval_steps = 3;
  before.scale.restore(1024.0, 7);
  torch::manual_seed(99);
  at::rand({3});
  write(take_checkpoint(file, before.parts(), state, {{"model", "test"}}));
  const at::Tensor next_draw = at::rand({4});

  torch::manual_seed(1);
  const RunState restored = load_checkpoint(weights::read_safetensors(file), file, after.parts());
  EXPECT_TRUE(test::same_bits(at::rand({4}), next_draw));
  EXPECT_EQ(restored.step, 5);
  EXPECT_EQ(restored.position, state.position);
  EXPECT_EQ(restored.best, 0.1);
  EXPECT_EQ(restored.best_epoch, 1);
  EXPECT_EQ(restored.epoch_to_end, 1);
  EXPECT_EQ(restored.interval_loss, 1.0 / 3.0);
  EXPECT_EQ(restored.interval_steps, 3);
  EXPECT_EQ(after.optimizer->step_count(), 5);
  EXPECT_EQ(after.scale.value(), 1024.0);
  EXPECT_TRUE(test::same_bits(after.module->weight, before.module->weight));
  const auto a = after.optimizer->state(), b = before.optimizer->state();
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(test::same_bits(a[i].second, b[i].second)) << a[i].first;
}

at::Tensor find(const weights::NamedTensors& tensors, const std::string& key) {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const auto& entry) { return entry.first == key; });
  return found == tensors.end() ? at::Tensor() : found->second;
}

// The file's weights are the averages; the trained ones go on, with averages or without, as they were.
TEST(Checkpoint, HoldsAveragedWeights) {
  const test::TempFolder folder;
  const auto file = folder.path() / "last.safetensors";
  for (const double then : {0.0, 0.9}) {
    for (const double now : {0.0, 0.9}) {
      Trained before(5, then), after(0, now);
      write(take_checkpoint(file, before.parts(), {}, {}));
      const weights::TensorFile saved = weights::read_safetensors(file);
      load_checkpoint(saved, file, after.parts());
      EXPECT_TRUE(test::same_bits(after.module->weight, before.module->weight)) << then << " then, now " << now;
      EXPECT_EQ(has_averages(saved), then > 0);
      const at::Tensor expected = then > 0 ? find(before.optimizer->averages(), "weight") : before.module->weight;
      EXPECT_TRUE(test::same_bits(find(saved.tensors, "weight"), expected));
      EXPECT_EQ(after.optimizer->averages().empty(), now == 0);
      for (const auto& [key, average] : after.optimizer->averages())
        EXPECT_TRUE(test::same_bits(average, find(saved.tensors, key))) << key;
      EXPECT_EQ(test::same_bits(expected, before.module->weight), then == 0);
      write(take_weights(file, *before.module, {}, before.optimizer->averages()));
      EXPECT_TRUE(test::same_bits(find(weights::read_safetensors(file).tensors, "weight"), expected));
    }
  }
}

// What is not trained any more goes on as it was trained, not as it was averaged.
TEST(Checkpoint, OfMoreThanIsTrainedNow) {
  const test::TempFolder folder;
  const auto file = folder.path() / "last.safetensors";
  Trained before(5, 0.9);
  write(take_checkpoint(file, before.parts(), {}, {}));
  torch::nn::Linear module{4, 3};
  module->weight.set_requires_grad(false);
  const auto made = make_optimizer(*module, OptimOptions{.ema_decay = 0.9});
  Optimizer& optimizer = *made;
  LossScale scale{Precision::fp16, at::kCPU};
  load_checkpoint(weights::read_safetensors(file), file, {*module, optimizer, scale});
  EXPECT_TRUE(test::same_bits(module->weight, before.module->weight));
  EXPECT_TRUE(test::same_bits(module->bias, before.module->bias));
}

TEST(Checkpoint, BeforeAnyValidationThereIsNoBest) {
  const test::TempFolder folder;
  const auto file = folder.path() / "last.safetensors";
  Trained trained(1);
  write(take_checkpoint(file, trained.parts(), {}, {}));
  EXPECT_EQ(load_checkpoint(weights::read_safetensors(file), file, trained.parts()).best,
            std::numeric_limits<double>::infinity());
}

TEST(Checkpoint, WeightsAloneAreNotEnoughToResume) {
  const test::TempFolder folder;
  const auto file = folder.path() / "best.safetensors";
  Trained trained(1);
  write(take_weights(file, *trained.module, {}));
  const Error error = test::error_of([&] { load_checkpoint(weights::read_safetensors(file), file, trained.parts()); });
  EXPECT_EQ(error.code(), ExitCode::checkpoint);
  EXPECT_TRUE(test::contains(error.hint(), "model.init"));
}

TEST(Checkpoint, AFailedWriteKeepsWhatWasThere) {
  const test::TempFolder folder;
  Trained trained(1);
  const Error error =
      test::error_of([&] { write(take_weights(folder.path() / "missing" / "x.safetensors", *trained.module, {})); });
  EXPECT_EQ(error.code(), ExitCode::checkpoint);
}

TEST(Checkpoint, ThePreviousOneIsKept) {
  const test::TempFolder folder;
  const auto last = folder.path() / "last.safetensors", previous = folder.path() / "previous.safetensors";
  Trained trained(1);
  for (int64_t step = 1; step <= 3; ++step) {
    RunState state;
    state.step = step;
    write(take_checkpoint(last, trained.parts(), state, {}));
  }
  EXPECT_EQ(load_checkpoint(weights::read_safetensors(last), last, trained.parts()).step, 3);
  EXPECT_EQ(load_checkpoint(weights::read_safetensors(previous), previous, trained.parts()).step, 2);
}

}  // namespace
}  // namespace vmae::train
