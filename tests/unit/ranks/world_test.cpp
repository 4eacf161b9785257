// Ranks as threads of this process, over real sockets: what several processes
// do, where ThreadSanitizer can watch. Processes are in tests/e2e/test_ranks.py.
#include "vmae/ranks/world.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "support/errors.h"
#include "support/ranks.h"
#include "support/tensors.h"
#include "vmae/nn/losses.h"
#include "vmae/train/optim.h"

namespace vmae::train {
namespace {

using test::on_ranks;

TEST(World, AloneEverythingIsTheIdentity) {
  World world;
  at::Tensor x = at::ones({3});
  world.connect(at::kCPU, 1);
  world.sum(x);
  EXPECT_EQ(x.sum().item<double>(), 3);
  EXPECT_EQ(world.gather("a"), std::vector<std::string>{"a"});
  EXPECT_FALSE(world.total(true));
  EXPECT_TRUE(world.is_first());
}

TEST(World, SumsFlagsAndTextsReachAllRanks) {
  on_ranks(3, [](World& world) {
    at::Tensor x = at::full({5}, static_cast<double>(world.rank() + 1), at::kDouble);
    world.sum(x);
    EXPECT_EQ(x[4].item<double>(), 6);
    EXPECT_TRUE(world.any(world.rank() == 2));
    EXPECT_FALSE(world.any(false));
    EXPECT_EQ(world.gather(std::string(static_cast<size_t>(world.rank()), 'x')),
              (std::vector<std::string>{"", "x", "xx"}));
    EXPECT_EQ(world.broadcast(concat("of rank ", world.rank())), "of rank 0");
    at::Tensor y = at::full({2}, world.rank());
    world.broadcast({y});
    EXPECT_EQ(y.sum().item<double>(), 0);
    EXPECT_EQ(world.from_first([&] { return concat(world.rank(), "!"); }), "0!");
  });
}

// A segmenter's loss, whose terms are quotients of sums over the batch, on samples that don't divide among the ranks.
torch::nn::Sequential small_network() {
  torch::manual_seed(3);
  return torch::nn::Sequential(torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 8, 3).padding(1)), torch::nn::GELU(),
                               torch::nn::Conv2d(torch::nn::Conv2dOptions(8, 3, 3).padding(1)));
}
at::Tensor image_of(int64_t samples) { return at::arange(samples * 64).view({samples, 1, 8, 8}).mul(0.37).sin(); }
at::Tensor mask_of(int64_t samples) {
  return at::arange(samples * 64).view({samples, 8, 8}).mul(7).remainder(3).to(at::kByte);
}
at::Tensor loss_of(torch::nn::Sequential& network, const at::Tensor& rows, int64_t samples,
                   const nn::SumOverRanks& total) {
  return nn::segmentation_loss(network->forward(image_of(samples).index({rows})), mask_of(samples).index({rows}),
                               {.batch_dice = true}, at::tensor({0.2, 1.0, 3.0}, at::kFloat), -1, total);
}

std::vector<at::Tensor> gradients_alone(int64_t samples) {
  auto network = small_network();
  loss_of(network, at::arange(samples), samples, {}).backward();
  return make_optimizer(*network, {})->gradients();
}

// Rank r has samples r, r + size, ...; where there are fewer
// samples than ranks, the first stands in and counts nothing.
void expect_gradients_of_the_whole_batch(int64_t size, int64_t samples, bool compress, double tolerance) {
  const std::vector<at::Tensor> expected = gradients_alone(samples);
  std::vector<torch::nn::Sequential> networks;
  for (int64_t r = 0; r < size; ++r) networks.push_back(small_network());  // the generator is the process's
  on_ranks(size, [&](World& world) {
    auto& network = networks[static_cast<size_t>(world.rank())];
    const auto made = make_optimizer(*network, {});
    Optimizer& optimizer = *made;
    world.share_gradients(optimizer.parameters(), compress);
    for (int repeat = 0; repeat < 3; ++repeat) {
      const bool counts = world.rank() < samples;
      const at::Tensor rows = counts ? at::arange(world.rank(), samples, world.size()) : at::zeros({1}, at::kLong);
      const at::Tensor loss = loss_of(network, rows, samples, world.total(counts));
      world.backward(loss * 0.25, /*synchronise=*/false);  // a quarter, and the rest
      world.backward(loss_of(network, rows, samples, world.total(counts)) * 0.75, /*synchronise=*/true);
      const std::vector<at::Tensor> gradients = optimizer.gradients();
      for (size_t i = 0; i < gradients.size(); ++i)
        EXPECT_LT(test::max_abs_difference(gradients[i], expected[i]), tolerance)
            << size << " ranks, " << samples << " samples";
      optimizer.clear_gradients();
    }
    world.keep_gradients();
  });
}

TEST(World, GradientsAreThoseOfTheWholeBatch) {
  for (const int64_t size : {2, 4}) {
    for (const int64_t samples : {8, 5, 1})
      expect_gradients_of_the_whole_batch(size, samples, /*compress=*/false, 1e-6);
  }
}

// y = x / (sum of x over all ranks): what each rank computes depends on what the others have.
TEST(World, TotalWithGradientsIsThatOfAllRanks) {
  const at::Tensor x = at::tensor({1.0, 2.0, 4.0, 7.0}, at::kDouble),
                   weights = at::tensor({3.0, 1.0, 2.0, 5.0}, at::kDouble);
  at::Tensor whole = x.clone().requires_grad_();
  (whole / whole.slice(0, 0, 3).sum() * weights).slice(0, 0, 3).sum().backward();
  on_ranks(4, [&](World& world) {
    const int64_t rank = world.rank();
    const bool counts = rank < 3;  // the last stands in
    at::Tensor own = x[rank].clone().requires_grad_();
    const at::Tensor share = own / world.total_with_gradients(counts)(own) * weights[rank];
    world.total(counts)(share).backward();
    EXPECT_NEAR(own.grad().item<double>(), counts ? whole.grad()[rank].item<double>() : 0, 1e-12);
  });
  World world;
  EXPECT_FALSE(world.total_with_gradients(true));
}

TEST(World, CompressedGradientsAreRounded) { expect_gradients_of_the_whole_batch(2, 8, /*compress=*/true, 2e-2); }

// Two ranks train alike, and as one process does.
TEST(World, TwoRanksTrainAsOne) {
  const auto train = [](World& world, torch::nn::Sequential& network) {
    const auto made = make_optimizer(*network, {});
    Optimizer& optimizer = *made;
    world.share_gradients(optimizer.parameters(), /*compress=*/false);
    for (int step = 0; step < 10; ++step) {
      world.backward(loss_of(network, at::arange(world.rank(), 6, world.size()), 6, world.total(true)),
                     /*synchronise=*/true);
      optimizer.step(1e-2);
      optimizer.clear_gradients();
    }
    world.keep_gradients();
  };
  std::vector<torch::nn::Sequential> networks{small_network(), small_network(), small_network()};
  on_ranks(2, [&](World& world) { train(world, networks[static_cast<size_t>(world.rank())]); });
  World alone;
  train(alone, networks[2]);
  for (size_t i = 0; i < networks[0]->parameters().size(); ++i) {
    EXPECT_TRUE(test::same_bits(networks[0]->parameters()[i], networks[1]->parameters()[i]));
    EXPECT_LT(test::max_abs_difference(networks[0]->parameters()[i], networks[2]->parameters()[i]), 1e-5);
  }
}

}  // namespace
}  // namespace vmae::train
