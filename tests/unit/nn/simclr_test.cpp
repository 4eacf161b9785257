// Against lightly's loss and torch's own layers (tests/golden/make_simclr.py).
#include "vmae/nn/simclr.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

#include "support/golden.h"
#include "support/tensors.h"
#include "vmae/core/text.h"
#include "vmae/weights/weights.h"

namespace vmae::nn {
namespace {

const at::Tensor& of(const weights::TensorFile& file, const std::string& key) { return *file.find(key); }

TEST(NtXent, LossAndGradientsEqualLightlysTimesTwo) {
  const weights::TensorFile expected = test::golden("simclr");
  const std::vector<std::tuple<int64_t, int64_t, double>> cases{{6, 16, 0.1}, {3, 5, 0.5}, {33, 8, 0.07}, {1, 4, 0.1}};
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto [rows, width, temperature] = cases[i];
    const at::Tensor both = test::golden_image(20 + i, {2, rows, width});
    const at::Tensor a = both[0].clone().requires_grad_(), b = both[1].clone().requires_grad_();
    const at::Tensor loss = nt_xent(a, b, temperature);
    loss.backward();
    const std::string key = concat("loss.", i);
    EXPECT_NEAR(loss.item<double>(), of(expected, key).item<double>(), 1e-6 * std::max(1.0, loss.item<double>())) << i;
    EXPECT_LT(test::max_abs_difference(a.grad(), of(expected, key + ".a")), 1e-6) << i;
    EXPECT_LT(test::max_abs_difference(b.grad(), of(expected, key + ".b")), 1e-6) << i;
  }
}

TEST(NtXent, CountsThePartnersThatAreNearest) {
  const at::Tensor a = at::eye(4), far = a.roll(1, 0);
  EXPECT_EQ(num_found(a, a).item<int64_t>(), 8);
  EXPECT_EQ(num_found(a, far).item<int64_t>(), 0);
  const at::Tensor half = at::cat({a.slice(0, 0, 2), far.slice(0, 2)});
  EXPECT_EQ(num_found(a, half).item<int64_t>(), 4);
}

// A batch in which an image comes twice: as if the other rows of it were not there.
TEST(NtXent, AnImageIsNotItsOwnNegative) {
  const at::Tensor a = test::golden_image(1, {5, 7}), b = test::golden_image(2, {5, 7});
  const at::Tensor twice = at::tensor({3, 1, 4, 1, 9}), sim = [&] {
    const at::Tensor rows = at::cat({a, b}), unit = rows / rows.norm(2, 1, true);
    return at::matmul(unit, unit.t()).to(at::kDouble);
  }();
  double sum = 0;
  for (int64_t i = 0; i < 10; ++i) {
    double below = 0;
    for (int64_t j = 0; j < 10; ++j) {
      const bool is_partner = (i + 5) % 10 == j;
      if (is_partner || twice[i % 5].item<int64_t>() != twice[j % 5].item<int64_t>())
        below += std::exp(sim[i][j].item<double>() / 0.2);
    }
    sum += std::log(below) - sim[i][(i + 5) % 10].item<double>() / 0.2;
  }
  EXPECT_NEAR(nt_xent(a, b, 0.2, twice).item<double>(), 2 * sum / 10, 1e-5);
  EXPECT_EQ(nt_xent(a, b, 0.2, at::arange(5)).item<float>(), nt_xent(a, b, 0.2).item<float>());
  const at::Tensor same = at::ones({4, 3});
  EXPECT_EQ(num_found(same, same, at::zeros({4}, at::kLong)).item<int64_t>(), 8) << "only the partner is left";
}

TEST(ProjectionHead, EqualsTorchsOwnLayers) {
  const weights::TensorFile expected = test::golden("simclr");
  ContrastOptions options;
  options.projection_dim = 8;
  ProjectionHead head(24, options);
  {
    const at::NoGradGuard no_grad;
    for (auto& item : head->named_parameters()) item.value().copy_(of(expected, "head." + item.key()));
  }
  const at::Tensor x = test::golden_image(31, {10, 24}).requires_grad_();
  for (const double share : {1.0, 0.25}) {
    head->zero_grad();
    x.mutable_grad() = at::Tensor();
    const at::Tensor out = head->forward(x, share);
    (out * test::golden_image(32, {10, 8})).sum().backward();
    EXPECT_LT(test::max_abs_difference(out.detach(), of(expected, "head.out")), 1e-5);
    EXPECT_LT(test::max_abs_difference(x.grad(), of(expected, "head.x.grad")), 1e-5) << "of the rows all of it";
    for (const auto& item : head->named_parameters()) {
      const at::Tensor wanted = of(expected, "head.grad." + item.key()) * share;
      EXPECT_LT(test::max_abs_difference(item.value().grad(), wanted), 1e-5 * wanted.abs().max().item<double>() + 1e-6)
          << item.key();
    }
  }
}

SimclrOptions small_simclr() {
  SimclrOptions options;
  options.swin.image_size = {64, 40};  // any size
  options.swin.in_channels = 1;
  options.swin.embed_dim = 8;
  options.swin.num_heads = {1, 1, 2, 2};
  options.swin.window_size = 4;
  options.contrast.projection_dim = 6;
  return options;
}

TEST(Simclr, ItsEncoderIsTheClassifiersAndHasItsKeys) {
  Simclr model(small_simclr());
  model->eval();
  const at::Tensor image = at::rand({3, 1, 64, 40});
  EXPECT_EQ(model->features(image).sizes(), (std::vector<int64_t>{3, 64}));
  EXPECT_EQ(model->project(model->features(image)).sizes(), (std::vector<int64_t>{3, 6}));
  int64_t of_projection = 0;
  for (const auto& [key, tensor] : weights::state_dict(*model)) {
    if (key.starts_with("projection.")) ++of_projection;
  }
  EXPECT_EQ(of_projection, 3 * 3 - 1) << "the last norm has no shift";
}

}  // namespace
}  // namespace vmae::nn
