#include "vmae/train/optim.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "support/errors.h"
#include "support/tensors.h"
#include "vmae/train/plan.h"
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

Plan plan_of(int64_t epochs, int64_t batch_size, int64_t samples, int64_t max_steps = 0) {
  TrainOptions train;
  train.epochs = epochs;
  train.max_steps = max_steps;
  train.batch_size = batch_size;
  OptimOptions optim;
  optim.warmup_epochs = 1;
  return make_plan(train, optim, samples, at::kCPU, World(), false);
}
// Trains on paper: from `state` to the end of the plan. The rates are those of each step.
RunState played(const Plan& first, RunState state, std::vector<double>* rates = nullptr) {
  const Plan plan = continued(first, state);
  while (state.step < plan.total_steps) {
    if (rates) rates->push_back(learning_rate(plan.schedule, steps_done(plan, state.position)));
    const int64_t end = (state.position.sample / plan.train.batch_size + 1) * plan.train.batch_size;
    state.position = end < plan.samples_per_epoch ? data::Position{state.position.epoch, end}
                                                  : data::Position{state.position.epoch + 1, 0};
    ++state.step;
  }
  return state;
}

// TransUNet's: after update k (from 0) the rate becomes lr (1 - k / steps)^0.9.
TEST(Schedule, PolyLagsOneUpdate) {
  const Schedule schedule{.peak_lr = 0.01, .total_steps = 50, .poly_power = 0.9};
  double rate = 0.01;
  for (int64_t k = 0; k < 50; ++k) {
    EXPECT_DOUBLE_EQ(learning_rate(schedule, static_cast<double>(k)), rate) << k;
    rate = 0.01 * std::pow(1.0 - static_cast<double>(k) / 50.0, 0.9);
  }
}

