// Pretrained weights into downstream models, at full size by key, and files of other programs.
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/source_path.h"
#include "support/tensors.h"
#include "vmae/nn/classifier.h"
#include "vmae/nn/mae.h"
#include "vmae/nn/unet.h"
#include "vmae/weights/transfer.h"

namespace vmae::weights {
namespace {

TensorFile file_of(const torch::nn::Module& module) {
  TensorFile file;
  for (const auto& [key, tensor] : state_dict(module)) file.tensors.emplace_back(key, tensor.clone());
  return file;
}

const TensorFile& pretrained() {  // full size
  static const TensorFile file = file_of(*nn::Mae(nn::MaeOptions{}));
  return file;
}

nn::UnetOptions unet_options() {
  nn::UnetOptions options{.num_classes = 14};
  options.swin.image_size = {224, 224};
  return options;
}

const at::Tensor& tensor_of(const NamedTensors& state, const std::string& key) {
  return std::find_if(state.begin(), state.end(), [&](const auto& entry) { return entry.first == key; })->second;
}

TEST(Transfer, UnetAtFullSize) {
  nn::SwinUnet unet(unet_options());
  const NamedTensors before = file_of(*unet).tensors;
  const LoadReport report = transfer_into(*unet, pretrained(), Parts::encoder_decoder, false, "mae.safetensors");
  EXPECT_EQ(report.loaded.size(), 220U);
  EXPECT_EQ(report.fresh.size(), 122U);
  EXPECT_EQ(report.dropped.size(), 4U);  // pos_embed, mask_token, decoder_pred.*
  EXPECT_TRUE(report.mismatched.empty());
  const NamedTensors after = state_dict(*unet);
  const std::string taken = "layers_up.0.blocks.1.attn.qkv.weight", random = "layers_up.0.blocks.2.attn.qkv.weight";
  EXPECT_TRUE(at::equal(tensor_of(after, taken), *pretrained().find(taken)));
  EXPECT_TRUE(at::equal(tensor_of(after, random), tensor_of(before, random)));
  EXPECT_NE(describe_report(report).find("layers.2.blocks.5 (13)"), std::string::npos) << describe_report(report);
}

TEST(Transfer, EncoderAloneLeavesTheDecoderRandom) {
  nn::SwinUnet unet(unet_options());
  const NamedTensors before = file_of(*unet).tensors;
  const LoadReport report = transfer_into(*unet, pretrained(), Parts::encoder, false, "mae.safetensors");
  for (const auto& key : report.loaded)
    EXPECT_TRUE(key.starts_with("layers.") || key.starts_with("patch_embed.")) << key;
  EXPECT_EQ(report.loaded.size(), 4U + 8 * 14 + 3 * 3);
  EXPECT_TRUE(at::equal(tensor_of(state_dict(*unet), "norm_up.weight"), tensor_of(before, "norm_up.weight")));
  nn::SwinClassifier classifier(nn::ClassifierOptions{});
  EXPECT_EQ(transfer_into(*classifier, pretrained(), Parts::encoder, false, "mae.safetensors").loaded.size(),
            report.loaded.size());
}

TEST(Transfer, UnexpectedMismatchIsAnError) {
  const auto error_of_file = [](const TensorFile& file, bool allow) {
    nn::SwinUnet unet(unet_options());
    return test::error_of([&] { transfer_into(*unet, file, Parts::encoder_decoder, allow, "mae.safetensors"); });
  };
  TensorFile missing = pretrained();
  std::erase_if(missing.tensors, [](const auto& entry) { return entry.first == "layers.1.blocks.0.norm1.weight"; });
  EXPECT_EQ(error_of_file(missing, false).code(), ExitCode::checkpoint);
  EXPECT_NE(std::string(error_of_file(missing, false).what()).find("layers.1.blocks.0.norm1.weight"),
            std::string::npos);
  TensorFile more = pretrained();
  more.tensors.emplace_back("layers.3.blocks.2.norm1.weight", at::ones({768}));
  EXPECT_EQ(error_of_file(more, false).code(), ExitCode::checkpoint);
  TensorFile shaped = pretrained();
  for (auto& [key, tensor] : shaped.tensors) {
    if (key == "layers.0.blocks.0.attn.relative_position_bias_table") tensor = at::zeros({49, 3});
  }
  EXPECT_EQ(error_of_file(shaped, false).code(), ExitCode::checkpoint);
  nn::SwinUnet unet(unet_options());
  EXPECT_EQ(transfer_into(*unet, shaped, Parts::encoder_decoder, true, "mae.safetensors").mismatched.size(), 1U);
  TensorFile nothing;
  nothing.tensors.emplace_back("conv1.weight", at::zeros({3}));
  EXPECT_EQ(test::error_of([&] { transfer_into(*unet, nothing, Parts::encoder, true, "x.pth"); }).code(),
            ExitCode::checkpoint);
}

TEST(Transfer, HeadsLoadOnlyWhereTheyFit) {
  nn::SwinUnet trained(unet_options()), same(unet_options());
  EXPECT_TRUE(transfer_into(*same, file_of(*trained), Parts::encoder_decoder, false, "unet").fresh.empty());
  nn::UnetOptions other = unet_options();
  other.num_classes = 3;
  nn::SwinUnet smaller(other);
  const LoadReport report = transfer_into(*smaller, file_of(*trained), Parts::encoder_decoder, false, "unet");
  EXPECT_EQ(report.fresh, std::vector<std::string>{"head.weight"});
  EXPECT_EQ(report.dropped, std::vector<std::string>{"head.weight"});
}

// Grey repeated to three channels and grey alone give the same output after the change.
TEST(Transfer, InputChannels) {
  nn::ClassifierOptions colour, grey;
  colour.swin.embed_dim = grey.swin.embed_dim = 24;
  colour.swin.image_size = grey.swin.image_size = {64, 64};
  grey.swin.in_channels = 1;
  nn::SwinClassifier three(colour), one(grey);
  three->eval(), one->eval();
  const at::Tensor image = at::randn({2, 1, 64, 64}), repeated = image.repeat({1, 3, 1, 1});
  TensorFile file = file_of(*three);
  EXPECT_TRUE(fit_input_channels(file, 1));
  require_complete(load_into(*one, file), "x");
  EXPECT_LT(test::max_abs_difference(one->forward(image), three->forward(repeated)), 1e-5);
  TensorFile back = file_of(*one);
  EXPECT_TRUE(fit_input_channels(back, 3));
  require_complete(load_into(*three, back), "x");
  EXPECT_LT(test::max_abs_difference(one->forward(image), three->forward(repeated)), 1e-5);
  EXPECT_FALSE(fit_input_channels(back, 3));
}

// tests/golden/make_swin_weights.py: one Swin in four namings; expected.safetensors has the reference's.
TEST(Transfer, KeysOfOtherPrograms) {
  const auto read = [](const std::string& name) {
    return read_weights(test::source_path("tests/golden/swin/" + name));
  };
  const TensorFile expected = read("expected.safetensors");
  for (const auto& [name, naming] : {std::pair{"microsoft.pth", Naming::microsoft},
                                     {"timm.safetensors", Naming::timm},
                                     {"torchvision.pth", Naming::torchvision},
                                     {"transformers.safetensors", Naming::transformers}}) {
    TensorFile file = read(name);
    EXPECT_EQ(rename_to_reference(file), naming) << name;
    EXPECT_TRUE(is_imagenet_swin(naming));
    EXPECT_TRUE(tells_its_program(file, naming));
    for (const auto& [key, tensor] : expected.tensors) {
      if (key.ends_with("relative_position_index") || key.ends_with("attn_mask")) continue;
      const at::Tensor* found = file.find(key);
      ASSERT_NE(found, nullptr) << name << " " << key;
      EXPECT_TRUE(at::equal(*found, tensor)) << name << " " << key;
    }
  }
  TensorFile ours = pretrained();
  EXPECT_EQ(rename_to_reference(ours), Naming::reference);
  EXPECT_TRUE(tells_its_program(ours, Naming::reference));
  ours = expected;  // Microsoft's, but for the masks
  EXPECT_EQ(rename_to_reference(ours), Naming::reference);
  EXPECT_FALSE(tells_its_program(ours, Naming::reference));
}

TEST(Transfer, QueryKeyAndValueAreJoinedOnlyWhereTheyFit) {
  const std::string block = "encoder.layers.0.blocks.0.";
  const auto renamed = [&](const at::Tensor& value) {
    TensorFile file;
    file.tensors = {{block + "attention.self.query.bias", at::full({2}, 1.)},
                    {block + "layernorm_before.weight", at::ones({2})},
                    {block + "attention.self.value.bias", value},
                    {block + "attention.self.key.bias", at::full({2}, 2.)}};
    EXPECT_EQ(rename_to_reference(file), Naming::transformers);
    return file;
  };
  const TensorFile joined = renamed(at::full({2}, 3.));
  ASSERT_EQ(joined.tensors.size(), 2U);
  EXPECT_EQ(joined.tensors[1].first, "layers.0.blocks.0.norm1.weight");
  EXPECT_TRUE(at::equal(*joined.find("layers.0.blocks.0.attn.qkv.bias"), at::tensor({1.F, 1.F, 2.F, 2.F, 3.F, 3.F})));
  EXPECT_EQ(renamed(at::ones({3})).find("layers.0.blocks.0.attn.qkv.bias"), nullptr);
  EXPECT_EQ(renamed(at::ones({})).tensors.size(), 4U);
}

}  // namespace
}  // namespace vmae::weights
