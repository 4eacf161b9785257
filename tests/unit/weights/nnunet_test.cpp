// The names in nnU-Net's state dicts, as dynamic-network-architectures has them (tests/golden/make_nnunet_net.py).
#include "vmae/weights/nnunet.h"

#include <gtest/gtest.h>

#include <limits>

#include "helpers.h"
#include "support/nnunet_nets.h"
#include "vmae/nn/nnunet.h"

namespace vmae::weights {
namespace {

struct NnUnetKeys {
  nn::UnetOptions options;
  std::vector<std::string> keys;  // of Python's state dict
};

std::vector<NnUnetKeys> nnunet_keys() {
  const nlohmann::json golden = test::golden_json("nnunet_net");
  std::vector<NnUnetKeys> all;
  for (const auto& net : golden.at("nets"))
    all.push_back({test::nnunet_options(net), net.at("keys").get<std::vector<std::string>>()});
  return all;
}

std::vector<std::string> keys_of(const NamedTensors& tensors) {
  std::vector<std::string> keys;
  for (const auto& [key, tensor] : tensors) keys.push_back(key);
  return keys;
}

// As a file has it: every copy with its own memory.
NamedTensors written(const nn::NnUnet& net) {
  NamedTensors tensors;
  for (const auto& [key, tensor] : with_copies(state_dict(*net))) tensors.emplace_back(key, tensor.clone());
  return tensors;
}

at::Tensor& entry_of(NamedTensors& tensors, const std::string& key) {
  return std::find_if(tensors.begin(), tensors.end(), [&](const auto& entry) { return entry.first == key; })->second;
}

TEST(NnUnetKeys, AreThoseOfTheAuthorsInTheirOrder) {
  for (const NnUnetKeys& one : nnunet_keys()) EXPECT_EQ(keys_of(written(nn::NnUnet(one.options))), one.keys);
}

TEST(NnUnetKeys, OfCopiesEachTensorIsKeptOnce) {
  for (const NnUnetKeys& one : nnunet_keys()) {
    const nn::NnUnet net(one.options);
    EXPECT_EQ(first_difference(without_copies(written(net), "x.pth"), state_dict(*net)), "");
    EXPECT_EQ(first_difference(without_copies(state_dict(*net), "x.pth"), state_dict(*net)), "");
    // by its last name alone
    NamedTensors last;
    for (const auto& [key, tensor] : written(net)) {
      if (!key.starts_with("encoder.") && key.find(".conv.") == std::string::npos &&
          key.find(".norm.") == std::string::npos)
        last.emplace_back(key, tensor);
    }
    EXPECT_EQ(first_difference(without_copies(last, "x.pth"), state_dict(*net)), "");
  }
}

TEST(NnUnetKeys, CopiesThatDifferAreAnError) {
  const nn::NnUnet net(nnunet_keys().front().options);
  const std::string encoder = "encoder.stages.1.0.convs.0.", decoder = "decoder.stages.0.convs.1.";
  for (const std::string& key : {encoder + "all_modules.0.weight", "decoder." + encoder + "norm.bias",
                                 "decoder." + encoder + "all_modules.1.weight", decoder + "all_modules.0.bias"}) {
    for (const std::string what : {"value", "shape", "dtype"}) {
      NamedTensors tensors = written(net);
      at::Tensor& entry = entry_of(tensors, key);
      if (what == "value") entry.view(-1)[0].add_(1e-3);
      if (what == "shape") entry = entry.unsqueeze(0);
      if (what == "dtype") entry = entry.to(at::kDouble);
      const std::string message = error_of([&] { without_copies(tensors, "x.pth"); });
      EXPECT_TRUE(contains(message, "x.pth: ") && contains(message, key + " is not equal")) << what << ": " << message;
    }
  }
}

// NaN is for require_finite() to report, which says what it means.
TEST(NnUnetKeys, CopiesOfNanAreEqual) {
  NamedTensors tensors = written(nn::NnUnet(nnunet_keys().front().options));
  for (auto& [key, tensor] : tensors) {
    if (key.ends_with("stages.0.0.convs.0.norm.weight") || key.ends_with("stages.0.0.convs.0.all_modules.1.weight"))
      tensor.fill_(std::numeric_limits<double>::quiet_NaN());
  }
  EXPECT_EQ(error_of([&] { without_copies(tensors, "x.pth"); }), "no error");
}

}  // namespace
}  // namespace vmae::weights