// Of an epoch and the number of them, as nnU-Net's PolyLRScheduler gives it.
TEST(Schedule, PolyOfEpochsIsNnUnets) {
  const std::vector<std::pair<int64_t, double>> of_1000{{0, 0.01},
                                                        {1, 0.009990999549834914},
                                                        {2, 0.009981998198678612},
                                                        {250, 0.007718895067235705},
                                                        {500, 0.005358867312681466},
                                                        {999, 1.995262314968881e-05}};
  const Schedule schedule{.peak_lr = 0.01, .total_steps = 250'000, .poly_power = 0.9, .steps_per_epoch = 250};
  for (const auto& [epoch, rate] : of_1000) {
    for (const double sample : {0.0, 1.0, 100.5, 249.0, 249.999})
      EXPECT_DOUBLE_EQ(learning_rate(schedule, 250.0 * static_cast<double>(epoch) + sample), rate) << epoch;
  }
}

TEST(Plan, OfANewRunIsWhatItWas) {
  for (const int64_t samples : {1, 6, 8, 19}) {
    for (const int64_t max_steps : {0, 6}) {
      const Plan plan = plan_of(7, 4, samples, max_steps);
      std::vector<double> rates;
      const RunState end = played(plan, {}, &rates);
      EXPECT_EQ(end.step, plan.total_steps);
      for (size_t step = 0; step < rates.size(); ++step)
        EXPECT_EQ(rates[step], learning_rate(plan.schedule, static_cast<double>(step))) << "bit for bit";
      RunState state;  // and of one that is resumed unchanged, wherever
      for (; state.step < end.step; ++state.step) {
        const Plan same = continued(plan, state);
        EXPECT_EQ(same.total_steps, plan.total_steps);
        EXPECT_EQ(same.schedule.total_steps, plan.schedule.total_steps);
        const int64_t next = state.position.sample + 4;
        state.position =
            next < samples ? data::Position{state.position.epoch, next} : data::Position{state.position.epoch + 1, 0};
      }
    }
  }
}

TEST(Plan, EpochsAreTheTruthWhateverTheBatchSize) {
  for (const int64_t samples : {3, 6, 19, 64}) {
    for (const int64_t first : {1, 4, 7, 64}) {
      for (const int64_t then : {1, 4, 7, 64}) {
        const Plan before = plan_of(6, first, samples), after = plan_of(9, then, samples);
        const int64_t steps = played(before, {}).step;
        for (int64_t stop = 0; stop <= steps; ++stop) {
          RunState state;
          for (; state.step < stop; ++state.step) {
            const int64_t end = (state.position.sample / first + 1) * first;
            state.position =
                end < samples ? data::Position{state.position.epoch, end} : data::Position{state.position.epoch + 1, 0};
          }
          const RunState end = played(after, state);
          EXPECT_EQ(end.position, (data::Position{9, 0}))
              << samples << " samples, " << first << " then " << then << ", stopped at " << stop;
          std::vector<double> rates;
          played(after, state, &rates);
          if (rates.empty()) continue;
          const auto of_samples = static_cast<double>(state.position.epoch) +
                                  static_cast<double>(state.position.sample) / static_cast<double>(samples);
          const double per_epoch = static_cast<double>(after.steps_per_epoch),
                       exact = learning_rate(after.schedule, of_samples * per_epoch);
          EXPECT_NEAR(rates[0], exact, 2.0 * after.schedule.peak_lr / per_epoch) << "goes on from the epochs done";
          if (state.position.sample == 0) {
            EXPECT_DOUBLE_EQ(rates[0], exact);
          }
          for (size_t i = 0; i < rates.size(); ++i) EXPECT_LE(rates[i], after.schedule.peak_lr);
        }
      }
    }
  }
}

TEST(Plan, TheScheduleIsTheSameFunctionOfEpochsForEveryBatchSize) {
  const Plan small = plan_of(10, 4, 64), large = plan_of(10, 16, 64);
  for (int64_t epoch = 0; epoch < 10; ++epoch) {
    for (const int64_t sample : {0, 16, 32, 48}) {
      const double a = learning_rate(small.schedule, steps_done(small, {epoch, sample})),
                   b = learning_rate(large.schedule, steps_done(large, {epoch, sample}));
      EXPECT_DOUBLE_EQ(a, b);
    }
  }
}

// A GPU's plan, made without one.
Plan plan_of_graph(int64_t batch_size, int64_t micro_batch, int64_t samples) {
  TrainOptions train;
  train.batch_size = batch_size;
  train.micro_batch = micro_batch;
  train.precision = "fp32";
  train.cuda_graph = true;
  return make_plan(train, {.warmup_epochs = 0}, samples, at::kCUDA, World(), false);
}

TEST(Plan, AGraphIsOnePassAndAllStepsAreWhole) {
  EXPECT_EQ(plan_of_graph(8, 0, 20).samples_per_epoch, 24);
  EXPECT_EQ(plan_of_graph(8, 0, 20).steps_per_epoch, 3);
  EXPECT_EQ(plan_of_graph(8, 8, 24).samples_per_epoch, 24);
  EXPECT_EQ(plan_of_graph(8, 0, 3).samples_per_epoch, 8);
  const Error error = test::error_of([] { plan_of_graph(8, 2, 20); });
  EXPECT_EQ(error.code(), ExitCode::usage);
  EXPECT_TRUE(test::contains(error.what(), "a step of train.batch_size = 8 is made of several passes of 2"));
  EXPECT_TRUE(test::contains(error.hint(), "train.micro_batch"));
}

// Gradients are sent in the order of the module, whatever groups share a decay.
TEST(Optimizer, TrainedParametersAreInTheOrderOfTheModule) {
  torch::nn::Sequential network(torch::nn::Linear(3, 4), torch::nn::Linear(4, 2), torch::nn::Linear(2, 2));
  network[1]->as<torch::nn::Linear>()->bias.requires_grad_(false);
  const std::vector<at::Tensor> all = network->parameters(), trained = trained_parameters(*network);
  ASSERT_EQ(trained.size(), 5);
  for (const auto& [place, of_all] : std::vector<std::pair<size_t, size_t>>{{0, 0}, {1, 1}, {2, 2}, {3, 4}, {4, 5}})
    EXPECT_TRUE(trained[place].is_same(all[of_all]));
}

Plan plan_of_poly_epochs(int64_t epochs, int64_t batch_size, int64_t max_steps = 0, int64_t warmup_epochs = 0) {
  TrainOptions train;
  train.epochs = epochs;
  train.max_steps = max_steps;
  train.batch_size = batch_size;
  OptimOptions optim;
  optim.lr = 0.01;
  optim.schedule = "poly_epochs";
  optim.warmup_epochs = warmup_epochs;
  return make_plan(train, optim, /*samples_per_epoch=*/20, at::kCPU, World(), false);
}

// The rate of an epoch, of seven, is the same whatever the batch size, also one that was changed within the epoch.
TEST(Plan, PolyOfEpochsStaysWithinTheEpoch) {
  const std::vector<double> of_7{0.01,
                                 0.008704581368591592,
                                 0.007387283529495573,
                                 0.006043183144790013,
                                 0.004664669656672158,
                                 0.003238461661916278,
                                 0.0017354486343415245};
  for (const int64_t first : {1, 3, 8, 20, 50}) {
    const int64_t per_epoch = plan_of_poly_epochs(7, first).steps_per_epoch;
    std::vector<double> rates;
    played(plan_of_poly_epochs(7, first), {}, &rates);
    ASSERT_EQ(std::ssize(rates), 7 * per_epoch);
    for (size_t step = 0; step < rates.size(); ++step)
      EXPECT_DOUBLE_EQ(rates[step], of_7[step / static_cast<size_t>(per_epoch)]) << first << ", step " << step;
    for (int64_t done = 0; done < 20; done += first) {  // samples of the fourth epoch
      RunState state;
      state.step = 3 * per_epoch + done / first;
      state.position = {3, done};
      for (const int64_t then : {1, 4, 7}) {
        rates.clear();
        played(plan_of_poly_epochs(7, then), state, &rates);
        ASSERT_FALSE(rates.empty());
        EXPECT_DOUBLE_EQ(rates.front(), of_7[3]) << first << " then " << then << " after " << done << " samples";
        EXPECT_DOUBLE_EQ(rates.back(), of_7[6]);
        for (size_t i = 0; i < rates.size(); ++i) EXPECT_EQ(std::count(of_7.begin(), of_7.end(), rates[i]), 1);
      }
    }
  }
}

// train.max_steps ends the schedule, within an epoch too; a warm-up moves with every step, and what follows begins
// anew.
TEST(Plan, PolyOfEpochsEndsWithTheRun) {
  std::vector<double> rates;
  played(plan_of_poly_epochs(7, 4, /*max_steps=*/12), {}, &rates);  // 5 steps an epoch
  ASSERT_EQ(rates.size(), 12u);
  for (size_t step = 0; step < rates.size(); ++step)
    EXPECT_DOUBLE_EQ(rates[step], 0.01 * std::pow(1 - static_cast<double>(step / 5 * 5) / 12, 0.9)) << step;
  rates.clear();
  played(plan_of_poly_epochs(4, 4, /*max_steps=*/0, /*warmup_epochs=*/1), {}, &rates);
  ASSERT_EQ(rates.size(), 20u);
  for (size_t step = 0; step < rates.size(); ++step) {
    const auto after = static_cast<double>(step / 5) - 1;
    EXPECT_DOUBLE_EQ(rates[step], step < 5 ? 0.01 * static_cast<double>(step) / 5 : 0.01 * std::pow(1 - after / 3, 0.9))
        << step;
  }
}

TEST(Plan, FewerEpochsThanAreDoneLeaveNothing) {
  RunState state;
  state.step = 40;
  state.position = {5, 0};
  EXPECT_EQ(continued(plan_of(3, 4, 32), state).total_steps, 40);
  state.position = {5, 4};
  EXPECT_EQ(continued(plan_of(5, 4, 32), state).total_steps, 40);
}

TEST(Plan, MaxStepsCountsAllStepsAndEndsTheSchedule) {
  RunState state;
  state.step = 50;
  state.position = {5, 0};  // 10 steps an epoch, of 4
  const Plan plan = continued(plan_of(100, 8, 40, 60), state);
  EXPECT_EQ(plan.total_steps, 60);
  EXPECT_EQ(plan.schedule.total_steps, 5 * 5 + 10);
  EXPECT_EQ(continued(plan_of(100, 8, 40, 50), state).total_steps, 50);
  const std::string error = test::error_of([&] { continued(plan_of(100, 8, 40, 30), state); }).what();
  EXPECT_TRUE(test::contains(error, "this run has made 50 steps already")) << error;
  RunState end = played(plan_of(100, 8, 40, 60), state);
  EXPECT_EQ(end.step, 60);
  state.step = 51;
  state.position = {5, 4};
  end = played(plan_of(8, 8, 40), state);
  EXPECT_EQ(end.position, (data::Position{8, 0}));
  EXPECT_EQ(end.step, 51 + 5 + 2 * 5) << "the step under way ends where a step of 8 does";
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
  const auto made = make_optimizer(*ours, options);
  Optimizer& optimizer = *made;
  torch::optim::AdamW reference(theirs->parameters(),
                                torch::optim::AdamWOptions(1e-2).betas({0.9, 0.95}).weight_decay(0.05));
  for (int i = 0; i < 20; ++i) {
    const at::Tensor x = at::randn({5, 6});
    loss_of(ours, x).backward();
    optimizer.step(/*lr=*/1e-2);
    optimizer.clear_gradients();
    reference.zero_grad();
    loss_of(theirs, x).backward();
    reference.step();
  }
  for (size_t i = 0; i < ours->parameters().size(); ++i)
    EXPECT_LT(test::max_abs_difference(ours->parameters()[i], theirs->parameters()[i]), 1e-6);
}

// With a minimum, which momentum does not leave for infinity.
at::Tensor bounded_loss_of(torch::nn::Sequential& model, const at::Tensor& x) {
  return (model->forward(x) - 0.3).square().sum();
}

TEST(Sgd, EqualsTorchsOwn) {
  struct Settings {
    bool nesterov;
    double momentum, weight_decay;
  };
  for (const auto& [nesterov, momentum, weight_decay] :
       {Settings{false, 0.8, 0.05}, Settings{true, 0.8, 0.05}, Settings{true, 0.99, 3e-5}}) {  // the last is nnU-Net's
    auto ours = small_model(), theirs = small_model();
    OptimOptions options;
    options.name = "sgd";
    options.momentum = momentum;
    options.nesterov = nesterov;
    options.weight_decay = weight_decay;
    const auto optimizer = make_optimizer(*ours, options);
    torch::optim::SGD reference(
        theirs->parameters(),
        torch::optim::SGDOptions(1e-2).momentum(momentum).nesterov(nesterov).weight_decay(weight_decay));
    for (int i = 0; i < 20; ++i) {
      const at::Tensor x = at::randn({5, 6});
      bounded_loss_of(ours, x).backward();
      optimizer->step(/*lr=*/1e-2);
      optimizer->clear_gradients();
      reference.zero_grad();
      bounded_loss_of(theirs, x).backward();
      reference.step();
    }
    for (size_t i = 0; i < ours->parameters().size(); ++i)
      EXPECT_LT(test::max_abs_difference(ours->parameters()[i], theirs->parameters()[i]), 1e-6) << nesterov;
  }
}

// As SimCLR's LARSOptimizer: decay into the gradient, the adapted
// rate into the velocity; norms and biases have neither here.
TEST(Lars, EqualsItsFormula) {
  for (const bool nesterov : {false, true}) {
    auto model = small_model();
    OptimOptions options;
    options.name = "lars";
    options.nesterov = nesterov;
    options.weight_decay = 0.01;
    options.trust_coefficient = 0.02;
    const auto optimizer = make_optimizer(*model, options);
    std::vector<at::Tensor> expected, velocities;
    for (const at::Tensor& parameter : model->parameters()) {
      expected.push_back(parameter.detach().to(at::kDouble, /*non_blocking=*/false, /*copy=*/true));
      velocities.push_back(at::zeros_like(expected.back()));
    }
    for (int step = 0; step < 10; ++step) {
      const double lr = 1e-2 - 5e-4 * step;
      bounded_loss_of(model, at::randn({5, 6})).backward();
      for (size_t i = 0; i < expected.size(); ++i) {
        at::Tensor gradient = model->parameters()[i].grad().to(at::kDouble);
        double rate = lr;
        if (gradient.dim() > 1) {
          gradient = gradient + 0.01 * expected[i];
          rate *= 0.02 * expected[i].norm().item<double>() / gradient.norm().item<double>();
        }
        velocities[i] = 0.9 * velocities[i] + rate * gradient;
        expected[i] = expected[i] - (nesterov ? 0.9 * velocities[i] + rate * gradient : velocities[i]);
      }
      optimizer->step(lr);
      optimizer->clear_gradients();
    }
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_LT(test::max_abs_difference(model->parameters()[i].to(at::kDouble), expected[i]), 1e-5) << nesterov;
  }
}

TEST(Lars, AMatrixOfZerosOrWithoutGradientKeepsItsRate) {
  torch::nn::Linear zeros(3, 2), still(3, 2);
  torch::nn::Sequential model(zeros, still);
  at::NoGradGuard no_grad;
  zeros->weight.zero_();
  OptimOptions options;
  options.name = "lars";
  options.weight_decay = 0.0;
  const auto optimizer = make_optimizer(*model, options);
  zeros->weight.mutable_grad() = at::ones({2, 3});
  const at::Tensor before = still->weight.clone();
  optimizer->step(0.1);
  EXPECT_LT(test::max_abs_difference(zeros->weight, at::full({2, 3}, -0.1)), 1e-7);
  EXPECT_TRUE(test::same_bits(still->weight, before));
}

class EveryOptimizer : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Names, EveryOptimizer, testing::Values("adamw", "sgd", "lars"));

