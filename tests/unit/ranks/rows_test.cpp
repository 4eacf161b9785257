// Contrastive learning on ranks: loss and gradients are those of one process.
#include "vmae/ranks/rows.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <mutex>

#include "support/ranks.h"
#include "support/tensors.h"
#include "vmae/nn/simclr.h"

namespace vmae::train {
namespace {

// An encoder of one layer, and the head with its batch norm.
struct Contrast : torch::nn::Module {
  Contrast() {
    torch::manual_seed(5);
    encoder = register_module("encoder", torch::nn::Linear(7, 12));
    nn::ContrastOptions options;
    options.projection_dim = 6;
    head = register_module("head", nn::ProjectionHead(12, options));
  }
  // (n, 2, 7) -> (n, 2, 12)
  at::Tensor features(const at::Tensor& samples) { return encoder->forward(samples).tanh(); }
  at::Tensor loss(const at::Tensor& rows, double share) {
    const at::Tensor projected = head->forward(at::cat({rows.select(1, 0), rows.select(1, 1)}), share);
    return nn::nt_xent(projected.slice(0, 0, rows.size(0)), projected.slice(0, rows.size(0)), 0.1);
  }
  torch::nn::Linear encoder{nullptr};
  nn::ProjectionHead head{nullptr};
};

at::Tensor samples_of(int64_t count) { return at::arange(count * 14).view({count, 2, 7}).mul(0.61).sin(); }

TEST(RowsOfAllRanks, ContrastIsThatOfOneProcess) {
  for (const int64_t size : {2, 3, 4}) {
    for (const int64_t count : {8, 5, 2}) {  // of 2 samples some ranks have none
      Contrast alone;
      const at::Tensor expected = alone.loss(alone.features(samples_of(count)), 1.0);
      expected.backward();
      std::vector<std::unique_ptr<Contrast>> models;
      for (int64_t r = 0; r < size; ++r) models.push_back(std::make_unique<Contrast>());
      test::on_ranks(size, [&](World& world) {
        Contrast& model = *models[static_cast<size_t>(world.rank())];
        world.share_gradients(model.parameters(), /*compress=*/false);
        const bool counts = world.rank() < count;
        const at::Tensor own = model.features(counts ? samples_of(count).slice(0, world.rank(), count, world.size())
                                                     : samples_of(count).slice(0, 0, 1));
        const at::Tensor rows = rows_of_all_ranks(own, count, world.rank(), world.size(), world.total(counts));
        const at::Tensor loss = model.loss(rows, 1.0 / static_cast<double>(world.size()));
        world.backward(loss, /*synchronise=*/true);
        EXPECT_NEAR(loss.item<double>() / expected.item<double>(), 1.0, 2e-6)
            << size << " ranks, " << count << " samples";
        for (const auto& item : model.named_parameters()) {
          const at::Tensor wanted = alone.named_parameters()[item.key()].grad();
          // batch norm of few rows divides by what they differ in
          EXPECT_LT(test::max_abs_difference(item.value().grad(), wanted),
                    2e-6 + 1e-5 * wanted.abs().max().item<double>())
              << item.key() << ", " << size << " ranks, " << count << " samples";
        }
        world.keep_gradients();
      });
    }
  }
}

}  // namespace
}  // namespace vmae::train
