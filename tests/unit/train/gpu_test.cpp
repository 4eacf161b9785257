// What needs a GPU: skipped, with a count, where there is none. `scripts/test --gpu` runs these.
#include <gtest/gtest.h>
#include <torch/cuda.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include <set>
#include <thread>

#include "../../../src/ranks/gradient_sync.h"
#include "../../../src/ranks/process_group.h"
#include "../data/data_folder.h"
#include "support/errors.h"
#include "support/tensors.h"
#include "vmae/cuda/library.h"
#include "vmae/data/views.h"
#include "vmae/nn/dropout.h"
#include "vmae/nn/mae.h"
#include "vmae/nn/simclr.h"
#include "vmae/ranks/world.h"
#include "vmae/train/device.h"
#include "vmae/train/device_input.h"
#include "vmae/train/optim.h"
#include "vmae/train/precision.h"
#include "vmae/train/step_graph.h"

namespace vmae::train {
namespace {

[[maybe_unused]] const cuda::Library* const kLibrary = cuda::load();  // before the first tensor of any test

class Gpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!cuda_available()) GTEST_SKIP() << "no GPU: " << cuda_problem();
    configure_compute(device(), 0);
  }
  static at::Device device() { return resolve_device("cuda"); }
};

nn::Mae small_mae(at::Device device) {
  torch::manual_seed(5);
  nn::MaeOptions options;
  options.swin = {.image_size = {64, 64}, .in_channels = 1, .embed_dim = 32, .num_heads = {1, 2, 4, 8}};
  nn::Mae model(options);
  model->to(device);
  return model;
}

struct Inputs {
  at::Tensor image, noise;
};
Inputs inputs_for(nn::Mae& model, int64_t samples, int64_t seed, at::Device device) {
  torch::manual_seed(static_cast<uint64_t>(seed));
  const at::Tensor image = at::randn({samples, 1, 64, 64}), noise = at::rand({samples, model->num_units()});
  return {image.to(device), noise.to(device)};
}

std::vector<at::Tensor> gradients_on(at::Device device, Precision precision) {
  nn::Mae model = small_mae(device);
  const Inputs inputs = inputs_for(model, 4, 1, device);
  at::Tensor loss;
  {
    const Autocast autocast(device.type(), precision);
    loss = model->forward(inputs.image, inputs.noise).loss;
  }
  loss.backward();
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& gradient : make_optimizer(*model, {})->gradients()) gradients.push_back(gradient.cpu());
  return gradients;
}

double relative_difference(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]).square().sum().item<double>();
    size += b[i].square().sum().item<double>();
  }
  return std::sqrt(difference / size);
}

TEST_F(Gpu, GradientsAreThoseOfTheCpu) {
  const auto expected = gradients_on(at::kCPU, Precision::fp32);
  at::globalContext().setAllowTF32CuBLAS(false);
  at::globalContext().setAllowTF32CuDNN(false);
  EXPECT_LT(relative_difference(gradients_on(device(), Precision::fp32), expected), 1e-4);
  configure_compute(device(), 0);
  EXPECT_LT(relative_difference(gradients_on(device(), Precision::fp32), expected), 1e-2) << "TF32";
  if (!cuda_has_bf16(device())) GTEST_SKIP() << "no bf16 on this GPU";
  EXPECT_LT(relative_difference(gradients_on(device(), Precision::bf16), expected), 5e-2);
}

TEST_F(Gpu, DropoutKeepsWhatItKeepsOnTheCpu) {
  const at::Tensor draws = at::rand({5});
  EXPECT_TRUE(
      at::equal(nn::dropout_mask(draws.to(device()), 100'000, 0.1).cpu(), nn::dropout_mask(draws, 100'000, 0.1)));
}