TEST_P(EveryOptimizer, ASkippedStepChangesNothing) {
  auto model = small_model();
  OptimOptions options;
  options.name = GetParam();
  options.ema_decay = 0.9;
  const auto made = make_optimizer(*model, options);
  Optimizer& optimizer = *made;
  const auto all = [&] {
    std::vector<at::Tensor> tensors;
    for (const at::Tensor& parameter : model->parameters()) tensors.push_back(parameter.detach().clone());
    for (const auto& [name, tensor] : optimizer.state()) tensors.push_back(tensor.clone());
    for (const auto& [name, tensor] : optimizer.averages()) tensors.push_back(tensor.clone());
    return tensors;
  };
  for (int i = 0; i < 5; ++i) {
    loss_of(model, at::randn({5, 6})).backward();
    optimizer.step(1e-2);
    optimizer.clear_gradients();
    const std::vector<at::Tensor> before = all();
    (loss_of(model, at::randn({5, 6})) * std::numeric_limits<double>::infinity()).backward();
    optimizer.step(at::full({}, 1e-2, at::kDouble), at::ones({}));
    optimizer.clear_gradients();
    const std::vector<at::Tensor> after = all();
    for (size_t k = 0; k < before.size(); ++k) EXPECT_TRUE(test::same_bits(before[k], after[k])) << k;
    EXPECT_EQ(optimizer.step_count(), i + 1);
  }
}

