#include "vmae/weights/weights.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>

#include "helpers.h"
#include "support/source_path.h"
#include "support/temp_folder.h"
#include "vmae/weights/pth.h"

namespace vmae::weights {
namespace {

// Children registered before parameters and buffers before parameters: the state dict's order must not depend on it.
struct Net : torch::nn::Module {
  Net() {
    linear = register_module("linear", torch::nn::Linear(2, 3));
    norm = register_module("norm", torch::nn::BatchNorm1d(3));
    relative_position_index = register_buffer("relative_position_index", torch::arange(4));
    scale = register_parameter("scale", torch::ones({1}));
  }
  torch::nn::Linear linear{nullptr};
  torch::nn::BatchNorm1d norm{nullptr};
  torch::Tensor relative_position_index, scale;
};

std::vector<std::string> names_of(const NamedTensors& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  return names;
}

TEST(Weights, StateDictIsInPythonsOrder) {
  const std::vector<std::string> expected{"scale",
                                          "relative_position_index",
                                          "linear.weight",
                                          "linear.bias",
                                          "norm.weight",
                                          "norm.bias",
                                          "norm.running_mean",
                                          "norm.running_var",
                                          "norm.num_batches_tracked"};
  EXPECT_EQ(names_of(state_dict(Net())), expected);
}

TEST(Weights, LoadsByKeyAndShape) {
  Net net;
  const at::Tensor bias = net.linear->bias.detach().clone();
  const TensorFile file{{{"scale", torch::full({1}, 2.0, at::kDouble)},
                         {"linear.weight", torch::full({3, 2}, 0.5, at::kHalf)},
                         {"linear.bias", torch::zeros({4})},
                         {"relative_position_index", torch::zeros({9})},
                         {"head.weight", torch::zeros({1})}},
                        {}};
  const LoadReport report = load_into(net, file);
  EXPECT_EQ(report.loaded, (std::vector<std::string>{"scale", "relative_position_index", "linear.weight"}));
  EXPECT_EQ(report.fresh.size(), 5u);
  EXPECT_EQ(report.dropped, std::vector<std::string>{"head.weight"});
  EXPECT_EQ(report.mismatched, std::vector<std::string>{"linear.bias: file (4), model (3)"});
  EXPECT_EQ(net.scale.item<float>(), 2.0f);
  EXPECT_TRUE(net.scale.requires_grad());
  EXPECT_EQ(net.scale.scalar_type(), at::kFloat);
  EXPECT_TRUE(torch::equal(net.linear->weight, torch::full({3, 2}, 0.5f)));
  EXPECT_TRUE(torch::equal(net.linear->bias, bias)) << "a mismatched entry keeps its initial value";
  EXPECT_TRUE(torch::equal(net.relative_position_index, torch::arange(4))) << "a derived entry is never copied";
}

TEST(Weights, RequireCompleteListsTheFirstFew) {
  const LoadReport derived{
      .loaded = {"a"}, .fresh = {"x.relative_position_index"}, .dropped = {"pos_embed"}, .mismatched = {}};
  EXPECT_EQ(error_of([&] { require_complete(derived, "f.pth"); }), "no error");
  const LoadReport report{
      .loaded = {"a"}, .fresh = {"1", "2", "3", "4", "5", "6"}, .dropped = {"pos_embed", "d"}, .mismatched = {}};
  EXPECT_EQ(error_of([&] { require_complete(report, "f.pth"); }),
            "weights f.pth: does not fit the model: 1 entries fit; 6 only in the model: 1, 2, 3, 4, 5, ...; 1 only in "
            "the file: d");
}

TEST(Weights, TellsFormatsApartByContent) {
  const test::TempFolder folder;
  const auto path = folder.path() / "weights.bin";
  const NamedTensors tensors{
      {"a", torch::ones({2})}, {"optimizer.a", torch::ones({2})}, {"state.step", torch::ones({1})}};
  write_safetensors(path, tensors, {});
  EXPECT_EQ(names_of(read_weights(path).tensors), std::vector<std::string>{"a"});
  write_pth(path, {{"b", torch::ones({2})}});
  EXPECT_EQ(names_of(read_weights(path).tensors), std::vector<std::string>{"b"});

  const auto error_for = [&](const std::string& bytes) {
    write_bytes(path, bytes);
    return error_of([&] { read_weights(path); });
  };
  EXPECT_TRUE(contains(error_for(""), "is empty"));
  EXPECT_TRUE(contains(error_for("epoch,loss\n1,0.5\n"), "neither safetensors nor a .pth or .npz file"));
  EXPECT_TRUE(contains(error_for("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9"), "torch < 1.6"));
  EXPECT_TRUE(contains(error_for(std::string(257, '\1') + "ustar  "), "torch < 1.6"));
  write_safetensors(path, tensors, {});
  EXPECT_TRUE(contains(error_for(test::slurp(path).substr(0, 60)), "truncated"));
}

}  // namespace
}  // namespace vmae::weights