TEST_F(Gpu, TheSameBitsEveryTime) {
  const auto first = gradients_on(device(), Precision::bf16), second = gradients_on(device(), Precision::bf16);
  for (size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(test::same_bits(first[i], second[i]));
}

TEST_F(Gpu, BatchesArriveAsTheLoaderMadeThem) {
  const test::TempFolder folder;
  data::write_good_files(folder);
  const auto dataset = data::make_dataset(folder, std::make_shared<data::Quarantine>("", 0.0));
  const auto make_loader = [&](bool pinned) {
    return std::make_unique<data::Loader>(
        dataset, data::LoaderOptions{.batch_size = 3, .seed = 1, .workers = 2, .pin_memory = pinned}, nullptr,
        data::Position{}, 4);
  };
  const auto draws = [](const data::Batch& batch) {
    return std::vector<at::Tensor>{at::full({static_cast<int64_t>(batch.indices.size())}, batch.indices[0])};
  };
  const auto there = make_loader(true), here = make_loader(false);
  DeviceInput on_gpu(*there, device(), draws), on_cpu(*here, at::kCPU, draws);
  int64_t count = 0;
  for (data::Batch expected, batch; on_cpu.next(expected); ++count) {
    ASSERT_TRUE(on_gpu.next(batch));
    on_gpu.prefetch();
    EXPECT_EQ(batch.indices, expected.indices);
    EXPECT_TRUE(batch.image.is_cuda());
    EXPECT_TRUE(test::same_bits(batch.image.cpu(), expected.image));
    EXPECT_TRUE(test::same_bits(batch.draws[0].cpu(), expected.draws[0]));
  }
  EXPECT_GT(count, 3);
  data::Batch none;
  EXPECT_FALSE(on_gpu.next(none));
}

class MaeTask : public Task {
 public:
  explicit MaeTask(nn::Mae model) : model_(std::move(model)) {}
  torch::nn::Module& module() override { return *model_; }
  std::vector<at::Tensor> draws(const data::Batch& batch) override { return batch.draws; }
  at::Tensor loss(const data::Batch& batch, const RankSum&) override {
    return model_->forward(batch.image, batch.draws[0]).loss;
  }
  bool can_validate() const override { return false; }
  Metrics validate() override { return {}; }
  Panel panel() override { return {}; }
  int64_t num_units() const { return model_->num_units(); }

 private:
  nn::Mae model_;
};

// Contrastive learning as the task of `vmae pretrain` does it on one device.
class SimclrTask : public Task {
 public:
  explicit SimclrTask(at::Device device) : model_(options()) { model_->to(device); }
  torch::nn::Module& module() override { return *model_; }
  std::vector<at::Tensor> draws(const data::Batch& batch) override { return batch.draws; }
  at::Tensor loss(const data::Batch& batch, const RankSum&) override {
    const data::ViewOptions views;
    const at::Tensor changed = data::changed(batch.image, data::view_changes(batch.draws[0], views), views);
    const auto pair = model_->project(model_->features(changed, batch.draws[1])).chunk(2);
    return nn::nt_xent(pair[0], pair[1], 0.1, batch.draws[2]);
  }
  bool can_validate() const override { return false; }
  Metrics validate() override { return {}; }
  Panel panel() override { return {}; }

 private:
  static nn::SimclrOptions options() {
    torch::manual_seed(5);
    nn::SimclrOptions options;
    options.swin = {.image_size = {64, 64}, .in_channels = 3, .embed_dim = 32, .num_heads = {1, 2, 4, 8}};
    return options;
  }
  nn::Simclr model_;
};

data::Batch batch_of(const std::string& kind, int64_t number, Task& task, at::Device device) {
  data::Batch batch;
  torch::manual_seed(static_cast<uint64_t>(number));
  if (kind == "mae") {
    batch.image = at::randn({4, 1, 64, 64}, device);
    batch.draws = {at::rand({4, static_cast<MaeTask&>(task).num_units()}, device)};
  } else {
    batch.image = at::rand({8, 3, 64, 64}, device);
    batch.draws = {at::rand({8, data::kViewDraws}, device), at::rand({8, 16}, device),
                   at::arange(4, at::TensorOptions(at::kLong).device(device))};
  }
  return batch;
}

// 20 steps recorded and replayed, and the same 20 one operation at a time.
TEST_F(Gpu, AReplayedStepIsTheStep) {
  const auto train = [&](const std::string& kind, const std::string& name, bool replayed) {
    const ComputeStream stream(device(), replayed);
    std::unique_ptr<Task> task;
    if (kind == "mae") task = std::make_unique<MaeTask>(small_mae(device()));
    if (kind == "simclr") task = std::make_unique<SimclrTask>(device());
    OptimOptions options;
    options.name = name;
    const auto optimizer = make_optimizer(task->module(), options);
    LossScale scale(Precision::bf16, device());
    Plan plan;
    plan.precision = Precision::bf16;
    plan.device = device();
    World world;
    Step step(*task, *optimizer, scale, plan, world);
    StepGraph graph(step);
    std::vector<double> losses;
    for (int number = 0; number < 20; ++number) {
      const data::Batch batch = batch_of(kind, number, *task, device());
      const double lr = 1e-3 * number;
      at::Tensor result;
      if (replayed) {
        result = graph.run(batch, lr, {.stop = number == 19});
      } else {
        step.begin();
        step.add(batch, 1.0, /*is_last=*/true);
        result = step.finish(step.on_device(lr), step.on_device(StepRequests{.stop = number == 19}));
      }
      const StepResult values = ComingResult(result).read();
      EXPECT_TRUE(values.is_finite);
      EXPECT_EQ(values.stops, number == 19);
      losses.push_back(values.loss);
    }
    EXPECT_EQ(optimizer->step_count(), 20);
    return losses;
  };
  for (const auto& [kind, name] : {std::pair{"mae", "adamw"}, {"simclr", "lars"}, {"simclr", "sgd"}}) {
    const std::vector<double> replayed = train(kind, name, true), eager = train(kind, name, false);
    for (size_t i = 0; i < eager.size(); ++i)
      EXPECT_NEAR(replayed[i], eager[i], 1e-3 * eager[i]) << kind << ", " << name << ", step " << i;
  }
}

// What would make the host wait (reading a number, copying from unpinned memory) is an error here.
TEST_F(Gpu, AStepDoesNotWaitForTheDevice) {
  for (const Precision precision : {Precision::fp32, Precision::bf16, Precision::fp16}) {
    MaeTask task(small_mae(device()));
    const auto optimizer = make_optimizer(task.module(), {.clip_grad_norm = 1.0, .ema_decay = 0.9});
    LossScale scale(precision, device());
    Plan plan;
    plan.precision = precision;
    plan.device = device();
    plan.optim.clip_grad_norm = 1.0;
    World world;
    Step step(task, *optimizer, scale, plan, world);
    const data::Batch batch = batch_of("mae", 0, task, device());
    std::string problem;
    for (const bool is_forbidden : {false, false, true}) {
      cuda::library()->forbid_waiting(is_forbidden);
      try {
        step.begin();
        step.add(batch, 1.0, /*is_last=*/true);
        const ComingResult result(step.finish(step.on_device(1e-3), step.on_device(StepRequests{.save = true})));
      } catch (const std::exception& waiting) {
        problem = waiting.what();
      }
      cuda::library()->forbid_waiting(false);
    }
    EXPECT_EQ(problem, "") << to_string(precision);
  }
  const at::Tensor number = at::ones({}, device());
  cuda::library()->forbid_waiting(true);
  EXPECT_ANY_THROW(number.item<float>()) << "waiting is noticed";
  cuda::library()->forbid_waiting(false);
}

TEST_F(Gpu, MemoryThatRunsOutIsNamed) {
  std::optional<Error> error;
  try {
    at::empty({int64_t{1} << 40}, device());
  } catch (const std::exception& problem) {
    error = out_of_memory(problem);
  }
  ASSERT_TRUE(error);
  EXPECT_TRUE(test::contains(error->what(), "Tried to allocate"));
  EXPECT_EQ(at::ones({3}, device()).sum().item<double>(), 3) << "and the device goes on";
}

TEST_F(Gpu, EveryGpuHasAName) {
  std::set<std::string> names;
  for (c10::DeviceIndex i = 0; i < static_cast<c10::DeviceIndex>(torch::cuda::device_count()); ++i)
    names.insert(cuda::library()->properties(i).uuid);
  EXPECT_EQ(names.size(), torch::cuda::device_count());
  for (const std::string& name : names) EXPECT_EQ(name.size(), 32);
}

TEST_F(Gpu, OneRankSumsOverNccl) {
  const auto group = make_process_group(c10::make_intrusive<c10d::HashStore>(), Launch{.rank = 0, .size = 1}, device(),
                                        /*timeout_s=*/60, /*is_one_host=*/true);
  std::vector<at::Tensor> x{at::full({1000}, 3.0, device())};
  group->allreduce(x)->wait();
  EXPECT_EQ(x[0][999].item<double>(), 3);
  for (const bool compress : {false, true}) {
    torch::nn::Linear layer(20, 30);
    layer->to(device());
    const at::Tensor input = at::randn({8, 20}, device());
    layer->forward(input).square().mean().backward();
    const at::Tensor expected = layer->weight.grad().clone();
    layer->zero_grad();
    GradientSync gradients(group, layer->parameters(), compress);
    for (int step = 0; step < 3; ++step) {
      layer->zero_grad();
      gradients.backward(layer->forward(input).square().mean(), /*synchronise=*/true);
      EXPECT_LT(test::max_abs_difference(layer->weight.grad().cpu(), expected.cpu()), compress ? 1e-2 : 1e-6);
    }
  }
  group->shutdown();
}

TEST_F(Gpu, MemoryIsReported) {
  const at::Tensor x = at::zeros({1 << 20}, device());
  EXPECT_GE(peak_memory_bytes(device()), uint64_t{4} << 20);
}

TEST_F(Gpu, RanksSumOverNccl) {
  if (torch::cuda::device_count() < 2) GTEST_SKIP() << "one GPU";
  std::vector<std::thread> ranks;
  for (int64_t r = 0; r < 2; ++r) {
    ranks.emplace_back([r] {
      World world(Launch{.rank = r, .size = 2, .local_rank = r, .master_port = 29871, .launcher = "test"});
      const at::Device device = resolve_device("cuda", r);
      world.connect(device, 60);
      at::Tensor x = at::full({1000}, static_cast<double>(r + 1), device), flags = at::ones({2});
      world.sum(x);
      world.sum(flags);  // on the CPU, over Gloo
      EXPECT_EQ(x[999].item<double>(), 3);
      EXPECT_EQ(flags[1].item<double>(), 2);
      world.finish();
    });
  }
  for (std::thread& rank : ranks) rank.join();
}

}  // namespace
}  // namespace vmae::train