// Against the sum by hand: (1 + t) / (10 + t) of itself in step
// t, at most the decay; steps that are skipped do not count.
TEST(Optimizer, AveragesWeights) {
  for (const bool skips : {false, true}) {
    auto model = small_model();
    OptimOptions options;
    options.ema_decay = 0.4;  // from the sixth step on
    const auto made = make_optimizer(*model, options);
    Optimizer& optimizer = *made;
    std::vector<at::Tensor> expected;
    for (const auto& parameter : model->parameters())
      expected.push_back(parameter.detach().to(at::kDouble, /*non_blocking=*/false, /*copy=*/true));
    for (int step = 1; step <= 12; ++step) {
      loss_of(model, at::randn({5, 6})).backward();
      optimizer.step(1e-2);
      if (skips) optimizer.step(at::full({}, 1e-2, at::kDouble), at::ones({}));
      optimizer.clear_gradients();
      const double kept = std::min(0.4, (1.0 + step) / (10.0 + step));
      for (size_t i = 0; i < expected.size(); ++i)
        expected[i] = kept * expected[i] + (1 - kept) * model->parameters()[i].detach().to(at::kDouble);
    }
    std::vector<at::Tensor> trained;
    for (const auto& parameter : model->parameters()) trained.push_back(parameter.detach().clone());
    optimizer.swap_averages();
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_LT(test::max_abs_difference(model->parameters()[i].to(at::kDouble), expected[i]), 1e-6);
      EXPECT_FALSE(test::same_bits(model->parameters()[i], trained[i]));
    }
    optimizer.swap_averages();
    for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(test::same_bits(model->parameters()[i], trained[i]));
  }
}

TEST(Optimizer, SparesNormsAndBiasesIfAsked) {
  auto model = small_model();
  OptimOptions options;
  options.decay_norm_and_bias = false;
  options.weight_decay = 0.5;
  const auto made = make_optimizer(*model, options);
  Optimizer& optimizer = *made;
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
  EXPECT_EQ(clip_grad_norm(gradients, 0.0).item<float>(), 4.0F);
  EXPECT_EQ(gradients[0][0].item<float>(), 2.0F);
  EXPECT_EQ(clip_grad_norm(gradients, 1.0).item<float>(), 4.0F);
  EXPECT_FLOAT_EQ(gradients[0][0].item<float>(), 0.5F);
}

// It divides by the norm plus 1e-6.
TEST(ClipGradNorm, EqualsTorchs) {
  torch::manual_seed(5);
  for (const double size : {0.1, 2.0, 300.0}) {
    std::vector<at::Tensor> ours{size * at::randn({7, 9}), size * at::randn({9})}, theirs;
    for (const at::Tensor& gradient : ours) {
      theirs.push_back(at::zeros_like(gradient));
      theirs.back().mutable_grad() = gradient.clone();
    }
    const double norm = torch::nn::utils::clip_grad_norm_(theirs, /*max_norm=*/12.0);
    EXPECT_NEAR(clip_grad_norm(ours, 12.0).item<double>(), norm, 1e-6 * norm);
    for (size_t i = 0; i < ours.size(); ++i)
      EXPECT_LT(test::relative_difference(ours[i], theirs[i].grad()), 3e-7) << size;
  }
}

TEST(LossScale, HalvesAfterAnOverflowAndSurvivesARestart) {
  LossScale scale(Precision::fp16, at::kCPU);
  EXPECT_EQ(scale.value(), 65536.0);
  scale.update(/*skipped=*/at::ones({}));
  EXPECT_EQ(scale.value(), 32768.0);
  std::vector<at::Tensor> good{at::full({2}, 32768.0)};
  scale.unscale(good);
  EXPECT_EQ(good[0][0].item<float>(), 1.0F);
  scale.update(/*skipped=*/at::zeros({}));
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
  const at::Tensor gradient = at::full({2}, 3.0);
  scale.unscale({gradient});
  scale.update(at::ones({}));
  EXPECT_EQ(gradient[0].item<float>(), 3.0F);
  EXPECT_EQ(scale.value(), 1.0);
}

}  // namespace
}  // namespace vmae::train
